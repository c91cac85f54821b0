//! The scalar functions that the rule measures need beside SQL's own, one subject a file.

use datafusion::logical_expr::ScalarUDF;

mod bucket;
mod item_lookup;
mod items_in;
mod label_at;
pub mod line_amount;
mod measures;
pub mod part_number;
pub mod pseudonym;
mod quantile_bin;
pub mod quantile_ranges;
mod rule_id;
mod rule_lookup;
mod scaling;
pub(crate) mod shared;
mod significance;
mod tile;
pub mod value_range;

/// All our scalar functions, to be registered wherever a plan is made or run.
#[must_use]
pub fn all() -> Vec<ScalarUDF> {
    let mut functions = vec![
        ScalarUDF::from(bucket::Bucket::default()),
        ScalarUDF::from(item_lookup::ItemLookup::numbers()),
        ScalarUDF::from(item_lookup::ItemLookup::ids()),
        ScalarUDF::from(rule_lookup::RuleLookup::counts()),
        ScalarUDF::from(rule_lookup::RuleLookup::is_redundant()),
        ScalarUDF::from(items_in::ItemsIn::default()),
        ScalarUDF::from(label_at::LabelAt::default()),
        ScalarUDF::from(line_amount::LineAmount::default()),
        ScalarUDF::from(part_number::PartNumber::default()),
        ScalarUDF::from(pseudonym::Pseudonym::default()),
        ScalarUDF::from(quantile_bin::QuantileBin::default()),
        ScalarUDF::from(quantile_ranges::QuantileRanges::default()),
        ScalarUDF::from(shared::Shared::default()),
        ScalarUDF::from(rule_id::RuleId::default()),
        ScalarUDF::from(significance::ChiSquaredP::default()),
        ScalarUDF::from(tile::Tile::default()),
        ScalarUDF::from(value_range::ValueRange::default()),
    ];
    functions.extend(measures::functions());
    functions.extend(scaling::functions());
    functions
}
