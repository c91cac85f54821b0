//! The audits: queries over the staged tables that must return no row.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::prelude::SessionContext;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::{self, Parameters, SqlFile};
use crate::tables::{self, Table};

/// How many offending rows an error shows.
const ROWS_SHOWN: usize = 5;

/// They share the memory.
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
    Audits::new(context, scope)?.end(context, parameters).await
}

/// Audits side by side, and beside what else is done once they have begun.
#[derive(Debug)]
pub struct Audits {
    waiting: Vec<Audit>,
    /// By name; what each finds.
    begun: BTreeMap<&'static str, SpawnedTask<Result<Vec<RecordBatch>>>>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Audit {
    file: &'static SqlFile,
    reads: Vec<&'static Table>,
}

impl Audits {
    /// Those of a scope, none of them begun.
    ///
    /// # Errors
    /// When one of them is no SQL, which is a mistake of ours.
    pub fn new(context: &SessionContext, scope: Scope) -> Result<Self> {
        let state = context.state();
        let mut waiting = Vec::new();
        for file in sql::files_of("audit") {
            let statement = state.sql_to_statement(file.text, &state.config_options().sql_parser.dialect)?;
            let references = state.resolve_table_references(&statement)?;
            let tables = references.iter().filter_map(|reference| tables::table(reference.table()));
            let reads: Vec<&'static Table> = tables.collect();
            if reads.iter().any(|table| table.is_grouped()) == (scope == Scope::Grouped) {
                waiting.push(Audit { file, reads });
            }
        }
        Ok(Self { waiting, begun: BTreeMap::new(), places: Arc::new(Semaphore::new(AT_A_TIME)) })
    }

    /// Begins those whose tables are there.
    pub fn begin(&mut self, context: &SessionContext, parameters: &Parameters) {
        let is_there = |table: &&Table| context.table_exist(table.name).unwrap_or(false);
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<Audit>, _>(|audit| audit.reads.iter().all(is_there));
        self.waiting = waiting;
        for Audit { file, .. } in ready {
            let (context, parameters) = (context.clone(), parameters.clone());
            let places = Arc::clone(&self.places);
            let audit = async move {
                let _place = places.acquire().await;
                offending_rows(&context, file, &parameters).await
            };
            self.begun.insert(file.name, SpawnedTask::spawn(audit.in_current_span()));
        }
    }

    /// Begins the others, too, whose tables are there, and waits for all: how many passed.
    ///
    /// # Errors
    /// `Audit`, with the rows, for the first audit that returns any.
    pub async fn end(mut self, context: &SessionContext, parameters: &Parameters) -> Result<usize> {
        self.begin(context, parameters);
        let mut audits = 0;
        for file in sql::files_of("audit") {
            let Some(audit) = self.begun.remove(file.name) else { continue };
            let ended =
                audit.await.map_err(|error| Error::internal("an audit broke off").caused_by(error))?;
            let offending = ended?;
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
}

/// What an audit finds.
async fn offending_rows(
    context: &SessionContext,
    file: &SqlFile,
    parameters: &Parameters,
) -> Result<Vec<RecordBatch>> {
    let frame = sql::bind(context, file, parameters).await?.frame.limit(0, Some(ROWS_SHOWN))?;
    frame.collect().await.map_err(|error| file.blame(error))
}
