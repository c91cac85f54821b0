//! Metrics in Prometheus's text format.

use std::fmt::Write;

/// A metric, and its values, each with its labels.
pub struct Metric<'a> {
    name: &'a str,
    kind: &'static str,
    help: &'a str,
    values: Vec<(String, f64)>,
}

impl<'a> Metric<'a> {
    /// A value that goes up and down.
    pub fn gauge(name: &'a str, help: &'a str, value: f64) -> Self {
        Self::gauges(name, help, vec![(String::new(), value)])
    }

    pub fn gauges(name: &'a str, help: &'a str, values: Vec<(String, f64)>) -> Self {
        Self { name, kind: "gauge", help, values }
    }

    /// Values that only go up.
    pub fn counters(name: &'a str, help: &'a str, values: Vec<(String, f64)>) -> Self {
        Self { name, kind: "counter", help, values }
    }
}

/// All metrics as one text.
pub fn text(metrics: &[Metric<'_>]) -> String {
    let mut text = String::new();
    for Metric { name, kind, help, values } in metrics {
        // writing to a string cannot fail
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}

pub fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}
