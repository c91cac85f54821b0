//! The groups of a bucket: their keys and their aggregates.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::keys::{Keys, MOST};
use super::scatter::{Arrays, Taken};
use super::table::Table;

/// Takes the result or the states of all groups from an aggregate.
pub(super) type ColumnsOf = fn(&mut dyn GroupsAccumulator) -> Result<Vec<ArrayRef>>;

pub(super) struct Groups {
    table: Table,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
}

impl Groups {
    pub(super) fn try_new(aggregation: &AggregateExec) -> Result<Self> {
        let accumulators =
            aggregation.aggr_expr().iter().map(|function| function.create_groups_accumulator());
        Ok(Self { table: Table::default(), accumulators: accumulators.collect::<Result<_>>()? })
    }

    /// Adds rows; `group_of` is for the group of each of them.
    pub(super) fn update(&mut self, rows: &Arrays, taken: &Taken, group_of: &mut Vec<usize>) -> Result<()> {
        self.table.find(rows.numbers(), rows.codes(), group_of);
        for (aggregate, accumulator) in self.accumulators.iter_mut().enumerate() {
            let (arguments, filter) = rows.of(aggregate, taken);
            accumulator.update_batch(&arguments, group_of, filter, self.table.groups())?;
        }
        Ok(())
    }

    /// Whether there are numbers for the groups of another batch.
    pub(super) fn has_room(&self) -> bool {
        self.table.groups() <= MOST
    }

    /// Keys, and what there is of each aggregate.
    pub(super) fn into_columns(self, keys: &Keys, columns_of: ColumnsOf) -> Result<Vec<ArrayRef>> {
        let (numbers, codes) = self.table.into_groups();
        let mut columns = keys.columns(numbers, codes)?;
        for mut accumulator in self.accumulators {
            columns.extend(columns_of(accumulator.as_mut())?);
        }
        Ok(columns)
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        let accumulators: usize = self.accumulators.iter().map(|accumulator| accumulator.size()).sum();
        self.table.size() + accumulators
    }
}
