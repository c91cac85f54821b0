//! A rule for the planner: aggregates that keep all they are given run once, after the exchange.
//!
//! The planner aggregates each partition first and exchanges states. That pays where states are smaller than what went in. The
//! state of a basket is its items: exchanging lines and aggregating once takes about half the time. That of a customer is every
//! order: it takes no longer, and two thirds of the memory, since a customer is in one partition and not in all.

use std::sync::Arc;

use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use crate::planner_rule::{PlannerRule, Replacement};

/// Aggregates whose states are about as large as what went in run once.
pub const AGGREGATE_ONCE: PlannerRule =
    PlannerRule("aggregate_once", |plan| aggregated_once(plan, &["basket", "customer_orders"]));

/// An exchange over the wire costs by the byte, and the orders of a customer are fewer bytes than the lines.
pub const AGGREGATE_ONCE_ON_CLUSTER: PlannerRule =
    PlannerRule("aggregate_once", |plan| aggregated_once(plan, &["basket"]));

/// One aggregation over exchanged rows in place of a partial one, an exchange of states and a final one.
fn aggregated_once(plan: &Arc<dyn ExecutionPlan>, keeping_all: &[&str]) -> Replacement {
    let Some(last) = aggregation(plan, AggregateMode::FinalPartitioned) else { return Ok(None) };
    let Some(exchange) = last.input().downcast_ref::<RepartitionExec>() else { return Ok(None) };
    let Some(first) = aggregation(exchange.input(), AggregateMode::Partial) else { return Ok(None) };
    let keeps_all = |name: &str| keeping_all.contains(&name);
    let mut names = first.aggr_expr().iter().map(|aggregate| aggregate.fun().name());
    // sums beside them go along
    let go_along = names.clone().any(keeps_all) && names.all(|name| keeps_all(name) || name == "sum");
    if !go_along || !first.group_expr().is_single() {
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
