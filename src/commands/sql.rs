//! `sql` and `runs`: statements and a prompt by way of datafusion-cli, results as table, CSV or JSON.

use std::sync::Arc;

use chrono::SecondsFormat;
use datafusion::arrow::array::{
    Array, ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray, UInt64Array,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::DFParserBuilder;
use datafusion_cli::cli_context::CliSessionContext;
use datafusion_cli::exec::exec_from_repl;
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::{MaxRows, PrintOptions};

use crate::cli::ResultFormat;
use crate::error::{Error, ErrorKind, Result};
use crate::publish::Commit;
use crate::query::ReadOnly;
use crate::query::Run;

/// Runs statements, or a prompt where there are none.
pub async fn run(context: SessionContext, statements: Option<String>, format: ResultFormat) -> Result<()> {
    let context = ReadOnly(context);
    if let Some(statements) = statements {
        return answer(&context, &statements, format).await;
    }
    let mut options = print_options(format, MaxRows::Limited(100));
    options.quiet = false;
    options.color = true;
    eprintln!("SQL statements end with a semicolon; \\d lists the tables, \\h the functions, \\q ends.");
    exec_from_repl(&context, &mut options)
        .await
        .map_err(|error| Error::new(ErrorKind::External, "the prompt failed").caused_by(error))
}

/// Runs statements one after the other and prints the rows of each.
async fn answer(context: &ReadOnly, statements: &str, format: ResultFormat) -> Result<()> {
    for statement in DFParserBuilder::new(statements).build()?.parse_statements()? {
        let plan = context.session_state().statement_to_plan(statement).await?;
        let frame = context.execute_logical_plan(plan).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await?;
        let batches: Vec<RecordBatch> = match format {
            ResultFormat::Csv => batches.iter().map(nested_as_text).collect::<Result<_>>()?,
            ResultFormat::Table | ResultFormat::Json => batches,
        };
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        print_batches(schema, &batches, format)?;
    }
    Ok(())
}

/// Lists and structs as text: CSV has no other way to hold them.
fn nested_as_text(batch: &RecordBatch) -> Result<RecordBatch> {
    let options = FormatOptions::default();
    let columns = batch.schema_ref().fields().iter().zip(batch.columns()).map(|(field, column)| {
        if !field.data_type().is_nested() {
            return Ok((field.name(), Arc::clone(column)));
        }
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let text: StringArray = (0..column.len())
            .map(|row| column.is_valid(row).then(|| formatter.value(row).to_string()))
            .collect();
        Ok((field.name(), Arc::new(text) as ArrayRef))
    });
    Ok(RecordBatch::try_from_iter(columns.collect::<Result<Vec<_>>>()?)?)
}

fn print_batches(schema: SchemaRef, batches: &[RecordBatch], format: ResultFormat) -> Result<()> {
    let options = datafusion::config::FormatOptions::default();
    // into memory first: what a reader that has gone away says is then no error of the engine
    let mut text = Vec::new();
    let format = print_options(format, MaxRows::Unlimited).format;
    format.print_batches(&mut text, schema, batches, MaxRows::Unlimited, true, &options)?;
    super::print(String::from_utf8_lossy(&text).trim_end_matches('\n'))
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
pub fn print_runs(runs: &[Run], format: ResultFormat) -> Result<()> {
    let kept = |run: &Run| run.kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let kept: StringArray = runs.iter().map(|run| Some(kept(run))).collect();
    let runs: Vec<&Commit> = runs.iter().map(|run| &run.published).collect();
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
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("run_date", Arc::new(runs.iter().map(|run| Some(days(run))).collect::<Date32Array>())),
        ("generation", Arc::new(runs.iter().map(|run| Some(run.generation)).collect::<UInt64Array>())),
        (
            "committed_at",
            Arc::new(
                runs.iter()
                    .map(|run| Some(run.committed_at.to_rfc3339_opts(SecondsFormat::Secs, true)))
                    .collect::<StringArray>(),
            ),
        ),
        (
            "seconds",
            Arc::new(
                runs.iter().map(|run| Some((run.seconds() * 1e3).round() / 1e3)).collect::<Float64Array>(),
            ),
        ),
        ("version", Arc::new(runs.iter().map(|run| Some(run.version.as_str())).collect::<StringArray>())),
        ("rows", Arc::new(runs.iter().map(|run| Some(rows(run))).collect::<StringArray>())),
        ("kept_generations", Arc::new(kept)),
        ("fingerprints", Arc::new(runs.iter().map(|run| Some(fingerprints(run))).collect::<StringArray>())),
    ];
    if format == ResultFormat::Json {
        let parameters = |commit: &Commit| serde_json::to_string(&commit.parameters).ok();
        columns
            .push(("parameters", Arc::new(runs.iter().map(|run| parameters(run)).collect::<StringArray>())));
    }
    let batch = RecordBatch::try_from_iter(columns)?;
    print_batches(batch.schema(), &[batch], format)
}
