//! `rule_counts(antecedent, consequent, index)` and `is_redundant(...)`: what the supports of all itemsets tell of a rule.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray, new_empty_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int64Type, UInt32Type};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::shared::{one_list, one_list_type};
use crate::mining::Index;

static COUNTS_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    documentation(
        "A rule's antecedent_count and consequent_count as a struct: how many baskets hold each side.",
        "rule_counts(antecedent_items, consequent_items, index)",
    )
    .build()
});

static REDUNDANT_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    documentation(
        "Whether a more general rule, with fewer items in the antecedent or none, has at least the rule's confidence. Compares \
         exactly; looks at up to 2^n antecedents where the rule's has n items.",
        "is_redundant(antecedent_items, consequent_items, index, basket_count)",
    )
    .with_argument("basket_count", "The number of baskets.")
    .build()
});

fn documentation(description: &str, syntax: &str) -> datafusion::logical_expr::DocumentationBuilder {
    Documentation::builder(DocSection::default(), description, syntax)
        .with_argument("antecedent_items", "Ascending item codes without repetition.")
        .with_argument("consequent_items", "Ascending item codes without repetition, none of them in the antecedent.")
        .with_argument("index", "What itemset_index gives: (SELECT shared(itemset_index(...)) ...). It has the rule's parts, all of which are frequent.")
}

/// What is asked of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Counts,
    IsRedundant,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct RuleLookup {
    asked: Asked,
    signature: Signature,
}

impl RuleLookup {
    pub fn counts() -> Self {
        Self { asked: Asked::Counts, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub fn is_redundant() -> Self {
        Self { asked: Asked::IsRedundant, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn items_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::UInt32, true)))
}

fn count_fields() -> Fields {
    Fields::from(vec![
        Field::new("antecedent_count", DataType::Int64, true),
        Field::new("consequent_count", DataType::Int64, true),
    ])
}

impl ScalarUDFImpl for RuleLookup {
    fn name(&self) -> &'static str {
        match self.asked {
            Asked::Counts => "rule_counts",
            Asked::IsRedundant => "is_redundant",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let index = arg_types.get(2).unwrap_or(&DataType::Null);
        let mut types = vec![items_type(), items_type(), one_list_type(index, DataType::UInt32)];
        if self.asked == Asked::IsRedundant {
            types.push(DataType::Int64);
        }
        if arg_types.len() != types.len() {
            return plan_err!("{} takes {} arguments, not {}", self.name(), types.len(), arg_types.len());
        }
        Ok(types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.asked {
            Asked::Counts => DataType::Struct(count_fields()),
            Asked::IsRedundant => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_type())));
        }
        let words = one_list(self.name(), &args.args[2])?;
        let index = words
            .as_ref()
            .and_then(|words| Index::new(words.as_primitive::<UInt32Type>().values()))
            .ok_or_else(|| exec_datafusion_err!("{} takes what itemset_index gives", self.name()))?;
        let sides = [0, 1].map(|side| args.args[side].to_array(args.number_rows));
        let [antecedents, consequents] = sides;
        let rules = Rules {
            antecedents: antecedents?.as_list::<i32>().clone(),
            consequents: consequents?.as_list::<i32>().clone(),
        };
        let found: ArrayRef = match self.asked {
            Asked::Counts => {
                let count = |items: &[u32]| index.support(items).map(u64::cast_signed);
                let antecedents: Int64Array = rules.iter().map(|(antecedent, _)| count(antecedent)).collect();
                let consequents: Int64Array = rules.iter().map(|(_, consequent)| count(consequent)).collect();
                Arc::new(StructArray::try_new(
                    count_fields(),
                    vec![Arc::new(antecedents), Arc::new(consequents)],
                    None,
                )?)
            }
            Asked::IsRedundant => {
                let baskets = args.args[3].to_array(args.number_rows)?;
                let baskets = baskets.as_primitive::<Int64Type>().values();
                let redundant: BooleanArray = rules
                    .iter()
                    .zip(baskets)
                    .map(|((antecedent, consequent), baskets)| {
                        index.is_redundant(antecedent, consequent, baskets.cast_unsigned())
                    })
                    .collect();
                Arc::new(redundant)
            }
        };
        Ok(ColumnarValue::Array(found))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.asked {
            Asked::Counts => &COUNTS_DOCUMENTATION,
            Asked::IsRedundant => &REDUNDANT_DOCUMENTATION,
        })
    }
}

struct Rules {
    antecedents: ListArray,
    consequents: ListArray,
}

impl Rules {
    fn iter(&self) -> impl Iterator<Item = (&[u32], &[u32])> + '_ {
        side(&self.antecedents).zip(side(&self.consequents))
    }
}

fn side(lists: &ListArray) -> impl Iterator<Item = &[u32]> + '_ {
    let items = lists.values().as_primitive::<UInt32Type>().values();
    lists.value_offsets().windows(2).map(|bounds| &items[bounds[0] as usize..bounds[1] as usize])
}
