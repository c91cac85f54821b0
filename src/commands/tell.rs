//! What schedulers and monitoring are told of a run, beside its exit code: a result file, metrics, lineage.

use std::fs;
use std::path::{Path, PathBuf};

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
    /// Write what the run took and made as metrics in Prometheus's text format, also when it fails (not when it is stopped or its configuration cannot be read)
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// Send OpenLineage events to an HTTP endpoint, or append them to a file
    #[arg(long, value_name = "URL or FILE")]
    openlineage: Option<String>,
}

/// A run to tell of.
#[derive(Debug)]
pub struct Teller<'a> {
    told: &'a Told,
    config: &'a Config,
    run_id: uuid::Uuid,
}

impl<'a> Teller<'a> {
    pub fn new(told: &'a Told, config: &'a Config, run_id: uuid::Uuid) -> Self {
        Self { told, config, run_id }
    }

    /// Tells that the run begins.
    pub async fn began(&self) {
        self.lineage("START", None, None).await;
    }

    /// Tells how it ended.
    ///
    /// # Errors
    /// When the result file cannot be written, for whoever waits for it would wait in vain. What monitoring is not told is a warning.
    pub async fn ended(&self, outcome: &Result<Report>, code: u8) -> Result<()> {
        if let Some(path) = &self.told.metrics_file {
            let text = metrics::text(self.config, outcome, code);
            if let Err(error) = replace(path, &text) {
                tracing::warn!(%error, "the metrics file could not be written");
            }
        }
        match outcome {
            Ok(report) => self.lineage("COMPLETE", Some(report), None).await,
            Err(_) if code == SKIPPED => self.lineage("COMPLETE", None, None).await,
            Err(error) => self.lineage("FAIL", None, Some(error)).await,
        }
        if let (Some(path), Ok(report)) = (&self.told.xcom_file, outcome) {
            replace(path, &super::to_json(report)?)?;
        }
        Ok(())
    }

    async fn lineage(&self, event_type: &str, report: Option<&Report>, error: Option<&Error>) {
        let Some(target) = &self.told.openlineage else { return };
        let event = openlineage::event(self.config, self.run_id, event_type, report, error);
        if let Err(error) = openlineage::send(target, &event).await {
            tracing::warn!(%error, "an OpenLineage event could not be sent");
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
