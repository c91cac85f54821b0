//! The audits: queries over the staged tables that must return no row.

use datafusion::common::runtime::SpawnedTask;
use datafusion::prelude::SessionContext;

use futures::{StreamExt, stream};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::{self, Parameters, SqlFile};
use crate::tables::{self, Table};

/// How many offending rows an error shows.
const ROWS_SHOWN: usize = 5;

const AT_A_TIME: usize = 4;

/// Which audits to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of the tables that `rules.by` groups: they hold for each group with its own parameters.
    Grouped,
    /// All others.
    Ungrouped,
}

/// Runs the audits whose tables this run staged.
///
/// # Errors
/// `Audit`, with the rows, for the first audit that returns any.
pub async fn run(context: &SessionContext, parameters: &Parameters, scope: Scope) -> Result<usize> {
    let mut frames = Vec::new();
    for file in sql::files_of("audit") {
        let read = tables_of(context, file)?;
        let is_possible = read.iter().all(|table| context.table_exist(table.name).unwrap_or(false));
        let is_grouped = read.iter().any(|table| table.is_grouped());
        if is_possible && is_grouped == (scope == Scope::Grouped) {
            let frame = sql::bind(context, file, parameters).await?.frame.limit(0, Some(ROWS_SHOWN))?;
            frames.push((file, frame));
        }
    }
    let audits = frames.len();
    // a few side by side, since they share the memory; the first in their order that fails is told
    let mut running = stream::iter(frames)
        .map(|(file, frame)| async move { (file, SpawnedTask::spawn(frame.collect()).await) })
        .buffered(AT_A_TIME);
    while let Some((file, audit)) = running.next().await {
        let ended = audit.map_err(|error| Error::internal("an audit broke off").caused_by(error))?;
        let offending = ended.map_err(|error| file.blame(error))?;
        if offending.iter().any(|rows| rows.num_rows() > 0) {
            let rows = datafusion::arrow::util::pretty::pretty_format_batches(&offending)?;
            return Err(Error::new(
                ErrorKind::Audit,
                format!(
                    "nothing was published: the audit {} found rows that must not be:\n{rows}\n",
                    file.name
                ),
            ));
        }
        tracing::info!(audit = file.name, "passed");
    }
    Ok(audits)
}

/// The published tables that the audit reads.
fn tables_of(context: &SessionContext, file: &SqlFile) -> Result<Vec<&'static Table>> {
    let state = context.state();
    let statement = state.sql_to_statement(file.text, &state.config_options().sql_parser.dialect)?;
    let references = state.resolve_table_references(&statement)?;
    Ok(references.iter().filter_map(|reference| tables::table(reference.table())).collect())
}
