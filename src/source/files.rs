//! The listed files as a table: exactly those and no others, so that what is fingerprinted is what is read.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as EngineResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::object_store::ObjectMeta;
use datafusion::object_store::path::Path;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;

use super::schema::parquet_format;
use crate::error::{Error, ErrorKind, Result};

/// What a hive table calls the partition of lines without a value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

#[derive(Debug)]
pub struct ListedFiles {
    store: ObjectStoreUrl,
    format: Arc<dyn FileFormat>,
    schema: TableSchema,
    files: Vec<PartitionedFile>,
    /// Where it is known.
    rows: Option<u64>,
    /// That of the rows of each file, where it is known.
    order: Option<LexOrdering>,
}

/// A Parquet file that this run wrote.
#[derive(Debug, Clone)]
pub struct WrittenFile {
    pub path: Path,
    pub bytes: u64,
    pub rows: u64,
}

impl ListedFiles {
    /// A table over files of one format and schema, below a folder whose `name=value` folders are columns.
    ///
    /// # Errors
    /// When two columns have the same name.
    pub fn try_new(
        store: ObjectStoreUrl,
        format: Arc<dyn FileFormat>,
        file_schema: SchemaRef,
        base: &Path,
        partitions: &[String],
        files: &[ObjectMeta],
    ) -> Result<Self> {
        let columns: Vec<Arc<Field>> =
            partitions.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true))).collect();
        let names: Vec<&String> =
            file_schema.fields().iter().map(|field| field.name()).chain(partitions.iter()).collect();
        if let Some(twice) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
            return Err(
                Error::new(ErrorKind::Schema, "two columns have the same name").with("column", twice.1)
            );
        }
        let files = files
            .iter()
            .map(|file| {
                let mut partitioned = PartitionedFile::from(file.clone());
                partitioned.partition_values = partition_values(base, partitions, file);
                partitioned
            })
            .collect();
        Ok(Self {
            store,
            format,
            schema: TableSchema::builder(file_schema).with_table_partition_cols(columns).build(),
            files,
            rows: None,
            order: None,
        })
    }

    /// A table over files that this run wrote, whose rows are counted.
    ///
    /// # Errors
    /// When two columns have the same name.
    pub fn of_written(store: ObjectStoreUrl, schema: SchemaRef, files: &[WrittenFile]) -> Result<Self> {
        let listed: Vec<ObjectMeta> = files
            .iter()
            .map(|file| ObjectMeta {
                location: file.path.clone(),
                // written once, under a name of its own
                last_modified: DateTime::UNIX_EPOCH,
                size: file.bytes,
                e_tag: None,
                version: None,
            })
            .collect();
        let format = Arc::new(parquet_format());
        let table = Self::try_new(store, format, schema, &Path::default(), &[], &listed)?;
        Ok(Self { rows: Some(files.iter().map(|file| file.rows).sum()), ..table })
    }

    /// The same where each file has an order, which is kept: a file is a partition.
    #[must_use]
    pub fn each_in_order(self, order: LexOrdering) -> Self {
        Self { order: Some(order), ..self }
    }
}

/// The `name=value` folders between a folder and a file.
pub fn folders(base: &Path, file: &ObjectMeta) -> Vec<(String, String)> {
    let parts: Vec<_> = file.location.prefix_match(base).into_iter().flatten().collect();
    let folders = &parts[..parts.len().saturating_sub(1)];
    let pair = |folder: &str| folder.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    folders.iter().filter_map(|folder| pair(folder.as_ref())).collect()
}

/// A file's values of the partition columns, each of which it lies in a folder of.
fn partition_values(base: &Path, partitions: &[String], file: &ObjectMeta) -> Vec<ScalarValue> {
    let folders = folders(base, file);
    let value = |name: &String| {
        let found = folders.iter().find(|(folder, _)| folder == name).map(|(_, value)| value);
        let value = found.filter(|value| *value != NO_VALUE);
        ScalarValue::Utf8(value.cloned())
    };
    partitions.iter().map(value).collect()
}

#[async_trait]
impl TableProvider for ListedFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let partitions = match self.order {
            Some(_) => self.files.len(),
            None => state.config().target_partitions(),
        };
        let groups = FileGroup::new(self.files.clone()).split_files(partitions);
        let source = self.format.file_source(self.schema.clone());
        let mut statistics = Statistics::new_unknown(self.schema.table_schema());
        if let Some(rows) = self.rows {
            statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        let scan = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_statistics(statistics)
            .with_output_ordering(self.order.iter().cloned().collect())
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        self.format.create_physical_plan(state, scan).await
    }
}

/// The schema with every column a string.
pub fn as_strings(schema: &Schema) -> SchemaRef {
    let text = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    Arc::new(Schema::new(schema.fields().iter().map(text).collect::<Vec<_>>()))
}
