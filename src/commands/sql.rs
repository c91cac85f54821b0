//! `sql` and `runs`: statements and a prompt by way of datafusion-cli, results as table, CSV or JSON.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray, UInt64Array};
use datafusion::common::instant::Instant;
use datafusion::config::FormatOptions;
use datafusion::prelude::SessionContext;
use datafusion_cli::exec::{exec_from_commands, exec_from_repl};
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::{MaxRows, PrintOptions};

use crate::cli::ResultFormat;
use crate::error::{Error, ErrorKind, Result};
use crate::publish::Commit;
use crate::query::ReadOnly;

/// Runs statements, or a prompt where there are none.
pub async fn run(context: SessionContext, statements: Option<String>, format: ResultFormat) -> Result<()> {
    let context = ReadOnly(context);
    if let Some(statements) = statements {
        let options = print_options(format, MaxRows::Unlimited);
        return Ok(exec_from_commands(&context, vec![statements], &options).await?);
    }
    let mut options = print_options(format, MaxRows::Limited(100));
    options.quiet = false;
    options.color = true;
    eprintln!("SQL statements end with a semicolon; \\d lists the tables, \\h the functions, \\q ends.");
    exec_from_repl(&context, &mut options)
        .await
        .map_err(|error| Error::new(ErrorKind::External, "the prompt failed").caused_by(error))
}

fn print_options(format: ResultFormat, maxrows: MaxRows) -> PrintOptions {
    PrintOptions {
        format: match format {
            ResultFormat::Table => PrintFormat::Table,
            ResultFormat::Csv => PrintFormat::Csv,
            ResultFormat::Json => PrintFormat::Json,
        },
        quiet: true,
        maxrows,
        color: false,
        instrumented_registry: Arc::new(InstrumentedObjectStoreRegistry::new()),
    }
}

/// Prints the published runs, one a row.
pub fn print_runs(runs: &[Commit], format: ResultFormat) -> Result<()> {
    let days = |commit: &Commit| {
        let days = commit.run_date.signed_duration_since(chrono::NaiveDate::default()).num_days();
        i32::try_from(days).unwrap_or_default()
    };
    let fingerprints = |commit: &Commit| {
        let short = commit.fingerprints.iter().map(|(name, fingerprint)| format!("{name} {fingerprint:.12}"));
        short.collect::<Vec<_>>().join(", ")
    };
    let rows = |commit: &Commit| {
        let tables = commit.tables.iter().map(|(name, table)| format!("{name} {}", table.rows));
        tables.collect::<Vec<_>>().join(", ")
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("run_date", Arc::new(runs.iter().map(|run| Some(days(run))).collect::<Date32Array>())),
        ("generation", Arc::new(runs.iter().map(|run| Some(run.generation)).collect::<UInt64Array>())),
        (
            "committed_at",
            Arc::new(runs.iter().map(|run| Some(run.committed_at.to_rfc3339())).collect::<StringArray>()),
        ),
        ("seconds", Arc::new(runs.iter().map(|run| Some(run.seconds())).collect::<Float64Array>())),
        ("version", Arc::new(runs.iter().map(|run| Some(run.version.as_str())).collect::<StringArray>())),
        ("rows", Arc::new(runs.iter().map(|run| Some(rows(run))).collect::<StringArray>())),
        ("fingerprints", Arc::new(runs.iter().map(|run| Some(fingerprints(run))).collect::<StringArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let count = batch.num_rows();
    print_options(format, MaxRows::Unlimited).print_batches(
        batch.schema(),
        &[batch],
        Instant::now(),
        count,
        &FormatOptions::default(),
    )?;
    Ok(())
}
