//! A progress bar on a terminal, and nothing otherwise.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::sql::SqlFile;
use crate::steps::{Progress, Silent};

/// Shows progress on standard error if a person is looking.
pub fn bar() -> Box<dyn Progress> {
    if !io::stderr().is_terminal() {
        return Box::new(Silent);
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {elapsed} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    Box::new(Bar(bar))
}

struct Bar(ProgressBar);

impl Progress for Bar {
    fn began(&mut self, file: &SqlFile) {
        self.0.set_message(format!("{}: {}", file.stage, file.name.replace('_', " ")));
    }

    fn ended(&mut self, file: &SqlFile, rows: u64, elapsed: Duration) {
        self.0.set_message(format!(
            "{}: {} ({rows} rows, {:.1} s)",
            file.stage,
            file.name.replace('_', " "),
            elapsed.as_secs_f64()
        ));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
