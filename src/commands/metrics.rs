//! A run as metrics in Prometheus's text format, for the text-file collector of its node exporter.

use std::fmt::Write;

use chrono::Utc;

use super::tell::SKIPPED;
use crate::config::Config;
use crate::job::Report;

/// A metric's name, what it is, and its values, each with its labels.
type Metric<'a> = (&'a str, &'a str, Vec<(String, f64)>);

/// All metrics of a run that ended: well, with a report, or not.
pub fn text(config: Option<&Config>, report: Option<&Report>, code: u8) -> String {
    let run_date = config.and_then(|config| config.run_date);
    let run_date = run_date.map_or_else(String::new, |date| date.to_string());
    let mut metrics: Vec<Metric> = vec![
        (
            "regulars_run_success",
            "1 when the last run ended well, 0 when it failed",
            one(f64::from(code == 0 || code == SKIPPED)),
        ),
        ("regulars_run_exit_code", "The exit code of the last run", one(f64::from(code))),
        (
            "regulars_run_end_timestamp_seconds",
            "When the last run ended",
            one(Utc::now().timestamp_millis() as f64 / 1e3),
        ),
        (
            "regulars_run_info",
            "The run date and version of the last run",
            vec![(labels(&[("run_date", &run_date), ("version", env!("CARGO_PKG_VERSION"))]), 1.0)],
        ),
    ];
    if let Some(report) = report {
        let tables = |value: &dyn Fn(&crate::job::TableReport) -> u64| {
            report
                .tables
                .iter()
                .map(|(name, table)| (labels(&[("table", name)]), value(table) as f64))
                .collect()
        };
        metrics.extend([
            ("regulars_run_duration_seconds", "How long the last run took", one(report.seconds)),
            ("regulars_run_warnings", "The warnings of the last run", one(report.warnings.len() as f64)),
            (
                "regulars_run_published",
                "1 when the last run published, 0 when there was nothing to do",
                one(f64::from(report.status == "published")),
            ),
            (
                "regulars_stage_duration_seconds",
                "How long each stage took",
                report
                    .durations
                    .iter()
                    .map(|(stage, seconds)| (labels(&[("stage", stage)]), *seconds))
                    .collect(),
            ),
            ("regulars_table_rows", "The rows of each published table", tables(&|table| table.rows)),
            ("regulars_table_bytes", "The bytes of each published table", tables(&|table| table.bytes)),
        ]);
        if let Some(generation) = report.generation {
            metrics.push(("regulars_generation", "The generation that stands", one(generation as f64)));
        }
    }
    let mut text = String::new();
    for (name, help, values) in metrics {
        // writing to a string cannot fail
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}

fn one(value: f64) -> Vec<(String, f64)> {
    vec![(String::new(), value)]
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}
