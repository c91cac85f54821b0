//! What tests of planner rules have in common: an embedded session, and what a query finds in it.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use crate::config::{Arguments, Config};

/// An embedded session with a memory limit and so many partitions.
pub fn session(memory_limit: &str, partitions: usize) -> SessionContext {
    let set =
        vec![format!("engine.memory_limit={memory_limit}"), format!("engine.target_partitions={partitions}")];
    let engine = Config::load(&Arguments { set, ..Arguments::default() }).unwrap().engine;
    crate::session::embedded(&engine).unwrap()
}

/// What a query finds.
pub fn batches(context: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    let rows = async { context.sql(sql).await?.collect().await };
    tokio::runtime::Runtime::new().unwrap().block_on(rows).unwrap()
}

/// What a query finds, as a table of text.
pub fn found(context: &SessionContext, sql: &str) -> String {
    pretty_format_batches(&batches(context, sql)).unwrap().to_string()
}
