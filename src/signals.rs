//! SIGTERM and Ctrl-C.

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, Result};

/// Waits for SIGTERM or Ctrl-C and gives the exit code that tells which.
///
/// # Errors
/// When signals cannot be watched.
pub async fn stop_signal() -> Result<u8> {
    let unavailable = |error| Error::internal("signals cannot be watched").caused_by(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unavailable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unavailable)?;
    tokio::select! {
        _ = terminate.recv() => Ok(143),
        _ = interrupt.recv() => Ok(130),
    }
}
