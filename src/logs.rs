//! Logs on standard error, and the warnings among them kept for the result.

use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::LogFormat;
use crate::error::{Error, Result};

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What tells of each commit to a Delta table that another run came before as of an error; it is tried again.
const NOISE: &str = "deltalake_core::kernel::transaction";

/// Starts to write logs of a level and more, or of a filter.
///
/// # Errors
/// When it is no level or filter.
pub fn start(level: &str, format: LogFormat) -> Result<()> {
    let filter = EnvFilter::try_new(format!("{NOISE}=off,{level}")).map_err(|error| {
        Error::config("--log-level is no level or filter").with("value", level).caused_by(error)
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    };
    let warnings = Targets::new().with_default(LevelFilter::WARN).with_target(NOISE, LevelFilter::OFF);
    tracing_subscriber::registry().with(lines).with(Warnings.with_filter(warnings)).init();
    Ok(())
}

static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps what a panic says instead of printing it: some are caught, and told as what they mean.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::debug!(%panic, "panicked");
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic.to_string());
    }));
}

/// What the last panic said.
#[must_use]
pub fn last_panic() -> Option<String> {
    LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What was warned of so far, whatever the level of the logs.
#[must_use]
pub fn warnings() -> Vec<String> {
    WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Keeps our own warnings.
struct Warnings;

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != Level::WARN || !metadata.target().starts_with("regulars") {
            return;
        }
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).push(sentence.to_string());
    }
}

/// An event as one line: the message, then its fields in brackets.
#[derive(Default)]
struct Sentence {
    message: String,
    fields: String,
}

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            let part = if self.fields.is_empty() { "" } else { "; " };
            // writing to a string cannot fail
            let _ = write!(self.fields, "{part}{}: {value:?}", field.name());
        }
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.fields.is_empty() { Ok(()) } else { write!(f, " [{}]", self.fields) }
    }
}
