//! What a person types: arguments and help texts, nothing of what they mean.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cluster::TlsFiles;
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
    /// Run a Ballista scheduler that knows our functions
    #[command(after_help = SCHEDULER_EXAMPLES)]
    Scheduler(Scheduler),
    /// Run a Ballista executor that knows our functions and object stores
    #[command(after_help = EXECUTOR_EXAMPLES)]
    Executor(Executor),
    /// Print a shell's completion script
    Completions { shell: Shell },
}

impl Command {
    /// Whether it runs until it is told to stop.
    #[must_use]
    pub fn serves(&self) -> bool {
        matches!(self, Self::Scheduler(_) | Self::Executor(_))
    }

    #[must_use]
    pub fn is_executor(&self) -> bool {
        matches!(self, Self::Executor(_))
    }
}

const SCHEDULER_EXAMPLES: &str = "\
It serves gRPC, a REST API (/api/jobs, /api/executors, /api/metrics for Prometheus) and probes (/healthz, /readyz) on
one port. Without the files of TLS anyone who reaches it may use it: keep it on a private network then.

Examples:
  regulars scheduler
  regulars scheduler --host 0.0.0.0 --advertise scheduler.internal";

const EXECUTOR_EXAMPLES: &str = "\
Credentials of object stores come from its own environment. SIGTERM lets it end the tasks that it has; others do the
rest.

Examples:
  regulars executor --scheduler df://127.0.0.1:50050
  regulars executor --scheduler df://scheduler.internal:50050 --host 0.0.0.0 --cores 4 --memory 16GiB --work-dir /data";

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

/// A scheduler.
#[derive(Debug, Args)]
pub struct Scheduler {
    /// The address to listen at
    #[arg(long, default_value = "127.0.0.1", env = "REGULARS_HOST", value_name = "HOST")]
    pub host: String,
    #[arg(long, default_value_t = config::SCHEDULER_PORT, env = "REGULARS_PORT", value_name = "PORT")]
    pub port: u16,
    /// The name that executors reach it by; needed where it listens at all addresses
    #[arg(long, env = "REGULARS_ADVERTISE", value_name = "HOST")]
    pub advertise: Option<String>,
    /// An executor that is not heard of for so long is lost, and others do its work
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, env = "REGULARS_EXECUTOR_TIMEOUT", value_name = "DURATION")]
    pub executor_timeout: Duration,
    /// Another port for /healthz and /readyz, without TLS
    #[arg(long, env = "REGULARS_HEALTH_PORT", value_name = "PORT")]
    pub health_port: Option<u16>,
    #[command(flatten)]
    pub tls: TlsFiles,
}

/// An executor.
#[derive(Debug, Args)]
pub struct Executor {
    /// The scheduler's address
    #[arg(long, env = "REGULARS_SCHEDULER", value_name = "df://HOST:PORT")]
    pub scheduler: config::SchedulerAddress,
    /// The address to listen at
    #[arg(long, default_value = "127.0.0.1", env = "REGULARS_HOST", value_name = "HOST")]
    pub host: String,
    /// Where rows are fetched from
    #[arg(long, default_value_t = 50051, env = "REGULARS_PORT", value_name = "PORT")]
    pub port: u16,
    /// Where the scheduler sends tasks to
    #[arg(long, default_value_t = 50052, env = "REGULARS_GRPC_PORT", value_name = "PORT")]
    pub grpc_port: u16,
    /// Where it answers /healthz, /readyz and /metrics (Prometheus); nowhere unless told
    #[arg(long, env = "REGULARS_HEALTH_PORT", value_name = "PORT")]
    pub health_port: Option<u16>,
    /// The name that others reach it by; the address that it comes from when it listens at all
    #[arg(long, env = "REGULARS_ADVERTISE", value_name = "HOST")]
    pub advertise: Option<String>,
    /// Where rows between the stages of a job stand
    #[arg(long, default_value = "/var/tmp", env = "REGULARS_WORK_DIR", value_name = "DIR")]
    pub work_dir: PathBuf,
    /// Where tasks spill to; the work folder unless told
    #[arg(long, env = "REGULARS_SPILL_DIR", value_name = "DIR")]
    pub spill_dir: Option<PathBuf>,
    /// Tasks at a time; 0 for the number of cores
    #[arg(long, default_value_t = 0, env = "REGULARS_CORES", value_name = "N")]
    pub cores: usize,
    /// The memory that all tasks share; beyond its share a task spills
    #[arg(long, default_value = "8GiB", env = "REGULARS_MEMORY", value_name = "SIZE")]
    pub memory: ByteSize,
    /// How long to wait for the scheduler
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration, env = "REGULARS_WAIT", value_name = "DURATION")]
    pub wait: Duration,
    #[command(flatten)]
    pub tls: TlsFiles,
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
