//! A run as metrics, for the text-file collector of Prometheus's node exporter.

use chrono::Utc;

use super::tell::SKIPPED;
use crate::config::Config;
use crate::job::{Report, TableReport};
use crate::prometheus::{self, Metric, labels};

/// All metrics of a run that ended: well, with a report, or not.
pub fn text(config: Option<&Config>, report: Option<&Report>, code: u8) -> String {
    let run_date = config.and_then(|config| config.run_date);
    let run_date = run_date.map_or_else(String::new, |date| date.to_string());
    let version = [("run_date", run_date.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
    let ended_well = f64::from(code == 0 || code == SKIPPED);
    let now = Utc::now().timestamp_millis() as f64 / 1e3;
    let mut metrics = vec![
        Metric::gauge("regulars_run_success", "1 when the last run ended well, 0 when it failed", ended_well),
        Metric::gauge("regulars_run_exit_code", "The exit code of the last run", f64::from(code)),
        Metric::gauge("regulars_run_end_timestamp_seconds", "When the last run ended", now),
        Metric::gauges(
            "regulars_run_info",
            "The run date and version of the last run",
            vec![(labels(&version), 1.0)],
        ),
    ];
    if let Some(report) = report {
        metrics.extend(of_report(report));
    }
    prometheus::text(&metrics)
}

fn of_report(report: &Report) -> Vec<Metric<'static>> {
    let stages = report.durations.iter();
    let stages = stages.map(|(stage, seconds)| (labels(&[("stage", stage)]), *seconds)).collect();
    let tables = |value: fn(&TableReport) -> u64| {
        let tables = report.tables.iter();
        tables.map(|(name, table)| (labels(&[("table", name)]), value(table) as f64)).collect()
    };
    let published = f64::from(report.status == "published");
    let mut metrics = vec![
        Metric::gauge("regulars_run_duration_seconds", "How long the last run took", report.seconds),
        Metric::gauge("regulars_run_warnings", "The warnings of the last run", report.warnings.len() as f64),
        Metric::gauge(
            "regulars_run_published",
            "1 when the last run published, 0 when there was nothing to do",
            published,
        ),
        Metric::gauges("regulars_stage_duration_seconds", "How long each stage took", stages),
        Metric::gauges("regulars_table_rows", "The rows of each published table", tables(|table| table.rows)),
        Metric::gauges(
            "regulars_table_bytes",
            "The bytes of each published table",
            tables(|table| table.bytes),
        ),
    ];
    if let Some(generation) = report.generation {
        metrics.push(Metric::gauge("regulars_generation", "The generation that stands", generation as f64));
    }
    metrics
}
