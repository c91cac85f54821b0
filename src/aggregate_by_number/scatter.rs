//! Rows on their way into buckets: what decides their groups and what their aggregates take.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Int64Type, Schema, UInt32Type};
use datafusion::common::Result;
use datafusion::common::hash_utils::create_hashes;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;

use super::column::{Column, Filter, Part};
use super::keys::Keys;
use super::share::Share;
use crate::grouped_aggregate::values_of;

/// For how many rows a task has room in all buckets.
const ROOM: usize = 1 << 17;

/// What aggregates take, each column once, and which of those each of them does.
pub(super) struct Taken {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// By aggregate the places of its arguments and of its filter.
    by_aggregate: Vec<(Vec<usize>, Option<usize>)>,
}

impl Taken {
    pub(super) fn by(aggregation: &AggregateExec) -> Self {
        let (mut arguments, mut filters) = (Vec::new(), Vec::new());
        let aggregates = aggregation.aggr_expr().iter().zip(aggregation.filter_expr());
        let by_aggregate = aggregates.map(|(function, filter)| {
            let places =
                function.expressions().into_iter().map(|argument| place_of(argument, &mut arguments));
            (places.collect(), filter.clone().map(|filter| place_of(filter, &mut filters)))
        });
        let by_aggregate = by_aggregate.collect();
        Self { arguments, filters, by_aggregate }
    }
}

/// Where an expression stands among others, the last of which it becomes unless it is there.
fn place_of(expression: Arc<dyn PhysicalExpr>, all: &mut Vec<Arc<dyn PhysicalExpr>>) -> usize {
    all.iter().position(|known| **known == *expression).unwrap_or_else(|| {
        all.push(expression);
        all.len() - 1
    })
}

/// Some rows of a bucket.
pub(super) struct Rows {
    numbers: Part,
    codes: Part,
    arguments: Vec<Part>,
    filters: Vec<Option<BooleanArray>>,
}

/// The same as arrays.
pub(super) struct Arrays {
    numbers: ArrayRef,
    codes: ArrayRef,
    arguments: Vec<ArrayRef>,
    filters: Vec<Option<BooleanArray>>,
}

impl Rows {
    pub(super) fn into_arrays(self) -> Result<Arrays> {
        Ok(Arrays {
            numbers: self.numbers.into_array()?,
            codes: self.codes.into_array()?,
            arguments: self.arguments.into_iter().map(Part::into_array).collect::<Result<_>>()?,
            filters: self.filters,
        })
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        let parts = self.arguments.iter().chain([&self.numbers, &self.codes]);
        let filters = self.filters.iter().flatten().map(|filter| filter.values().inner().capacity());
        parts.map(Part::size).sum::<usize>() + filters.sum::<usize>()
    }
}

impl Arrays {
    pub(super) fn numbers(&self) -> &[i64] {
        self.numbers.as_primitive::<Int64Type>().values()
    }

    pub(super) fn codes(&self) -> &[u32] {
        self.codes.as_primitive::<UInt32Type>().values()
    }

    /// The arguments of an aggregate, and which rows it lets in where it does not all.
    pub(super) fn of(&self, aggregate: usize, taken: &Taken) -> (Vec<ArrayRef>, Option<&BooleanArray>) {
        let (arguments, filter) = &taken.by_aggregate[aggregate];
        let arguments = arguments.iter().map(|place| Arc::clone(&self.arguments[*place])).collect();
        (arguments, filter.and_then(|place| self.filters[place].as_ref()))
    }
}

/// Where the rows of a batch go.
#[derive(Default)]
pub(super) struct Ways {
    /// By row its place among all, in the order of the buckets.
    pub(super) places: Vec<u32>,
    /// By bucket where its rows end.
    ends: Vec<usize>,
    hashes: Vec<u64>,
}

impl Ways {
    /// Into so many buckets, those of an exchange by the same keys, so that what follows may count on it.
    fn find(&mut self, keys: &[ArrayRef], rows: usize, buckets: usize) -> Result<()> {
        self.hashes.clear();
        self.hashes.resize(rows, 0);
        create_hashes(keys, REPARTITION_RANDOM_STATE.random_state(), &mut self.hashes)?;
        self.places.clear();
        if buckets.is_power_of_two() {
            self.places.extend(self.hashes.iter().map(|hash| *hash as u32 & (buckets as u32 - 1)));
        } else {
            self.places.extend(self.hashes.iter().map(|hash| (hash % buckets as u64) as u32));
        }
        self.place(buckets);
        Ok(())
    }

    /// Gives each row its place, where its bucket was told.
    fn place(&mut self, buckets: usize) {
        self.ends.clear();
        self.ends.resize(buckets, 0);
        for bucket in &self.places {
            self.ends[*bucket as usize] += 1;
        }
        let mut start = 0;
        for end in &mut self.ends {
            start += std::mem::replace(end, start);
        }
        for place in &mut self.places {
            let next = &mut self.ends[*place as usize];
            *place = *next as u32;
            *next += 1;
        }
    }

    /// To buckets that are told by row.
    #[cfg(test)]
    pub(super) fn to(bucket_of: &[u32], buckets: usize) -> Self {
        let mut ways = Self { places: bucket_of.to_vec(), ..Self::default() };
        ways.place(buckets);
        ways
    }

    /// By bucket the places of its rows.
    pub(super) fn by_bucket(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end)
    }
}

/// Parts the rows of batches by bucket.
pub(super) struct Scatter {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    ways: Ways,
    /// By bucket how many rows wait.
    waiting: Vec<usize>,
    numbers: Column,
    codes: Column,
    arguments: Vec<Column>,
    filters: Vec<Filter>,
    share: Share,
}

impl Scatter {
    /// Parts rows of a schema by keys into so many buckets.
    pub(super) fn try_new(
        keys: Vec<Arc<dyn PhysicalExpr>>,
        taken: &Taken,
        input: &Schema,
        buckets: usize,
        share: Share,
    ) -> Result<Self> {
        let arguments = taken.arguments.iter();
        let arguments = arguments.map(|argument| Ok(Column::new(argument.data_type(input)?, buckets)));
        Ok(Self {
            keys,
            ways: Ways::default(),
            waiting: vec![0; buckets],
            numbers: Column::new(DataType::Int64, buckets),
            codes: Column::new(DataType::UInt32, buckets),
            arguments: arguments.collect::<Result<_>>()?,
            filters: taken.filters.iter().map(|_| Filter::new(buckets)).collect(),
            share,
        })
    }

    /// Adds the rows of a batch, each to its bucket.
    pub(super) fn add(&mut self, batch: &RecordBatch, keys: &Keys, taken: &Taken) -> Result<()> {
        let by = self.keys.iter().map(|key| values_of(key, batch)).collect::<Result<Vec<_>>>()?;
        self.ways.find(&by, batch.num_rows(), self.waiting.len())?;
        let (numbers, codes) = keys.of(batch)?;
        self.numbers.add(&numbers, &self.ways)?;
        self.codes.add(&codes, &self.ways)?;
        for (column, argument) in self.arguments.iter_mut().zip(&taken.arguments) {
            column.add(&values_of(argument, batch)?, &self.ways)?;
        }
        for (column, filter) in self.filters.iter_mut().zip(&taken.filters) {
            column.add(values_of(filter, batch)?.as_boolean(), &self.ways);
        }
        for (waiting, rows) in self.waiting.iter_mut().zip(self.ways.by_bucket()) {
            *waiting += rows.len();
        }
        self.share.resize(self.size());
        Ok(())
    }

    /// Takes the rows of those buckets where they are so many that, with what another batch brings, there seldom would be room for them.
    pub(super) fn take_many(&mut self) -> Vec<(usize, Rows)> {
        let room = ROOM / self.waiting.len();
        self.take(room - room / 16)
    }

    /// Takes all rows.
    pub(super) fn take_all(&mut self) -> Vec<(usize, Rows)> {
        self.take(1)
    }

    /// Takes the rows of those buckets where there are so many.
    fn take(&mut self, least: usize) -> Vec<(usize, Rows)> {
        let due = (0..self.waiting.len()).filter(|bucket| self.waiting[*bucket] >= least);
        let due: Vec<_> = due.collect();
        let taken = due.into_iter().map(|bucket| (bucket, self.take_bucket(bucket))).collect();
        self.share.resize(self.size());
        taken
    }

    fn take_bucket(&mut self, bucket: usize) -> Rows {
        self.waiting[bucket] = 0;
        Rows {
            numbers: self.numbers.take(bucket),
            codes: self.codes.take(bucket),
            arguments: self.arguments.iter_mut().map(|column| column.take(bucket)).collect(),
            filters: self.filters.iter_mut().map(|filter| filter.take(bucket)).collect(),
        }
    }

    /// Bytes on the heap of the rows that wait.
    fn size(&self) -> usize {
        let columns = self.arguments.iter().chain([&self.numbers, &self.codes]);
        columns.map(Column::size).sum::<usize>() + self.filters.iter().map(Filter::size).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, Int64Array};
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::metrics::Time;
    use datafusion::physical_plan::repartition::BatchPartitioner;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_belongs_to_the_partition_to_which_the_engine_exchanges_its_rows(
            numbers in prop::collection::vec(prop::option::weighted(0.9, any::<i64>()), 0..300),
            partitions in 1..6_usize,
            buckets_of_each in 1..20_usize,
        ) {
            let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
            let mut ways = Ways::default();
            ways.find(&[Arc::clone(&numbers)], numbers.len(), partitions * buckets_of_each).unwrap();
            let mut found = vec![Vec::new(); partitions];
            for (bucket, places) in ways.by_bucket().enumerate() {
                let row = |place: usize| ways.places.iter().position(|of| *of as usize == place).unwrap();
                found[bucket % partitions].extend(places.map(row));
            }
            let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
            let key: Arc<dyn PhysicalExpr> = Arc::new(Column::new("number", 0));
            let mut engine = BatchPartitioner::new_hash_partitioner(vec![key], partitions, Time::new()).unwrap();
            let mut expected = vec![None; partitions];
            engine.partition(batch.clone(), |partition, rows| {
                expected[partition] = Some(rows.column(0).to_data());
                Ok(())
            }).unwrap();
            for (mut rows, expected) in found.into_iter().zip(expected) {
                rows.sort_unstable();
                let rows: Int64Array = rows.into_iter().map(|row| batch.column(0).as_primitive::<Int64Type>().iter().nth(row).unwrap()).collect();
                let expected = expected.unwrap_or_else(|| Int64Array::from(Vec::<i64>::new()).to_data());
                prop_assert_eq!(rows.to_data(), expected);
            }
        }
    }
}
