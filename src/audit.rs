//! The audits: queries over the staged tables that must return no row.

use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::{self, Parameters, SqlFile};
use crate::tables;

/// How many offending rows an error shows.
const ROWS_SHOWN: usize = 5;

/// Runs the audits whose tables this run staged.
///
/// # Errors
/// `Audit`, with the rows, for the first audit that returns any.
pub async fn run(context: &SessionContext, parameters: &Parameters) -> Result<usize> {
    let mut audits = 0;
    for file in sql::files_of("audit") {
        if !is_possible(context, file)? {
            continue;
        }
        audits += 1;
        let frame = sql::bind(context, file, parameters).await?.frame;
        let offending =
            frame.limit(0, Some(ROWS_SHOWN))?.collect().await.map_err(|error| file.blame(error))?;
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

/// Whether every published table that the audit reads is there.
fn is_possible(context: &SessionContext, file: &SqlFile) -> Result<bool> {
    let state = context.state();
    let statement = state.sql_to_statement(file.text, &state.config_options().sql_parser.dialect)?;
    let mut references = state.resolve_table_references(&statement)?.into_iter();
    let is_published = |reference: &TableReference| tables::table(reference.table()).is_some();
    Ok(references
        .all(|reference| !is_published(&reference) || context.table_exist(reference).unwrap_or(false)))
}
