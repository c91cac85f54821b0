//! What a person types: arguments and help texts, nothing of what they mean.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::commands::Told;
use crate::config;

#[derive(Debug, Parser)]
#[command(name = "regulars", version, about, long_about = LONG_ABOUT, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// How much to log to standard error: error, warn, info, debug, trace, or a filter such as regulars=debug
    #[arg(long, global = true, default_value = "warn", env = "REGULARS_LOG", value_name = "LEVEL")]
    pub log_level: String,

    /// How log lines are written
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

const LONG_ABOUT: &str = "\
Tells a shop who its regulars are and what they buy together.

Reads order lines from Parquet or CSV, scores every customer by recency, frequency and monetary value, finds what is \
bought together as association rules, audits the results and publishes them as Parquet tables by run date.

Try it: regulars demo";

const EXIT_CODES: &str = "\
Exit codes:
  0          done, or already done with the same inputs
  1          the run failed; a retry may help
  2          repeating cannot help: arguments, configuration, schema, missing or corrupt input, bad values, a limit
  3          another run of the same date with other inputs was published first
  99         no lines, with --skip-if-empty
  130, 143   stopped by Ctrl-C or SIGTERM; what was not committed is removed";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a seeded sample shop, run the whole job on it, and print what it found
    Demo {
        /// Where the shop and its results are written
        #[arg(long, default_value = "regulars-demo", value_name = "DIR")]
        dir: PathBuf,
        /// How many orders the shop has had
        #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000), value_name = "N")]
        orders: u32,
    },
    /// Compute and publish the tables of a run date
    #[command(after_help = RUN_EXAMPLES)]
    Run {
        #[command(flatten)]
        job: Job,
        /// Compute and publish again although the same is published; the bytes come out identical
        #[arg(long)]
        force: bool,
        /// Compute and audit, publish nothing
        #[arg(long)]
        dry_run: bool,
        /// Print the result as one JSON line
        #[arg(long)]
        json: bool,
        /// Exit with 99 rather than 1 when there are no lines
        #[arg(long)]
        skip_if_empty: bool,
        #[command(flatten)]
        told: Told,
    },
    /// Find everything that `run` would reject, without computing; writes nothing
    Check {
        #[command(flatten)]
        job: Job,
    },
    /// Show each stage's SQL with its parameter values, and its plan
    Explain {
        #[command(flatten)]
        job: Job,
        /// Run it, too, and show what each operator measured; publishes nothing
        #[arg(long)]
        analyze: bool,
    },
    /// Query the input, the published tables and our functions; a prompt on a terminal
    #[command(after_help = SQL_EXAMPLES)]
    Sql {
        #[command(flatten)]
        job: Job,
        /// The statements to run
        #[arg(short = 'c', long = "command", value_name = "SQL", conflicts_with = "file")]
        command: Option<String>,
        /// A file of statements
        file: Option<PathBuf>,
        /// How results are written
        #[arg(long, default_value = "table", value_name = "FORMAT")]
        format: ResultFormat,
    },
    /// List the published runs: date, generation, rows, fingerprint, duration
    Runs {
        #[command(flatten)]
        job: Job,
        /// How results are written
        #[arg(long, default_value = "table", value_name = "FORMAT")]
        format: ResultFormat,
    },
    /// Publish an older generation of a run date again, one that is still kept
    Rollback {
        #[command(flatten)]
        job: Job,
        /// The generation, as `runs` lists it
        #[arg(long, value_name = "GENERATION", value_parser = clap::value_parser!(u64).range(1..))]
        to: u64,
    },
    /// Print a shell's completion script
    Completions { shell: Shell },
}

const RUN_EXAMPLES: &str = "\
Examples:
  regulars run --config shop.toml --run-date 2024-12-31
  regulars run --input s3://warehouse/order_lines/ --output s3://warehouse/loyalty/ --run-date 2024-12-31 --json
  regulars run --input baskets.parquet --output out --run-date 2024-12-31 --select rules --set rules.min_support=0.02";

const SQL_EXAMPLES: &str = "\
Relations: input (the raw lines), order_line (in our columns), line (those that count), and the published tables of the
run date, the latest where none is given: customer_rfm, rfm_segments, rfm_thresholds, frequent_itemsets,
association_rules, rule_items, run_summary.

Examples:
  regulars sql --output out -c 'SELECT * FROM rfm_segments'
  regulars sql --output out --run-date 2024-12-31 --format csv -c 'SELECT * FROM customer_rfm'
  regulars sql --input orders.parquet -c 'SELECT count(*) FROM input'";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    Table,
    Csv,
    Json,
}

/// What the job is.
#[derive(Debug, Args)]
pub struct Job {
    /// The configuration file (TOML); none is read unless named
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The last day whose orders count, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    run_date: Option<String>,
    /// Where the order lines stand: a folder, a file or a glob; a path or URL (input.location)
    #[arg(long, value_name = "URL")]
    input: Option<String>,
    /// Where the tables are published: a path or URL (output.location)
    #[arg(long, value_name = "URL")]
    output: Option<String>,
    /// What to compute: rfm, itemsets, rules; rfm and rules when absent
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    select: Vec<String>,
    /// One configuration value, as in `rules.min_support=0.02`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl From<Job> for config::Arguments {
    fn from(job: Job) -> Self {
        Self {
            config: job.config,
            run_date: job.run_date,
            input: job.input,
            output: job.output,
            select: job.select,
            set: job.set,
        }
    }
}
