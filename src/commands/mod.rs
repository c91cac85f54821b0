//! What each command does: resolves its arguments, calls the library, prints results to standard output.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use clap::CommandFactory;
use tracing::Instrument;

use crate::cli::{self, Cli, Command, Job, ResultFormat};
use crate::cluster::{self, ExecutorOptions, SchedulerOptions, Tls};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::job::{self, RunOptions, Running};
use crate::{publish, query};
use tell::{SKIPPED, Teller};

mod demo;
mod metrics;
mod openlineage;
mod progress;
mod sql;
mod tell;

pub use tell::{Telling, Told};

/// Runs a command; the exit code when it ends well.
///
/// # Errors
/// What the command could not do.
pub async fn execute(command: Command, running: &Running, telling: &Telling) -> Result<u8> {
    let run_id = uuid::Uuid::new_v4();
    // so that each line of the logs tells which run it is of
    carry_out(command, running, telling, run_id).instrument(tracing::error_span!("run", %run_id)).await
}

async fn carry_out(command: Command, running: &Running, telling: &Telling, run_id: uuid::Uuid) -> Result<u8> {
    match command {
        Command::Demo { dir, orders } => demo::run(&dir, orders, running).await?,
        Command::Run { job, force, dry_run, json, skip_if_empty, told } => {
            let config = Config::load(&job.into()).map(Arc::new);
            telling.began(Teller::new(told, config.as_ref().ok().cloned(), run_id)).await;
            let options = RunOptions { force, dry_run, run_id };
            let outcome = match config {
                Ok(config) => job::run(&config, options, progress::bar().as_mut(), running).await,
                Err(error) => Err(error),
            };
            let code = match &outcome {
                Ok(_) => 0,
                Err(error) if error.kind() == ErrorKind::Empty && skip_if_empty => SKIPPED,
                Err(error) => error.kind().exit_code(),
            };
            telling.ended(&outcome, code).await?;
            let report = match outcome {
                Err(error) if code == SKIPPED => {
                    tracing::warn!(%error, "skipped");
                    return Ok(SKIPPED);
                }
                report => report?,
            };
            print(&if json { to_json(&report)? } else { sentence(&report) })?;
        }
        Command::Check { job } => {
            job::check(&Config::load(&job.into())?).await?;
            print("The configuration and the input's schema are fine.")?;
        }
        Command::Explain { job, analyze } => explain(job, analyze).await?,
        Command::Sql { job, command, file, format } => {
            let statements = match (command, file) {
                (Some(command), _) => Some(command),
                (None, Some(file)) => Some(std::fs::read_to_string(&file).map_err(|error| {
                    Error::config("the file cannot be read").with("file", file.display()).caused_by(error)
                })?),
                (None, None) if io::stdin().is_terminal() => None,
                (None, None) => Some(io::read_to_string(io::stdin().lock()).map_err(unreadable)?),
            };
            let context = query::session(&Config::load(&job.into())?).await?;
            sql::run(context, statements, format).await?;
        }
        Command::Runs { job, format } => runs(job, format).await?,
        Command::Rollback { job, to } => {
            let commit = publish::rollback(&Config::load(&job.into())?, to).await?;
            print(&format!(
                "Generation {to} of {} stands again, as generation {}.",
                commit.run_date, commit.generation
            ))?;
        }
        Command::Scheduler(options) => cluster::scheduler(&scheduler_options(options)?).await?,
        Command::Executor(options) => cluster::executor(&executor_options(options)?).await?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "regulars", &mut script);
            print(String::from_utf8_lossy(&script).trim_end())?;
        }
    }
    Ok(0)
}

fn scheduler_options(options: cli::Scheduler) -> Result<SchedulerOptions> {
    let is_anywhere = ["0.0.0.0", "::"].contains(&options.host.as_str());
    if is_anywhere && options.advertise.is_none() {
        let message =
            "--host says to listen at all addresses: name with --advertise the one that executors reach";
        return Err(Error::config(message).with("host", options.host));
    }
    Ok(SchedulerOptions {
        advertise: options.advertise.unwrap_or_else(|| options.host.clone()),
        host: options.host,
        port: options.port,
        executor_timeout: options.executor_timeout,
        health_port: options.health_port,
        tls: Tls::read(&options.tls)?,
    })
}

fn executor_options(options: cli::Executor) -> Result<ExecutorOptions> {
    Ok(ExecutorOptions {
        scheduler: options.scheduler,
        host: options.host,
        advertise: options.advertise,
        port: options.port,
        grpc_port: options.grpc_port,
        health_port: options.health_port,
        spill_dir: options.spill_dir.unwrap_or_else(|| options.work_dir.clone()),
        work_dir: options.work_dir,
        cores: options.cores,
        memory: options.memory.as_u64(),
        wait: options.wait,
        tls: Tls::read(&options.tls)?,
    })
}

async fn explain(job: Job, analyze: bool) -> Result<()> {
    let config = Config::load(&job.into())?;
    let explained = job::explain(&config, analyze, progress::bar().as_mut()).await?;
    for step in explained {
        let parameters = if step.parameters.is_empty() { "none" } else { &step.parameters };
        print(&format!(
            "==== {}/{}.sql ====\n\n{}\nParameters: {parameters}\n\n{}",
            step.file.stage, step.file.name, step.file.text, step.plan
        ))?;
    }
    Ok(())
}

async fn runs(job: Job, format: ResultFormat) -> Result<()> {
    let config = Config::load(&job.into())?;
    let runs = query::runs(&config).await?;
    sql::print_runs(&runs, format)
}

fn to_json(report: &job::Report) -> Result<String> {
    serde_json::to_string(report).map_err(|error| Error::internal("the result is no JSON").caused_by(error))
}

fn sentence(report: &job::Report) -> String {
    let tables: Vec<String> =
        report.tables.iter().map(|(name, table)| format!("  {name}: {} rows", table.rows)).collect();
    let generation =
        report.generation.map_or_else(String::new, |generation| format!(" as generation {generation}"));
    let what = match report.status {
        "unchanged" => "The same inputs and parameters are published already; nothing was done. There stands",
        "dry_run" => "Computed and audited, not published:",
        _ => "Published",
    };
    format!("{what} {}{generation} ({:.1} s)\n{}", report.run_date, report.seconds, tables.join("\n"))
}

/// Prints to standard output; a reader that has gone away is no error.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::External, "standard output cannot be written").caused_by(error))
        }
        _ => Ok(()),
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::Input, "standard input cannot be read").caused_by(error)
}
