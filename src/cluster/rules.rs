//! Rules for plans that run on a cluster, where a task sees one partition and shares nothing with the others.

use std::sync::Arc;

use datafusion::logical_expr::JoinType;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};

use crate::planner_rule::{PlannerRule, PlannerRules, Replacement};

/// A side of a join that is larger is not copied to every task.
pub const BROADCAST_BYTES: usize = 128 << 20;

/// The planner's rules with ours where they belong.
#[must_use]
pub fn rules() -> PlannerRules {
    let mut rules = PhysicalOptimizer::new().rules;
    let joins = rules.iter().position(|rule| rule.name() == "join_selection");
    let after_joins = joins.map_or(0, |joins| joins + 1);
    rules.insert(after_joins, Arc::new(PlannerRule("small_side_first", small_side_first)));
    rules.insert(after_joins, Arc::new(PlannerRule("copied_side_known", copied_side_known)));
    rules.push(Arc::new(PlannerRule("unmatched_once", unmatched_once)));
    rules
}

/// So many rows are few whatever the other side has.
const FEW_ROWS: usize = 10_000;

/// Of a join without keys, the side whose rows are known to be few is the one that every task holds in memory.
///
/// The planner turns such a join round only when it knows the rows of both sides. A scalar subquery beside customers whose number
/// it has lost track of would have all customers brought to every task.
fn small_side_first(plan: &Arc<dyn ExecutionPlan>) -> Replacement {
    let is_better_turned = |left, right| is_few(right) && !is_few(left);
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
        && join.join_type().supports_swap()
        && is_better_turned(join.left(), join.right())
    {
        return join.swap_inputs().map(Some);
    }
    if let Some(join) = plan.downcast_ref::<CrossJoinExec>()
        && is_better_turned(join.left(), join.right())
    {
        return join.swap_inputs().map(Some);
    }
    Ok(None)
}

fn is_few(side: &Arc<dyn ExecutionPlan>) -> bool {
    let statistics = StatisticsContext::new().compute(side.as_ref(), &StatisticsArgs::new());
    statistics.is_ok_and(|known| known.num_rows.get_value().is_some_and(|rows| *rows <= FEW_ROWS))
}

/// A join whose one side is held by every task is left as one only where the scheduler will see it so: where the side's rows are known and not
/// too many, and no row of it is given without a match. It would divide any other by the join's keys when it cuts the plan into
/// stages, and what was planned above the join, for the partitions that it had, would no longer fit.
fn copied_side_known(plan: &Arc<dyn ExecutionPlan>) -> Replacement {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(None) };
    if *join.partition_mode() != PartitionMode::CollectLeft {
        return Ok(None);
    }
    let statistics = StatisticsContext::new().compute(join.left().as_ref(), &StatisticsArgs::new())?;
    let rows = statistics.num_rows.get_value().copied().unwrap_or(0);
    let bytes = statistics.total_byte_size.get_value().copied().unwrap_or(0);
    // the scheduler reckons with up to 32 bytes for each value
    let reckoned = bytes.max(rows.saturating_mul(32 * join.left().schema().fields().len()));
    if gives_right_side(*join.join_type()) && rows > 0 && reckoned < BROADCAST_BYTES {
        return Ok(None);
    }
    join.builder().with_partition_mode(PartitionMode::Partitioned).build_exec().map(Some)
}

/// Whether a join gives rows of its right side alone, or with those of the left that match.
fn gives_right_side(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
    )
}

/// A join without keys that gives the rows of its left side without a match must see all of the right side in one task: partitions
/// of one process tell each other which rows have matched, tasks do not, and each would give the row again.
fn unmatched_once(plan: &Arc<dyn ExecutionPlan>) -> Replacement {
    let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() else { return Ok(None) };
    if gives_right_side(*join.join_type()) || join.right().output_partitioning().partition_count() == 1 {
        return Ok(None);
    }
    let right = Arc::new(CoalescePartitionsExec::new(Arc::clone(join.right())));
    replace_children_if_necessary(Arc::clone(plan), vec![Arc::clone(join.left()), right]).map(Some)
}
