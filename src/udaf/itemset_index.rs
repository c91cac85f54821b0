//! `itemset_index(items, support_count)`: all itemsets with their supports as one value, for functions to look up.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, UInt32Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, Signature, Volatility,
};

use super::{as_basket_type, baskets, one_list};
use crate::mining::IndexBuilder;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The supports of all itemsets as one value, a hash table in a list, for rule_counts and is_redundant to look up. Takes 4 \
         bytes of memory for each item and 20 to 28 for each itemset.",
        "itemset_index(items, support_count)",
    )
    .with_argument("items", "An itemset: ascending item codes without repetition.")
    .with_argument("support_count", "How many baskets hold it.")
    .with_sql_example("SELECT itemset_index(items, support_count) FROM itemset_support")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ItemsetIndex {
    signature: Signature,
}

impl Default for ItemsetIndex {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn words_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::UInt32, true)))
}

impl AggregateUDFImpl for ItemsetIndex {
    fn name(&self) -> &'static str {
        "itemset_index"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [items, _] = arg_types else {
            return plan_err!(
                "itemset_index takes items and support_count, not {} arguments",
                arg_types.len()
            );
        };
        Ok(vec![as_basket_type("itemset_index", items)?, DataType::Int64])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(words_type())
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "entries"), words_type(), true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(ItemsetIndexAccumulator::default()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

#[derive(Debug, Default)]
struct ItemsetIndexAccumulator {
    index: IndexBuilder,
}

impl Accumulator for ItemsetIndexAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let supports = values[1].as_primitive::<Int64Type>().values();
        for (items, support) in
            baskets("itemset_index", values[0].as_list::<i32>())?.into_iter().zip(supports)
        {
            self.index.push(items, support.cast_unsigned());
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states = states[0].as_list::<i32>();
        for row in (0..states.len()).filter(|row| states.is_valid(*row)) {
            self.index.extend(states.value(row).as_primitive::<UInt32Type>().values());
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let words = self.index.finish();
        if i32::try_from(words.len()).is_err() {
            return exec_err!(
                "there are too many itemsets to look up, {} words; raise rules.min_support",
                words.len()
            );
        }
        Ok(one_list(Arc::new(UInt32Array::from(words))))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![one_list(Arc::new(UInt32Array::from(self.index.entries().to_vec())))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.index.size()
    }
}
