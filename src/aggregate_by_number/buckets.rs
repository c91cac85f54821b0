//! Groups in buckets by the hash of their keys, few enough in each for the caches to hold them while many rows are added.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use tokio::task::yield_now;

use super::groups::{ColumnsOf, Groups};
use super::keys::Keys;
use super::scatter::{Rows, Scatter, Taken};
use super::share::Share;

/// How many buckets there are at least: that many are written to side by side about as fast as one is.
const BUCKETS: usize = 64;

/// How many there are of a partition at least, so that tasks seldom wait for one another.
const BUCKETS_OF_PARTITION: usize = 4;

/// Up to how many bytes of rows wait in all buckets while groups are few; where they are many, as many bytes as those take.
const WAITING: usize = 32 << 20;

/// All groups, to which several tasks add rows. Of `n` partitions, that numbered `p` has the buckets `p`, `p + n`, `p + 2 n` and so on,
/// whose rows are those that an exchange by the same keys would bring there.
pub(super) struct Buckets {
    aggregation: AggregateExec,
    keys: Keys,
    taken: Taken,
    all: Vec<Mutex<Bucket>>,
    /// The keys of the exchange.
    exchanged_by: Vec<Arc<dyn PhysicalExpr>>,
    /// How many tasks add rows.
    tasks: AtomicUsize,
    /// By partition for what its groups take, and rows that wait.
    reservations: Vec<Arc<MemoryReservation>>,
    is_full: AtomicBool,
}

/// Groups, and rows that wait for others to be added with.
struct Bucket {
    groups: Option<Groups>,
    waiting: Vec<Rows>,
    size_of_waiting: usize,
    /// For all of these.
    share: Share,
}

impl Buckets {
    /// No groups yet, to which so many tasks add, in the place of an exchange by some keys into so many partitions.
    pub(super) fn try_new(
        aggregation: AggregateExec,
        exchanged_by: Vec<Arc<dyn PhysicalExpr>>,
        partitions: usize,
        tasks: usize,
        context: &TaskContext,
    ) -> Result<Self> {
        let of_each = BUCKETS.div_ceil(partitions).max(BUCKETS_OF_PARTITION);
        let reservation = |partition| {
            let consumer = MemoryConsumer::new(format!("AggregateByNumberExec[{partition}]"));
            Arc::new(consumer.with_can_spill(true).register(context.memory_pool()))
        };
        let reservations: Vec<_> = (0..partitions).map(reservation).collect();
        let keys = aggregation.group_expr().input_exprs();
        let bucket = |bucket| {
            let share = Share::of(&reservations[bucket % partitions]);
            Mutex::new(Bucket { groups: None, waiting: Vec::new(), size_of_waiting: 0, share })
        };
        Ok(Self {
            keys: Keys::try_new(keys, &aggregation.input().schema(), Share::of(&reservations[0]))?,
            taken: Taken::by(&aggregation),
            all: (0..partitions * of_each).map(bucket).collect(),
            exchanged_by,
            tasks: AtomicUsize::new(tasks),
            reservations,
            is_full: AtomicBool::new(false),
            aggregation,
        })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.aggregation.schema()
    }

    /// Adds the rows of a task, by its number, until there are none left, or no memory for more; then it returns those that are left.
    pub(super) async fn gather(
        self: Arc<Self>,
        task: usize,
        mut rows: SendableRecordBatchStream,
        measured: Time,
    ) -> Result<Option<SendableRecordBatchStream>> {
        let share = Share::of(&self.reservations[task % self.reservations.len()]);
        let keys = self.exchanged_by.clone();
        let mut scatter = Scatter::try_new(keys, &self.taken, &rows.schema(), self.all.len(), share)?;
        let mut are_left = true;
        while !self.is_full() {
            let Some(batch) = rows.try_next().await? else {
                are_left = false;
                break;
            };
            let _timer = measured.timer();
            scatter.add(&batch, &self.keys, &self.taken)?;
            self.add(scatter.take_many())?;
            if !self.has_memory() {
                self.add(scatter.take_all())?;
                self.add_waiting()?;
                self.is_full.fetch_or(!self.has_memory(), Ordering::Relaxed);
            }
        }
        let _timer = measured.timer();
        self.add(scatter.take_all())?;
        if are_left {
            return Ok(Some(rows));
        }
        if self.tasks.fetch_sub(1, Ordering::Relaxed) > 1 {
            // while others are at work; what the last one leaves is added where the groups are read, side by side
            drop(rows);
            self.add_waiting()?;
        }
        Ok(None)
    }

    /// Hands rows to their buckets.
    fn add(&self, rows: Vec<(usize, Rows)>) -> Result<()> {
        for (number, rows) in rows {
            let mut bucket = self.bucket(number);
            bucket.size_of_waiting += rows.size();
            bucket.waiting.push(rows);
            let most = bucket.size_of_groups().max(WAITING / self.all.len());
            if bucket.size_of_waiting > most {
                self.add_waiting_of(&mut bucket)?;
            }
            bucket.set_aside();
        }
        Ok(())
    }

    /// Adds what waits to the groups, in all buckets but those that another task is busy with.
    fn add_waiting(&self) -> Result<()> {
        let mut free = self.all.iter().filter_map(|bucket| bucket.try_lock().ok());
        free.try_for_each(|mut bucket| self.add_waiting_of(&mut bucket))
    }

    /// The same in one.
    fn add_waiting_of(&self, bucket: &mut Bucket) -> Result<()> {
        if bucket.waiting.is_empty() {
            return Ok(());
        }
        let groups = match &mut bucket.groups {
            Some(groups) => groups,
            none => none.insert(Groups::try_new(&self.aggregation)?),
        };
        let mut group_of = Vec::new();
        for rows in bucket.waiting.drain(..) {
            groups.update(&rows.into_arrays()?, &self.taken, &mut group_of)?;
        }
        let has_room = groups.has_room() && self.keys.has_room();
        bucket.size_of_waiting = 0;
        bucket.set_aside();
        self.is_full.fetch_or(!has_room, Ordering::Relaxed);
        Ok(())
    }

    /// Whether what is set aside is granted.
    fn has_memory(&self) -> bool {
        self.reservations.iter().all(|reservation| reservation.try_grow(0).is_ok())
    }

    fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    fn bucket(&self, bucket: usize) -> MutexGuard<'_, Bucket> {
        self.all[bucket].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys and aggregates of the groups of a partition, bucket by bucket, with the memory that is set aside for them.
    pub(super) fn results(
        self: Arc<Self>,
        partition: usize,
        measured: Time,
    ) -> impl Stream<Item = Result<(RecordBatch, Share)>> {
        let schema = self.schema();
        self.take(partition, schema, |aggregate| Ok(vec![aggregate.evaluate(EmitTo::All)?]), measured)
    }

    /// Keys and states of the groups of a partition, bucket by bucket.
    pub(super) fn states(
        self: Arc<Self>,
        partition: usize,
        schema: SchemaRef,
        measured: Time,
    ) -> impl Stream<Item = Result<RecordBatch>> {
        let states = self.take(partition, schema, |aggregate| aggregate.state(EmitTo::All), measured);
        // whoever merges them counts them
        states.map_ok(|(states, _share)| states)
    }

    /// Takes the groups of a partition, bucket by bucket, as columns of a schema.
    fn take(
        self: Arc<Self>,
        partition: usize,
        schema: SchemaRef,
        columns_of: ColumnsOf,
        measured: Time,
    ) -> impl Stream<Item = Result<(RecordBatch, Share)>> {
        let buckets = (partition..self.all.len()).step_by(self.reservations.len());
        let taken = buckets.filter_map(move |number| {
            let _timer = measured.timer();
            let mut bucket = self.bucket(number);
            let added = self.add_waiting_of(&mut bucket);
            let groups = added.map(|()| bucket.groups.take()).transpose()?;
            let mut share = bucket.share.take();
            drop(bucket);
            Some(groups.and_then(|groups| {
                let rows =
                    RecordBatch::try_new(Arc::clone(&schema), groups.into_columns(&self.keys, columns_of)?)?;
                share.resize(get_record_batch_memory_size(&rows));
                Ok((rows, share))
            }))
        });
        // Gives way after each bucket: the task of another partition, woken by the same event, may wait where only this core would run it.
        stream::iter(taken).then(|taken| yield_now().map(|()| taken))
    }
}

impl Bucket {
    fn set_aside(&mut self) {
        let size = self.size_of_waiting + self.size_of_groups();
        self.share.resize(size);
    }

    fn size_of_groups(&self) -> usize {
        self.groups.as_ref().map_or(0, Groups::size)
    }
}
