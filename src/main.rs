//! Parses the arguments, runs the command until it ends or is stopped, prints one error, exits with its code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::future::{AbortHandle, Abortable};
use regulars::cli::Cli;
use regulars::commands::Telling;
use regulars::error::{Error, Result};
use regulars::job::Running;
use regulars::signals::stop_signal;
use regulars::{commands, logs};

/// Enough for expressions of many thousand terms, which are planned by recursion.
const STACK: usize = 64 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs::quiet_panics();
    #[cfg(unix)]
    if cli.command.is_executor() {
        enlarge_stacks();
    }
    let code = logs::start(&cli.log_level, cli.log_format).and_then(|()| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
        let runtime = runtime.map_err(|error| Error::internal("no runtime").caused_by(error))?;
        let code = runtime.block_on(async {
            // a server ends its work first
            if cli.command.serves() {
                commands::execute(cli.command, &Running::default(), &Telling::default()).await
            } else {
                until_stopped(cli).await
            }
        });
        // what still runs on other threads is of no use to anyone
        runtime.shutdown_background();
        code
    });
    ExitCode::from(code.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        error.kind().exit_code()
    }))
}

/// Begins the process anew, once, with stacks that are large on all threads: those of Ballista take their size from the environment alone.
#[cfg(unix)]
fn enlarge_stacks() {
    use std::os::unix::process::CommandExt;

    const SIZE: &str = "RUST_MIN_STACK";
    if std::env::var_os(SIZE).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    if let (Some(name), Ok(program)) = (name, std::env::current_exe()) {
        let error = std::process::Command::new(program)
            .arg0(name)
            .args(arguments)
            .env(SIZE, STACK.to_string())
            .exec();
        eprintln!("warning: deep expressions may end this executor, whose stacks stay small: {error}");
    }
}

/// How long a stopped command may take to notice.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the command on a thread of its own, so that a signal is heard however busy it is.
async fn until_stopped(cli: Cli) -> Result<u8> {
    let (running, telling) = (Running::default(), Telling::default());
    let (done, mut ended) = tokio::sync::oneshot::channel();
    let (stop, stopped) = AbortHandle::new_pair();
    let handle = tokio::runtime::Handle::current();
    let carried_out = {
        let (running, telling) = (running.clone(), telling.clone());
        move || {
            let command = commands::execute(cli.command, &running, &telling);
            let code = handle.block_on(Abortable::new(command, stopped));
            // nobody waits any longer once a signal has come
            let _ = done.send(code);
        }
    };
    let thread = std::thread::Builder::new().name("command".to_owned()).stack_size(STACK).spawn(carried_out);
    thread.map_err(|error| Error::internal("no thread").caused_by(error))?;
    tokio::select! {
        // no answer means that the thread panicked
        code = &mut ended => code.ok().and_then(std::result::Result::ok).unwrap_or_else(|| Err(broken_off())),
        code = stop_signal() => {
            stop.abort();
            if let Ok(Ok(Ok(done))) = tokio::time::timeout(PATIENCE, ended).await {
                // it was done before it heard of it
                return done;
            }
            let code = running.stop().await.and(code);
            telling.stopped(code.as_ref().map_or_else(|error| error.kind().exit_code(), |code| *code)).await;
            if code.is_ok() {
                eprintln!("stopped");
            }
            code
        }
    }
}

/// A mistake of ours, or of a library's.
fn broken_off() -> Error {
    let error = Error::internal("the command broke off; please report this");
    match logs::last_panic() {
        Some(panic) => error.caused_by(panic),
        None => error,
    }
}
