//! The scalar functions that the rule measures need beside SQL's own, one subject a file.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

mod rule_id;
mod significance;

/// All our scalar functions, to be registered wherever a plan is made or run.
#[must_use]
pub fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::from(rule_id::RuleId::default())),
        Arc::new(significance::chi_squared_p_function()),
        Arc::new(significance::fishers_exact_p_function()),
    ]
}
