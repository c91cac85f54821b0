//! A table whose rows executors wrote, each partition its own in the table's order: merged to one part here, or split to several
//! by the executors side by side.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{ScalarUDF, ident, lit};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{Partitioning, execute_stream};
use datafusion::prelude::SessionContext;

use super::scratch::Scratch;
use crate::cluster::write::{Kind, Object, Target};
use crate::cluster::{self, OnCluster};
use crate::error::{Error, Result};
use crate::kept;
use crate::source::WrittenFile;
use crate::tables::Table;
use crate::udf::part_number::PartNumber;

/// The rows of files that are each in the table's order, in that order.
///
/// # Errors
/// When the files cannot be read.
pub async fn merged(
    context: &SessionContext,
    scratch: &Scratch,
    table: &Table,
    files: &[WrittenFile],
) -> Result<SendableRecordBatchStream> {
    let order = order(table, 0)?;
    let relation = scratch.relation(table.schema(), files)?.each_in_order(order.clone());
    // here, whatever the size: one part is written by one process
    let scan = relation.scan(&context.state(), None, &[], None).await?;
    let merge = SortPreservingMergeExec::new(order, scan);
    Ok(execute_stream(Arc::new(merge), context.task_ctx())?)
}

/// Splits rows by a hash of their key, has the executors write the parts, and tells them.
///
/// # Errors
/// When the job fails.
pub async fn split(
    context: &SessionContext,
    scratch: &Scratch,
    table: &Table,
    files: &[WrittenFile],
    parts: usize,
    folder: String,
) -> Result<Vec<Object>> {
    let Some(cluster) = cluster::of(context) else { return Err(Error::internal("there is no cluster")) };
    let part_number = ScalarUDF::from(PartNumber::default());
    let arguments = [lit(parts as i64)].into_iter().chain(table.key().map(ident)).collect();
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| ident(field.name()));
    let numbered: Vec<_> = [part_number.call(arguments).alias(PART)].into_iter().chain(columns).collect();
    let rows = context.read_table(Arc::new(scratch.relation(table.schema(), files)?))?.select(numbered)?;
    let plan = rows.create_physical_plan().await?;
    let remote = match plan.downcast_ref::<OnCluster>() {
        Some(remote) => remote.instead(remote.side_by_side()?),
        None => OnCluster::new(cluster, plan),
    };
    let partitions = parts.min(context.copied_config().target_partitions());
    let by_part = Partitioning::Hash(vec![Arc::new(Column::new(PART, 0))], partitions);
    let exchanged = RepartitionExec::try_new(remote.side_by_side()?, by_part)?;
    let first = PhysicalSortExpr::new_default(Arc::new(Column::new(PART, 0)));
    let within = [first].into_iter().chain(order(table, 1)?);
    let within = LexOrdering::new(within).ok_or_else(|| Error::internal("a table has no order"))?;
    let sorted = SortExec::new(within, Arc::new(exchanged)).with_preserve_partitioning(true);
    let kind = Kind::Parts { table: table.name.to_owned(), groups: table.groups.clone() };
    kept::write(context, &remote, Arc::new(sorted), Target { folder, kind }).await
}

const PART: &str = "number of the part";

/// The table's order, over columns that begin at a place.
fn order(table: &Table, first: usize) -> Result<LexOrdering> {
    let schema = table.schema();
    let by = table.order().map(|(name, options)| {
        let place = schema.index_of(name)? + first;
        Ok(PhysicalSortExpr::new(Arc::new(Column::new(name, place)), options))
    });
    let by = by.collect::<Result<Vec<_>>>()?;
    LexOrdering::new(by).ok_or_else(|| Error::internal("a table has no order"))
}
