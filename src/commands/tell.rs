//! What schedulers and monitoring are told of a run, beside its exit code: a result file, metrics, lineage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;

use super::{metrics, openlineage};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Report;

/// The exit code of a run without lines that was to be skipped then.
pub const SKIPPED: u8 = 99;

/// Where to tell it.
#[derive(Debug, Default, Args)]
pub struct Told {
    /// Write the result as JSON to a file, too, such as Airflow's /airflow/xcom/return.json
    #[arg(long, value_name = "FILE")]
    xcom_file: Option<PathBuf>,
    /// Write what the run took and made as metrics in Prometheus's text format, also when it fails or is stopped
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// Send OpenLineage events to an HTTP endpoint, or append them to a file
    #[arg(long, value_name = "URL or FILE")]
    openlineage: Option<String>,
}

/// A run to tell of; without a configuration where that could not be read.
#[derive(Debug, Clone)]
pub struct Teller {
    told: Arc<Told>,
    config: Option<Arc<Config>>,
    run_id: uuid::Uuid,
}

impl Teller {
    pub fn new(told: Told, config: Option<Arc<Config>>, run_id: uuid::Uuid) -> Self {
        Self { told: Arc::new(told), config, run_id }
    }

    fn measure(&self, report: Option<&Report>, code: u8) {
        let Some(path) = &self.told.metrics_file else { return };
        let text = metrics::text(self.config.as_deref(), report, code);
        if let Err(error) = replace(path, &text) {
            tracing::warn!(%error, "the metrics file could not be written");
        }
    }

    async fn lineage(&self, event_type: &str, report: Option<&Report>, error: Option<&Error>) {
        let Some(target) = &self.told.openlineage else { return };
        let event = openlineage::event(self.config.as_deref(), self.run_id, event_type, report, error);
        if let Err(error) = openlineage::send(target, &event).await {
            tracing::warn!(%error, "an OpenLineage event could not be sent");
        }
    }
}

/// How long a run that is stopped may take to tell of it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The run that is told of, from when it began until its end was told.
#[derive(Debug, Clone, Default)]
pub struct Telling(Arc<Mutex<Option<Teller>>>);

impl Telling {
    fn take(&self) -> Option<Teller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Tells that a run begins.
    pub async fn began(&self, teller: Teller) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(teller.clone());
        teller.lineage("START", None, None).await;
    }

    /// Tells how it ended.
    ///
    /// # Errors
    /// When the result file cannot be written, for whoever waits for it would wait in vain. What monitoring is not told is a warning.
    pub async fn ended(&self, outcome: &Result<Report>, code: u8) -> Result<()> {
        let teller = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(teller) = teller else { return Ok(()) };
        teller.measure(outcome.as_ref().ok(), code);
        match outcome {
            Ok(report) => teller.lineage("COMPLETE", Some(report), None).await,
            Err(_) if code == SKIPPED => teller.lineage("COMPLETE", None, None).await,
            Err(error) => teller.lineage("FAIL", None, Some(error)).await,
        }
        if let (Some(path), Ok(report)) = (&teller.told.xcom_file, outcome) {
            replace(path, &super::to_json(report)?)?;
        }
        self.take();
        Ok(())
    }

    /// Tells that a signal stopped it, if it runs.
    pub async fn stopped(&self, code: u8) {
        let Some(teller) = self.take() else { return };
        teller.measure(None, code);
        let told = tokio::time::timeout(LAST_WORDS, teller.lineage("ABORT", None, None)).await;
        if told.is_err() {
            tracing::warn!("an OpenLineage event could not be sent in time");
        }
    }
}

/// Writes a file as a whole: who reads it sees the old text or the new.
fn replace(path: &Path, text: &str) -> Result<()> {
    let unwritable = |error: std::io::Error| {
        Error::new(ErrorKind::External, "a file cannot be written")
            .with("file", path.display())
            .caused_by(error)
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::write(&beside, format!("{}\n", text.trim_end())).map_err(unwritable)?;
    fs::rename(&beside, path).map_err(unwritable)
}
