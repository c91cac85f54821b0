//! Groups in buckets by the hash of their keys, few enough in each for the caches to hold them while many rows are added.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{Stream, TryStreamExt, stream};

use super::groups::Groups;
use super::keys::{Keys, set_aside};
use super::scatter::{Rows, Scatter, Taken};

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
    partitions: usize,
    /// How many tasks add rows.
    tasks: AtomicUsize,
    /// What groups take, and rows that wait.
    reservation: Arc<MemoryReservation>,
    is_full: AtomicBool,
}

/// Groups, and rows that wait for others to be added with.
#[derive(Default)]
struct Bucket {
    groups: Option<Groups>,
    waiting: Vec<Rows>,
    size_of_waiting: usize,
}

impl Buckets {
    /// No groups yet, to which so many tasks add.
    pub(super) fn try_new(aggregation: AggregateExec, tasks: usize, context: &TaskContext) -> Result<Self> {
        let partitions = aggregation.properties().partitioning.partition_count();
        let of_each = BUCKETS.div_ceil(partitions).max(BUCKETS_OF_PARTITION);
        let consumer = MemoryConsumer::new("AggregateByNumberExec").with_can_spill(true);
        let reservation = Arc::new(consumer.register(context.memory_pool()));
        let keys = aggregation.group_expr().input_exprs();
        Ok(Self {
            keys: Keys::try_new(keys, &aggregation.input().schema(), Arc::clone(&reservation))?,
            taken: Taken::by(&aggregation),
            all: (0..partitions * of_each).map(|_| Mutex::default()).collect(),
            partitions,
            tasks: AtomicUsize::new(tasks),
            reservation,
            is_full: AtomicBool::new(false),
            aggregation,
        })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.aggregation.schema()
    }

    /// Adds the rows of a task, parted by some keys, until there are none left, or no memory for more; then it returns those that are left.
    pub(super) async fn gather(
        self: Arc<Self>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        mut rows: SendableRecordBatchStream,
        measured: Time,
    ) -> Result<Option<SendableRecordBatchStream>> {
        let mut scatter = Scatter::try_new(keys, &self.taken, &rows.schema(), self.all.len())?;
        while let Some(batch) = rows.try_next().await? {
            let _timer = measured.timer();
            let before = scatter.size();
            scatter.add(&batch, &self.keys, &self.taken)?;
            set_aside(&self.reservation, before, scatter.size());
            self.add(&mut scatter, Scatter::take_many)?;
            if !self.is_full() && !self.has_memory() {
                self.add(&mut scatter, Scatter::take_all)?;
                self.add_waiting()?;
                self.is_full.fetch_or(!self.has_memory(), Ordering::Relaxed);
            }
            if self.is_full() {
                self.add(&mut scatter, Scatter::take_all)?;
                return Ok(Some(rows));
            }
        }
        drop(rows);
        let _timer = measured.timer();
        self.add(&mut scatter, Scatter::take_all)?;
        if self.tasks.fetch_sub(1, Ordering::Relaxed) > 1 {
            // while others are at work; what the last one leaves is added where the groups are read, side by side
            self.add_waiting()?;
        }
        Ok(None)
    }

    /// Hands rows to their buckets.
    fn add(&self, scatter: &mut Scatter, take: fn(&mut Scatter) -> Vec<(usize, Rows)>) -> Result<()> {
        let before = scatter.size();
        for (bucket, rows) in take(scatter) {
            self.change(bucket, |bucket| {
                bucket.size_of_waiting += rows.size();
                bucket.waiting.push(rows);
                let most = bucket.size_of_groups().max(WAITING / self.all.len());
                if bucket.size_of_waiting > most { self.add_waiting_of(bucket) } else { Ok(()) }
            })?;
        }
        set_aside(&self.reservation, before, scatter.size());
        Ok(())
    }

    /// Adds what waits to the groups, in all buckets.
    fn add_waiting(&self) -> Result<()> {
        (0..self.all.len()).try_for_each(|bucket| self.change(bucket, |bucket| self.add_waiting_of(bucket)))
    }

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
        bucket.size_of_waiting = 0;
        let has_room = groups.has_room() && self.keys.has_room();
        self.is_full.fetch_or(!has_room, Ordering::Relaxed);
        Ok(())
    }

    /// Changes a bucket, and what is set aside for it.
    fn change(&self, bucket: usize, change: impl FnOnce(&mut Bucket) -> Result<()>) -> Result<()> {
        let mut bucket = self.bucket(bucket);
        let before = bucket.size();
        change(&mut bucket)?;
        set_aside(&self.reservation, before, bucket.size());
        Ok(())
    }

    /// Whether what is set aside is granted.
    fn has_memory(&self) -> bool {
        self.reservation.try_grow(0).is_ok()
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
    ) -> impl Stream<Item = Result<(RecordBatch, MemoryReservation)>> {
        let schema = self.schema();
        self.take(partition, schema, move |groups, keys| {
            let _timer = measured.timer();
            groups.into_results(keys)
        })
    }

    /// Keys and states of the groups of a partition, bucket by bucket.
    pub(super) fn states(
        self: Arc<Self>,
        partition: usize,
        schema: SchemaRef,
    ) -> impl Stream<Item = Result<RecordBatch>> {
        let states = self.take(partition, schema, Groups::into_states);
        // whoever merges them counts them
        states.map_ok(|(states, _reservation)| states)
    }

    /// Takes the groups of a partition, bucket by bucket, as columns of a schema.
    fn take(
        self: Arc<Self>,
        partition: usize,
        schema: SchemaRef,
        columns_of: impl Fn(Groups, &Keys) -> Result<Vec<ArrayRef>>,
    ) -> impl Stream<Item = Result<(RecordBatch, MemoryReservation)>> {
        let buckets = (partition..self.all.len()).step_by(self.partitions);
        let taken = buckets.filter_map(move |bucket| {
            let added = self.change(bucket, |bucket| self.add_waiting_of(bucket));
            let groups = added.map(|()| self.bucket(bucket).groups.take()).transpose()?;
            Some(groups.and_then(|groups| {
                let reservation = self.reservation.split(groups.size());
                let columns = columns_of(groups, &self.keys)?;
                let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
                // there is no way back: what is taken is taken, granted or not
                reservation.resize(get_record_batch_memory_size(&rows));
                Ok((rows, reservation))
            }))
        });
        stream::iter(taken)
    }
}

impl Bucket {
    /// Bytes on the heap.
    fn size(&self) -> usize {
        self.size_of_waiting + self.size_of_groups()
    }

    fn size_of_groups(&self) -> usize {
        self.groups.as_ref().map_or(0, Groups::size)
    }
}
