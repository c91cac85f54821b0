//! `candidate_counts(items, candidates)`: how many baskets hold each candidate itemset (Apriori's count distribution).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, Signature, Volatility,
};

use super::candidates::{Candidates, PrefixTree};
use super::word_literal;
use super::{as_basket_type, baskets};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The number of baskets that hold each candidate itemset, as a list in the candidates' order. Takes 8 bytes of \
         memory for each candidate and about 12 for each node of their prefix tree.",
        "candidate_counts(items, candidates)",
    )
    .with_argument("items", "A basket: ascending item codes without repetition.")
    .with_argument("candidates", "A literal: the candidates of one length, as the driver encodes them.")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CandidateCounts {
    signature: Signature,
}

impl Default for CandidateCounts {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for CandidateCounts {
    fn name(&self) -> &'static str {
        "candidate_counts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [items, _] = arg_types else {
            return plan_err!(
                "candidate_counts takes items and candidates, not {} arguments",
                arg_types.len()
            );
        };
        Ok(vec![as_basket_type("candidate_counts", items)?, word_literal::data_type()])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(count_field()))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let counts = Field::new(format_state_name(args.name, "counts"), DataType::List(count_field()), true);
        Ok(vec![Arc::new(counts)])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(CandidateCountsAccumulator::default()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn count_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

/// State and result are the same: one number a candidate, so that merging is addition.
#[derive(Debug, Default)]
struct CandidateCountsAccumulator {
    /// Built from the first batch: an accumulator that only merges needs none.
    tree: Option<PrefixTree>,
    counts: Vec<i64>,
}

impl CandidateCountsAccumulator {
    fn counts_as_scalar(&self) -> ScalarValue {
        let counts = Int64Array::from(self.counts.clone());
        SingleRowListArrayBuilder::new(Arc::new(counts)).build_list_scalar()
    }

    fn add(&mut self, counts: &Int64Array) -> Result<()> {
        if self.counts.is_empty() {
            self.counts = vec![0; counts.len()];
        }
        if self.counts.len() != counts.len() {
            return exec_err!(
                "counts of {} and of {} candidates do not add up",
                self.counts.len(),
                counts.len()
            );
        }
        self.counts.iter_mut().zip(counts.values()).for_each(|(total, count)| *total += count);
        Ok(())
    }
}

impl Accumulator for CandidateCountsAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if values[0].is_empty() {
            return Ok(());
        }
        if self.tree.is_none() {
            let candidates = Candidates::from_literal(&ScalarValue::try_from_array(&values[1], 0)?)?;
            if self.counts.is_empty() {
                self.counts = vec![0; candidates.len()];
            }
            self.tree = Some(PrefixTree::new(&candidates));
        }
        let Some(tree) = &mut self.tree else { return Ok(()) };
        for basket in baskets("candidate_counts", values[0].as_list::<i32>())? {
            tree.count(basket, &mut self.counts);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in 0..lists.len() {
            if lists.is_valid(row) && lists.value_length(row) > 0 {
                self.add(lists.value(row).as_primitive::<Int64Type>())?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.counts_as_scalar())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.counts_as_scalar()])
    }

    fn size(&self) -> usize {
        let tree = self.tree.as_ref().map_or(0, PrefixTree::size);
        size_of_val(self) + tree + self.counts.capacity() * size_of::<i64>()
    }
}
