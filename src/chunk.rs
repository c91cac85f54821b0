//! Rows many to a row: what goes through lists many times should not pay for each of them as a row.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, ListArray, RecordBatch};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableType;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    SendableRecordBatchStream,
};
use futures::StreamExt;

/// The first column of a relation, a batch to a row: a list of its values.
#[derive(Debug)]
pub struct Chunked {
    relation: Arc<dyn TableProvider>,
    schema: SchemaRef,
}

impl Chunked {
    #[must_use]
    pub fn new(relation: Arc<dyn TableProvider>) -> Self {
        let schema = chunk_schema(&relation.schema());
        Self { relation, schema }
    }
}

fn chunk_schema(schema: &Schema) -> SchemaRef {
    let field = schema.field(0);
    let values = Field::new_list_field(field.data_type().clone(), true);
    let list = DataType::List(Arc::new(values));
    Arc::new(Schema::new(vec![Field::new(format!("{}_chunk", field.name()), list, false)]))
}

#[async_trait]
impl TableProvider for Chunked {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.relation.scan(state, Some(&vec![0]), &[], None).await?;
        Ok(Arc::new(ChunkExec::new(rows)))
    }
}

/// Makes one row of each batch.
#[derive(Debug)]
pub struct ChunkExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl ChunkExec {
    #[must_use]
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(chunk_schema(&input.schema())),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for ChunkExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ChunkExec")
    }
}

impl ExecutionPlan for ChunkExec {
    fn name(&self) -> &'static str {
        "ChunkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(children.pop().map_or(self, |input| Arc::new(Self::new(input))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let chunks = {
            let schema = Arc::clone(&schema);
            let rows = self.input.execute(partition, context)?;
            rows.map(move |batch| chunk(&batch?, &schema))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, chunks)))
    }
}

fn chunk(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let DataType::List(values) = schema.field(0).data_type() else {
        return datafusion::common::internal_err!("a chunk is a list");
    };
    let offsets = OffsetBuffer::from_lengths([batch.num_rows()]);
    let list = ListArray::try_new(Arc::clone(values), offsets, Arc::clone(batch.column(0)), None)?;
    Ok(RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(list) as ArrayRef])?)
}
