//! A rule for the planner: aggregates that keep all they are given run once, after the exchange.
//!
//! The planner aggregates each partition first and exchanges states. That pays where states are smaller than what went in. The
//! state of a basket is its items: exchanging lines and aggregating once takes about half the time. That of a customer is every
//! order: it takes no longer, and two thirds of the memory, since a customer is in one partition and not in all.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

/// Takes the names of aggregates whose states are about as large as what went in.
#[derive(Debug)]
pub struct AggregateOnce(&'static [&'static str]);

impl AggregateOnce {
    #[must_use]
    pub fn in_one_process() -> Self {
        Self(&["basket", "customer_orders"])
    }

    /// An exchange over the wire costs by the byte, and the orders of a customer are fewer bytes than the lines.
    #[must_use]
    pub fn on_cluster() -> Self {
        Self(&["basket"])
    }
}

impl PhysicalOptimizerRule for AggregateOnce {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            Ok(match aggregated_once(&plan, self.0)? {
                Some(once) => Transformed::yes(once),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "aggregate_once"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// One aggregation over exchanged rows in place of a partial one, an exchange of states and a final one.
fn aggregated_once(
    plan: &Arc<dyn ExecutionPlan>,
    keeping_all: &[&str],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = aggregation(plan, AggregateMode::FinalPartitioned) else { return Ok(None) };
    let Some(exchange) = last.input().downcast_ref::<RepartitionExec>() else { return Ok(None) };
    let Some(first) = aggregation(exchange.input(), AggregateMode::Partial) else { return Ok(None) };
    let keeps_all = |name: &str| keeping_all.contains(&name);
    let mut names = first.aggr_expr().iter().map(|aggregate| aggregate.fun().name());
    // sums beside them go along
    if !names.clone().any(keeps_all) || !names.all(|name| keeps_all(name) || name == "sum") {
        return Ok(None);
    }
    if !first.group_expr().is_single() {
        return Ok(None);
    }
    let keys = first.group_expr().input_exprs();
    let partitions = exchange.partitioning().partition_count();
    let rows = RepartitionExec::try_new(Arc::clone(first.input()), Partitioning::Hash(keys, partitions))?;
    let once = AggregateExec::try_new(
        AggregateMode::SinglePartitioned,
        first.group_expr().clone(),
        first.aggr_expr().to_vec(),
        first.filter_expr().to_vec(),
        Arc::new(rows),
        first.input_schema(),
    )?;
    Ok(Some(Arc::new(once)))
}

fn aggregation(plan: &Arc<dyn ExecutionPlan>, mode: AggregateMode) -> Option<&AggregateExec> {
    plan.downcast_ref::<AggregateExec>().filter(|aggregation| *aggregation.mode() == mode)
}
