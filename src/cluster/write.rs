//! The sink that executors run side by side: each partition writes objects of its own and tells which.
//!
//! A task that is tried again writes again, under other names where names are not fixed; what counts is what the task that
//! succeeded told.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::path::Path;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    SendableRecordBatchStream,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use url::{Position, Url};

use crate::error::Error;
use crate::publish::part_writer::{Compressed, PartWriter, Written};
use crate::rows::{all_nullable, with_schema};
use crate::tables::{self, GroupColumn};

/// Where rows are written and as what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The folder, as a URL that ends with a slash.
    pub folder: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Rows kept for later stages: an object a partition, under a name that nobody else takes.
    Kept,
    /// Rows of a published table, in its order: an object a partition, to be merged or split into parts.
    Rows { table: String, groups: Vec<GroupColumn> },
    /// Parts of a published table: the rows come with the number of their part before them, and in its order.
    Parts { table: String, groups: Vec<GroupColumn> },
}

impl Kind {
    /// The schema of what is written.
    fn schema(&self, rows: &SchemaRef) -> Result<SchemaRef> {
        match self {
            Self::Kept => Ok(all_nullable(rows)),
            Self::Rows { table, groups } | Self::Parts { table, groups } => {
                if let Some(table) = tables::table(table) {
                    Ok(table.led_by(groups).schema())
                } else {
                    internal_err!("there is no table {table}")
                }
            }
        }
    }
}

/// An object that was written.
#[derive(Debug, Clone)]
pub struct Object {
    /// Of a published table; 0 for rows that are kept.
    pub part: i64,
    pub path: Path,
    pub rows: u64,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

#[derive(Debug)]
pub struct WriteExec {
    input: Arc<dyn ExecutionPlan>,
    target: Target,
    properties: Arc<PlanProperties>,
}

impl WriteExec {
    /// # Errors
    /// When the target is a table that there is none of.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, target: Target) -> Result<Self> {
        target.kind.schema(&input.schema())?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(told_schema()),
            input.output_partitioning().clone(),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self { input, target, properties: Arc::new(properties) })
    }

    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// What a partition tells of its objects.
fn told_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("part", DataType::Int64, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("rows", DataType::UInt64, false),
        Field::new("bytes", DataType::UInt64, false),
        Field::new("sha256", DataType::Utf8, false),
    ]))
}

/// The objects that batches tell of.
#[must_use]
pub fn told(batches: &[RecordBatch]) -> Vec<Object> {
    let objects = batches.iter().flat_map(|batch| {
        let count = |column: usize| batch.column(column).as_primitive::<UInt64Type>();
        let text = |column: usize| batch.column(column).as_string::<i32>();
        (0..batch.num_rows()).map(move |row| Object {
            part: batch.column(0).as_primitive::<Int64Type>().value(row),
            path: Path::from(text(1).value(row)),
            rows: count(2).value(row),
            bytes: count(3).value(row),
            sha256: text(4).value(row).to_owned(),
        })
    });
    objects.collect()
}

fn telling(objects: &[Object]) -> Result<RecordBatch> {
    let text = |of: fn(&Object) -> String| -> ArrayRef {
        Arc::new(objects.iter().map(|object| Some(of(object))).collect::<StringArray>())
    };
    let count = |of: fn(&Object) -> u64| -> ArrayRef {
        Arc::new(objects.iter().map(of).map(Some).collect::<UInt64Array>())
    };
    let parts: Int64Array = objects.iter().map(|object| Some(object.part)).collect();
    let columns = vec![
        Arc::new(parts) as ArrayRef,
        text(|object| object.path.to_string()),
        count(|object| object.rows),
        count(|object| object.bytes),
        text(|object| object.sha256.clone()),
    ];
    Ok(RecordBatch::try_new(told_schema(), columns)?)
}

impl DisplayAs for WriteExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.target.kind {
            Kind::Kept => f.write_str("WriteExec: kept rows"),
            Kind::Rows { table, .. } => write!(f, "WriteExec: rows of {table}"),
            Kind::Parts { table, .. } => write!(f, "WriteExec: parts of {table}"),
        }
    }
}

impl ExecutionPlan for WriteExec {
    fn name(&self) -> &'static str {
        "WriteExec"
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

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(Self::try_new(input, self.target.clone())?)),
            None => Ok(self),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, Arc::clone(&context))?;
        let target = self.target.clone();
        let writing = async move {
            let folder = Url::parse(&target.folder)
                .map_err(|error| Error::internal("the folder is no URL").caused_by(error))?;
            let store_url = ObjectStoreUrl::parse(&folder[..Position::BeforePath])?;
            let store = context.runtime_env().object_store(store_url)?;
            let path = Path::from_url_path(folder.path())
                .map_err(|error| Error::internal("the folder is no path").caused_by(error))?;
            let schema = target.kind.schema(&rows.schema())?;
            let objects = match target.kind {
                Kind::Kept | Kind::Rows { .. } => keep(rows, schema, &store, &path).await?,
                Kind::Parts { .. } => write_parts(rows, schema, &store, &path).await?,
            };
            telling(&objects)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(told_schema(), futures::stream::once(writing))))
    }
}

/// Writes all rows to one object; to none where there are none.
async fn keep(
    mut rows: SendableRecordBatchStream,
    schema: SchemaRef,
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
) -> Result<Vec<Object>> {
    let mut writer: Option<PartWriter> = None;
    while let Some(batch) = rows.next().await {
        let batch = with_schema(&batch?, &schema)?;
        if batch.num_rows() == 0 {
            continue;
        }
        let open = if let Some(open) = &mut writer {
            open
        } else {
            let path = folder.clone().join(format!("{}.parquet", uuid::Uuid::new_v4().simple()));
            writer.insert(PartWriter::open(store, path, Arc::clone(&schema), Compressed::Fast))
        };
        open.write(&batch).await?;
    }
    match writer {
        Some(writer) => Ok(vec![ended(0, writer).await?]),
        None => Ok(Vec::new()),
    }
}

/// Writes rows to the parts that their first column numbers, one after the other.
async fn write_parts(
    mut rows: SendableRecordBatchStream,
    schema: SchemaRef,
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
) -> Result<Vec<Object>> {
    let columns: Vec<usize> = (1..=schema.fields().len()).collect();
    let mut objects = Vec::new();
    let mut writer: Option<(i64, PartWriter)> = None;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let numbers = batch.column(0).as_primitive::<Int64Type>();
        let table_rows = with_schema(&batch.project(&columns)?, &schema)?;
        for range in partition(&[Arc::clone(batch.column(0))])?.ranges() {
            let number = numbers.value(range.start);
            if let Some((open, ended_writer)) = writer.take_if(|(open, _)| *open != number) {
                objects.push(ended(open, ended_writer).await?);
            }
            let (_, open) = if let Some(open) = &mut writer {
                open
            } else {
                let path = folder.clone().join(tables::part_name(usize::try_from(number).unwrap_or(0)));
                let open = PartWriter::open(store, path, Arc::clone(&schema), Compressed::Well);
                writer.insert((number, open))
            };
            open.write(&table_rows.slice(range.start, range.len())).await?;
        }
    }
    if let Some((number, open)) = writer {
        objects.push(ended(number, open).await?);
    }
    Ok(objects)
}

async fn ended(part: i64, writer: PartWriter) -> Result<Object> {
    let path = writer.staged.clone();
    let Written { rows, bytes, sha256 } = writer.finish().await?;
    Ok(Object { part, path, rows, bytes, sha256 })
}
