//! The scalar functions that the rule measures need beside SQL's own, one subject a file.

use datafusion::logical_expr::ScalarUDF;

mod rule_id;
mod significance;

/// All our scalar functions, to be registered wherever a plan is made or run.
#[must_use]
pub fn all() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::from(rule_id::RuleId::default()),
        significance::chi_squared_p_function(),
        significance::fishers_exact_p_function(),
    ]
}
