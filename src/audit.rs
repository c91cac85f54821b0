//! The audits: queries over the staged tables that must return no row.

use datafusion::arrow::array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::prelude::SessionContext;

use futures::{StreamExt, stream};
use tracing::Instrument;

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
    // a few side by side, since they share the memory; the first in their order that fails is told
    let mut running = stream::iter(sql::files_of("audit"))
        .map(|file| {
            let (context, parameters) = (context.clone(), parameters.clone());
            let audit = async move { offending_rows(&context, file, &parameters, scope).await };
            async move { (file, SpawnedTask::spawn(audit.in_current_span()).await) }
        })
        .buffered(AT_A_TIME);
    let mut audits = 0;
    while let Some((file, audit)) = running.next().await {
        let ended = audit.map_err(|error| Error::internal("an audit broke off").caused_by(error))?;
        let Some(offending) = ended? else { continue };
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
        audits += 1;
    }
    Ok(audits)
}

/// What an audit finds; nothing where it does not apply.
async fn offending_rows(
    context: &SessionContext,
    file: &SqlFile,
    parameters: &Parameters,
    scope: Scope,
) -> Result<Option<Vec<RecordBatch>>> {
    let read = tables_of(context, file)?;
    let is_possible = read.iter().all(|table| context.table_exist(table.name).unwrap_or(false));
    let is_grouped = read.iter().any(|table| table.is_grouped());
    if !is_possible || is_grouped != (scope == Scope::Grouped) {
        return Ok(None);
    }
    let frame = sql::bind(context, file, parameters).await?.frame.limit(0, Some(ROWS_SHOWN))?;
    frame.collect().await.map(Some).map_err(|error| file.blame(error))
}

/// The published tables that the audit reads.
fn tables_of(context: &SessionContext, file: &SqlFile) -> Result<Vec<&'static Table>> {
    let state = context.state();
    let statement = state.sql_to_statement(file.text, &state.config_options().sql_parser.dialect)?;
    let references = state.resolve_table_references(&statement)?;
    Ok(references.iter().filter_map(|reference| tables::table(reference.table())).collect())
}
