//! `distinct_count(id)`: how many different ids there are, fast where equal ones stand together.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, GroupsAccumulator, Signature, Volatility,
};

use super::few_groups::{self, GroupState, id_type};
use super::interner::Interner;
use super::one_list;

/// Below this many ids nothing is compacted.
const COMPACT_FROM: usize = 1 << 16;

/// How many slots remember an id; a power of two.
const RECENT: usize = 2048;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The number of different ids, as count(DISTINCT id), for few groups of many ids. Ids that stand near one another cost one \
         look. Takes 8 to 16 bytes of memory for each different integer, and a string's bytes and some 20 more.",
        "distinct_count(id)",
    )
    .with_argument("id", "An integer or a string; nulls are passed over.")
    .with_sql_example("SELECT distinct_count(order_id) FROM line")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct DistinctCount {
    signature: Signature,
}

impl Default for DistinctCount {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for DistinctCount {
    fn name(&self) -> &'static str {
        "distinct_count"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        id_type("distinct_count", arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let ids = match args.input_fields[0].data_type() {
            DataType::Int64 => DataType::Int64,
            _ => DataType::Utf8,
        };
        let ids = DataType::List(Arc::new(Field::new_list_field(ids, true)));
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "ids"), ids, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        few_groups::accumulator::<Integers, Strings>(&args)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        few_groups::groups_accumulator::<Integers, Strings>(&args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// Duplicates of ids seen a moment ago are passed over; others are let in, and removed once there are twice as many ids as
/// different ones last time.
#[derive(Debug, Default)]
struct Integers {
    ids: Vec<i64>,
    /// In the slot of an id the last id of that slot: the lines of an order stand near one another.
    recent: Vec<i64>,
    compact_at: usize,
}

impl Integers {
    fn push(&mut self, id: i64) {
        if self.recent.is_empty() {
            // in other slots than its own it is never found
            self.recent = vec![id; RECENT];
            self.ids.push(id);
        }
        let slot = (id.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - RECENT.ilog2())) as usize;
        if self.recent[slot] != id {
            self.recent[slot] = id;
            self.ids.push(id);
            if self.ids.len() >= self.compact_at.max(COMPACT_FROM) {
                self.compact();
            }
        }
    }

    fn compact(&mut self) {
        sort_distinct(&mut self.ids);
        self.compact_at = 2 * self.ids.len();
    }
}

/// Sorts and removes duplicates: by a bit for each integer of their range where that takes less memory than they do.
fn sort_distinct(ids: &mut Vec<i64>) {
    let (Some(&least), Some(&most)) = (ids.iter().min(), ids.iter().max()) else { return };
    let words = most.abs_diff(least) / 64 + 1;
    if words > ids.len() as u64 {
        ids.sort_unstable();
        ids.dedup();
        return;
    }
    let mut present = vec![0_u64; words as usize];
    for id in &*ids {
        let place = id.abs_diff(least);
        present[(place / 64) as usize] |= 1 << (place % 64);
    }
    ids.clear();
    for (start, mut word) in (least..).step_by(64).zip(present) {
        while word != 0 {
            ids.push(start + i64::from(word.trailing_zeros()));
            word &= word - 1;
        }
    }
}

impl GroupState for Integers {
    fn update(&mut self, values: &ArrayRef) -> Result<()> {
        let ids = values.as_primitive::<Int64Type>();
        if ids.null_count() == 0 {
            ids.values().iter().for_each(|id| self.push(*id));
        } else {
            ids.iter().flatten().for_each(|id| self.push(id));
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], row: usize) -> Result<()> {
        let ids = states[0].as_list::<i32>().value(row);
        self.ids.extend_from_slice(ids.as_primitive::<Int64Type>().values());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.compact();
        Ok(ScalarValue::from(self.ids.len() as i64))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.compact();
        Ok(vec![one_list(Arc::new(Int64Array::from(std::mem::take(&mut self.ids))))])
    }

    fn size(&self) -> usize {
        (self.ids.capacity() + self.recent.capacity()) * size_of::<i64>()
    }
}

#[derive(Debug, Default)]
struct Strings {
    ids: Interner,
}

impl GroupState for Strings {
    fn update(&mut self, values: &ArrayRef) -> Result<()> {
        values.as_string_view().iter().flatten().try_for_each(|id| self.ids.intern(id).map(|_| ()))
    }

    fn merge(&mut self, states: &[ArrayRef], row: usize) -> Result<()> {
        let ids = states[0].as_list::<i32>().value(row);
        ids.as_string::<i32>().iter().flatten().try_for_each(|id| self.ids.intern(id).map(|_| ()))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::from(self.ids.len() as i64))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![one_list(self.ids.to_array()?)])
    }

    fn size(&self) -> usize {
        self.ids.size()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sorting_keeps_each_once(
            near in prop::collection::vec(-70i64..70, 0..90),
            far in prop::collection::vec(prop::num::i64::ANY, 0..4),
        ) {
            let mut ids = [near, far].concat();
            let expected: Vec<i64> = ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            sort_distinct(&mut ids);
            prop_assert_eq!(ids, expected);
        }
    }
}
