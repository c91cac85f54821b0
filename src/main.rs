//! Parses the arguments, runs the command until it ends or is stopped, prints one error, exits with its code.

use std::process::ExitCode;
use std::sync::PoisonError;

use clap::Parser;
use regulars::cli::{Cli, LogFormat};
use regulars::commands;
use regulars::error::{Error, Result};
use regulars::job::Running;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = start_logs(&cli.log_level, cli.log_format).and_then(|()| {
        let runtime =
            tokio::runtime::Runtime::new().map_err(|error| Error::internal("no runtime").caused_by(error))?;
        let code = runtime.block_on(until_stopped(cli));
        // what still runs on other threads is of no use to anyone
        runtime.shutdown_background();
        code
    });
    ExitCode::from(code.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        error.kind().exit_code()
    }))
}

async fn until_stopped(cli: Cli) -> Result<u8> {
    let running = Running::default();
    tokio::select! {
        code = commands::execute(cli.command, &running) => code,
        code = stop_signal() => {
            let attempt = running.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(attempt) = attempt {
                attempt.discard().await?;
            }
            eprintln!("stopped");
            code
        }
    }
}

/// Waits for Ctrl-C or SIGTERM and gives the exit code that tells which.
async fn stop_signal() -> Result<u8> {
    use tokio::signal::unix::{SignalKind, signal};
    let unavailable = |error| Error::internal("signals cannot be watched").caused_by(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unavailable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unavailable)?;
    tokio::select! {
        _ = terminate.recv() => Ok(143),
        _ = interrupt.recv() => Ok(130),
    }
}

fn start_logs(level: &str, format: LogFormat) -> Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Error::config("--log-level is no level or filter").with("value", level).caused_by(error)
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
