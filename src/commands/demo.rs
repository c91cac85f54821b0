//! `demo`: writes the sample shop, runs the whole job on it and shows what a person wants to see.

use std::path::Path;

use datafusion::arrow::util::pretty::pretty_format_batches;

use super::{print, progress};
use crate::config::{Arguments, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::job::{self, RunOptions, Running};
use crate::sql::{self, Parameters};
use crate::{query, sample};

/// How the demo's configuration begins: a folder with such a file is the demo's to write to.
const SIGNATURE: &str = "# Written by `regulars demo`";

pub async fn run(dir: &Path, orders: u32, running: &Running) -> Result<()> {
    let lines = dir.join("order_lines");
    let toml = dir.join("regulars.toml");
    if lines.exists() && !std::fs::read_to_string(&toml).is_ok_and(|text| text.starts_with(SIGNATURE)) {
        return Err(Error::config(
            "the folder has order lines that no demo wrote; choose another with --dir",
        )
        .with("folder", lines.display()));
    }
    let written = sample::write(&lines, orders)?;
    std::fs::write(&toml, configuration(dir)).map_err(|error| {
        Error::new(ErrorKind::External, "the demo's configuration cannot be written")
            .with("file", toml.display())
            .caused_by(error)
    })?;

    let arguments = Arguments {
        config: Some(toml.clone()),
        run_date: Some(sample::LAST_DAY.to_string()),
        ..Arguments::default()
    };
    let config = Config::load(&arguments)?;
    let report = job::run(&config, RunOptions::default(), progress::bar().as_mut(), running).await?;

    let context = query::session(&config).await?;
    let show = async |name: &str| -> Result<String> {
        let rows =
            sql::bind(&context, sql::file(name)?, &Parameters::default()).await?.frame.collect().await?;
        Ok(pretty_format_batches(&rows)?.to_string())
    };
    let segments = show("segments").await?;
    let rules = show("strongest_rules").await?;
    let quoted = |text: String| if text.contains(' ') { format!("'{text}'") } else { text };
    // as it was called, so that the lines below can be pasted
    let program = quoted(std::env::args().next().unwrap_or_else(|| "regulars".to_owned()));
    let (dir, toml) = (dir.display(), quoted(toml.display().to_string()));
    print(&format!(
        "A shop with {orders} orders ({written} lines) was written to {dir}/order_lines, and scored in {:.1} s.\n\n\
         Who the regulars are (rfm_segments):\n{segments}\n\n\
         What is bought together (the ten strongest association_rules):\n{rules}\n\n\
         The tables stand in {dir}/published, one folder each, by run date. Query them:\n\n  \
         {program} sql --config {toml} -c \"SELECT customer_id, rfm_cell, loyalty_score, segment FROM customer_rfm ORDER BY \
         loyalty_score DESC LIMIT 10\"\n\n\
         Run the job again (it will find that nothing has changed):\n\n  \
         {program} run --config {toml} --run-date {}",
        report.seconds,
        sample::LAST_DAY
    ))
}

/// A configuration that a user could go on from.
fn configuration(dir: &Path) -> String {
    // absolute, so that the file serves from any folder
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let quoted = |path: std::path::PathBuf| toml::Value::String(path.display().to_string()).to_string();
    format!(
        "{SIGNATURE}; every key is described in the README.\n\
         [input]\nlocation = {}\n\n\
         [rules]\nmin_support = 0.005\nmin_confidence = 0.3\nmin_lift = 1.1\n\n\
         [output]\nlocation = {}\n",
        quoted(dir.join("order_lines")),
        quoted(dir.join("published")),
    )
}
