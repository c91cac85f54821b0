//! Runs the SQL logic tests of `tests/sql/`: each relation over tables small enough to count by hand.
//!
//! Beside SQL the tests understand two statements of their own. `PARAMETERS 5 AS bins, ...` sets parameters, maybe
//! `FROM` a relation's row.
//! `RELATION line` runs `sql/*/line.sql` with them, shows its rows and registers them under its name.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use libtest_mimic::{Arguments, Failed, Trial};
use regulars::config::Config;
use regulars::error::Error;
use regulars::sql::{self, Parameters};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

fn main() {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("tests/sql").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let trials = files
        .into_iter()
        .map(|file| {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Trial::test(name, move || run(&file))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// Small batches and several partitions, so that every aggregate merges.
fn session() -> Result<SessionContext, Error> {
    let mut engine = Config::load(&regulars::config::Arguments::default())?.engine;
    engine.target_partitions = 3;
    engine.batch_size = 2;
    regulars::session::embedded(&engine)
}

fn run(file: &Path) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut runner =
            Runner::new(|| async { Ok(Database { context: session()?, parameters: Parameters::default() }) });
        runner.run_file_async(file).await.map_err(|error| Failed::from(error.display(false).to_string()))
    })
}

struct Database {
    context: SessionContext,
    parameters: Parameters,
}

impl Database {
    async fn set_parameters(&mut self, list: &str) -> Result<(), Error> {
        let rows = self.context.sql(&format!("SELECT {list}")).await?.collect().await?;
        for (column, field) in rows[0].schema().fields().iter().enumerate() {
            self.parameters.set(field.name(), ScalarValue::try_from_array(rows[0].column(column), 0)?);
        }
        Ok(())
    }

    async fn relation(&mut self, name: &str) -> Result<Vec<RecordBatch>, Error> {
        let frame = sql::bind(&self.context, sql::file(name)?, &self.parameters).await?.frame;
        let planned = Arc::new(frame.schema().as_arrow().clone());
        let rows = frame.collect().await?;
        let schema = rows.first().map_or(planned, RecordBatch::schema);
        self.context.deregister_table(name)?;
        self.context.register_table(name, Arc::new(MemTable::try_new(schema, vec![rows.clone()])?))?;
        Ok(rows)
    }
}

#[async_trait]
impl AsyncDB for Database {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, statement: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        if let Some(list) = statement.strip_prefix("PARAMETERS ") {
            self.set_parameters(list).await?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let batches = match statement.strip_prefix("RELATION ") {
            Some(name) => self.relation(name.trim()).await?,
            None => self.context.sql(statement).await?.collect().await?,
        };
        if batches.is_empty() || batches[0].num_columns() == 0 {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = batches[0].schema().fields().iter().map(|field| column_type(field.data_type())).collect();
        let rows = batches.iter().map(rows_of).collect::<Result<Vec<_>, _>>()?.concat();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &'static str {
        "regulars"
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        DataType::Float32 | DataType::Float64 => DefaultColumnType::FloatingPoint,
        data_type if data_type.is_integer() => DefaultColumnType::Integer,
        _ => DefaultColumnType::Text,
    }
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<Vec<String>>, DataFusionError> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    let cell = |text: String| if text.is_empty() { "(empty)".to_owned() } else { text };
    Ok((0..batch.num_rows())
        .map(|row| columns.iter().map(|column| cell(column.value(row).to_string())).collect())
        .collect())
}
