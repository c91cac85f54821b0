//! A rule for the planner that looks at each operator of a plan by itself, from the inputs up.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// What takes the place of an operator, if anything does.
pub type Replacement = Result<Option<Arc<dyn ExecutionPlan>>>;

/// All the planner's rules, in order.
pub type PlannerRules = Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>;

/// A rule by its name, and what it puts in the place of an operator.
#[derive(Debug)]
pub struct PlannerRule(pub &'static str, pub fn(&Arc<dyn ExecutionPlan>) -> Replacement);

impl PhysicalOptimizerRule for PlannerRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            Ok(match self.1(&plan)? {
                Some(replacement) => Transformed::yes(replacement),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        self.0
    }

    fn schema_check(&self) -> bool {
        true
    }
}
