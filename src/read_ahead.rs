//! A rule for the planner, and its reader: the next row group of a Parquet file is read while one is decoded.
//!
//! The engine asks for the bytes of a row group once it has decoded the one before, and waits. With an object store that wait is a request
//! a row group; with files it leaves a core idle while another thread copies them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::planner_rule::{PlannerRule, Replacement};

/// Lets scans of Parquet files read ahead.
pub const READ_AHEAD: PlannerRule = PlannerRule("read_ahead", reading_ahead);

/// Larger row groups take long to decode, and what is read ahead counts against no limit.
const LARGEST: u64 = 8 << 20;

#[allow(clippy::unnecessary_wraps, reason = "other rules may fail")]
fn reading_ahead(plan: &Arc<dyn ExecutionPlan>) -> Replacement {
    let scan = plan.downcast_ref::<DataSourceExec>();
    let Some((config, source)) = scan.and_then(DataSourceExec::downcast_to_file_source::<ParquetSource>)
    else {
        return Ok(None);
    };
    let Some(readers) = source.parquet_file_reader_factory() else { return Ok(None) };
    let readers = Arc::new(ReadersAhead(Arc::clone(readers)));
    let source = source.clone().with_parquet_file_reader_factory(readers);
    let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// Makes readers that read ahead.
#[derive(Debug)]
struct ReadersAhead(Arc<dyn ParquetFileReaderFactory>);

impl ParquetFileReaderFactory for ReadersAhead {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let within = file.range.clone();
        let reader = || self.0.create_reader(partition, file.clone(), metadata_size_hint, metrics);
        Ok(Box::new(ReaderAhead {
            reader: reader()?,
            second: Some(reader()?),
            within,
            metadata: None,
            ahead: None,
        }))
    }
}

type Reader = Box<dyn AsyncFileReader + Send>;

/// Of one file, read row group by row group.
struct ReaderAhead {
    reader: Reader,
    /// What reads ahead; none while it does, and once it read what was not asked for.
    second: Option<Reader>,
    /// The bytes within which the row groups begin that are read; all where there are none.
    within: Option<FileRange>,
    /// Once it was asked for.
    metadata: Option<Arc<ParquetMetaData>>,
    ahead: Option<Ahead>,
}

/// Bytes that are on their way.
struct Ahead {
    ranges: Vec<Range<u64>>,
    bytes: SpawnedTask<(Reader, ParquetResult<Vec<Bytes>>)>,
}

impl ReaderAhead {
    /// The bytes that were read ahead, if they are those.
    async fn arrived(&mut self, ranges: &[Range<u64>]) -> ParquetResult<Option<Vec<Bytes>>> {
        let Some(ahead) = self.ahead.take().filter(|ahead| ahead.ranges == ranges) else { return Ok(None) };
        let (reader, bytes) = ahead.bytes.await.map_err(|error| ParquetError::External(Box::new(error)))?;
        self.second = Some(reader);
        bytes.map(Some)
    }

    /// Begins to read what is likely to be asked for after some bytes.
    fn begin_after(&mut self, ranges: &[Range<u64>]) {
        let metadata = self.metadata.as_ref();
        let Some(next) = metadata.and_then(|metadata| following(metadata, ranges, self.within.as_ref()))
        else {
            return;
        };
        let Some(mut reader) = self.second.take() else { return };
        let ranges = next.clone();
        let reading = async move {
            let bytes = reader.get_byte_ranges(next).await;
            (reader, bytes)
        };
        self.ahead = Some(Ahead { ranges, bytes: SpawnedTask::spawn(reading) });
    }
}

impl AsyncFileReader for ReaderAhead {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.reader.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            let bytes = match self.arrived(&ranges).await? {
                Some(bytes) => bytes,
                None => self.reader.get_byte_ranges(ranges.clone()).await?,
            };
            self.begin_after(&ranges);
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let metadata = self.reader.get_metadata(options).await?;
            self.metadata = Some(Arc::clone(&metadata));
            Ok(metadata)
        }
        .boxed()
    }
}

/// Where the same columns of the next row group stand, if some bytes are whole columns of one, and the next is to be read and not too large.
fn following(
    metadata: &ParquetMetaData,
    ranges: &[Range<u64>],
    within: Option<&FileRange>,
) -> Option<Vec<Range<u64>>> {
    let row_groups = metadata.row_groups();
    let first = ranges.first()?;
    let place =
        row_groups.iter().position(|group| columns(group).any(|column| column.as_ref() == Some(first)))?;
    let next = row_groups.get(place + 1)?;
    if within.is_some_and(|within| !within.contains(start(next.column(0)))) {
        return None;
    }
    let of_next: Vec<Range<u64>> = columns(&row_groups[place])
        .zip(columns(next))
        .filter(|(column, _)| column.as_ref().is_some_and(|column| ranges.contains(column)))
        .map(|(_, column)| column)
        .collect::<Option<_>>()?;
    let bytes: u64 = of_next.iter().map(|column| column.end - column.start).sum();
    (of_next.len() == ranges.len() && bytes <= LARGEST).then_some(of_next)
}

/// Where the columns stand; none where that cannot be.
fn columns(group: &RowGroupMetaData) -> impl Iterator<Item = Option<Range<u64>>> {
    group.columns().iter().map(|column| {
        let (start, length) =
            (u64::try_from(start(column)).ok()?, u64::try_from(column.compressed_size()).ok()?);
        Some(start..start.checked_add(length)?)
    })
}

/// Where a column begins; by that of the first the engine tells which row groups belong to a part of a file.
fn start(column: &ColumnChunkMetaData) -> i64 {
    column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::parquet::arrow::arrow_reader::ArrowReaderMetadata;
    use datafusion::parquet::arrow::{ArrowWriter, ParquetRecordBatchStreamBuilder, ProjectionMask};
    use datafusion::parquet::file::properties::WriterProperties;
    use futures::TryStreamExt;

    use super::*;

    /// A file of four row groups of ten rows and three columns.
    fn file() -> Bytes {
        let columns = ["a", "b", "c"].map(|name| {
            let values: ArrayRef = Arc::new((0..40_i64).collect::<Int64Array>());
            (name, values)
        });
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes.into()
    }

    /// Reads what stands in memory, and notes which bytes were asked for.
    #[derive(Clone)]
    struct Noting {
        file: Bytes,
        asked: Asked,
    }

    impl AsyncFileReader for Noting {
        fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
            let bytes = self.file.slice(range.start as usize..range.end as usize);
            async move { Ok(bytes) }.boxed()
        }

        fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
            let bytes = ranges.iter().map(|range| self.file.slice(range.start as usize..range.end as usize));
            let bytes = bytes.collect();
            self.asked.lock().unwrap().push(ranges);
            async move { Ok(bytes) }.boxed()
        }

        fn get_metadata<'a>(
            &'a mut self,
            options: Option<&'a ArrowReaderOptions>,
        ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
            let file = self.file.clone();
            async move {
                let metadata = ArrowReaderMetadata::load(&file, options.cloned().unwrap_or_default())?;
                Ok(Arc::clone(metadata.metadata()))
            }
            .boxed()
        }
    }

    type Asked = Arc<Mutex<Vec<Vec<Range<u64>>>>>;

    fn reader(within: Option<FileRange>) -> (ReaderAhead, Asked) {
        let noting = Noting { file: file(), asked: Asked::default() };
        let asked = Arc::clone(&noting.asked);
        let second = Some(Box::new(noting.clone()) as Reader);
        (ReaderAhead { reader: Box::new(noting), second, within, metadata: None, ahead: None }, asked)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Runtime::new().unwrap().block_on(future)
    }

    #[test]
    fn whatever_is_read_comes_as_it_stands() {
        for columns in [vec![0, 1, 2], vec![2], vec![0, 2]] {
            for groups in [vec![0, 1, 2, 3], vec![0, 2, 3], vec![3, 1], vec![1]] {
                let read = async {
                    let builder = ParquetRecordBatchStreamBuilder::new(reader(None).0).await?;
                    let mask = ProjectionMask::leaves(builder.parquet_schema(), columns.iter().copied());
                    let stream = builder.with_projection(mask).with_row_groups(groups.clone()).build()?;
                    stream.try_collect::<Vec<RecordBatch>>().await
                };
                let expected: Vec<i64> = groups
                    .iter()
                    .flat_map(|group| group * 10..group * 10 + 10)
                    .map(|row| row as i64)
                    .collect();
                let read = block_on(read).unwrap();
                for column in 0..columns.len() {
                    let values = read
                        .iter()
                        .flat_map(|batch| batch.column(column).as_primitive::<Int64Type>().values().to_vec());
                    assert_eq!(values.collect::<Vec<_>>(), expected);
                }
            }
        }
    }

    /// Waits until bytes were asked for so many times.
    async fn wait_for(times: usize, asked: &Asked) {
        let waiting = async {
            while asked.lock().unwrap().len() < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
    }

    /// The first and the third column of a row group.
    fn two_columns(metadata: &ParquetMetaData, group: usize) -> Vec<Range<u64>> {
        columns(metadata.row_group(group)).step_by(2).map(Option::unwrap).collect()
    }

    #[test]
    fn a_row_group_is_asked_for_once_and_before_it_is_needed() {
        let (mut reader, asked) = reader(None);
        block_on(async {
            let metadata = reader.get_metadata(None).await.unwrap();
            let [first, second, third] = [0, 1, 2].map(|group| two_columns(&metadata, group));
            reader.get_byte_ranges(first.clone()).await.unwrap();
            wait_for(2, &asked).await;
            assert_eq!(*asked.lock().unwrap(), [first.clone(), second.clone()]);
            reader.get_byte_ranges(second.clone()).await.unwrap();
            wait_for(3, &asked).await;
            assert_eq!(*asked.lock().unwrap(), [first, second, third]);
        });
    }

    #[test]
    fn what_is_asked_for_otherwise_is_read_no_more_ahead() {
        let (mut reader, asked) = reader(None);
        block_on(async {
            let metadata = reader.get_metadata(None).await.unwrap();
            let [first, third, last] = [0, 2, 3].map(|group| two_columns(&metadata, group));
            reader.get_byte_ranges(first).await.unwrap();
            reader.get_byte_ranges(third.clone()).await.unwrap();
            assert!(reader.ahead.is_none());
            reader.get_byte_ranges(last.clone()).await.unwrap();
            assert_eq!(asked.lock().unwrap().iter().rev().take(2).collect::<Vec<_>>(), [&last, &third]);
        });
    }

    #[test]
    fn nothing_follows_what_is_the_last_or_no_whole_columns() {
        let metadata = block_on(reader(None).0.get_metadata(None)).unwrap();
        let [first, second, last] = [0, 1, 3].map(|group| two_columns(&metadata, group));
        let part = |end| FileRange { start: 0, end };
        let second_begins = second[0].start as i64;
        assert_eq!(following(&metadata, &first, Some(&part(second_begins + 1))), Some(second));
        assert_eq!(following(&metadata, &first, Some(&part(second_begins))), None);
        assert_eq!(following(&metadata, &last, None), None);
        assert_eq!(following(&metadata, &[first[0].clone(), 5..6], None), None);
        assert_eq!(following(&metadata, &[], None), None);
    }
}
