//! Rules for plans that run on a cluster, where a task sees one partition and shares nothing with the others.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::JoinType;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};

/// A side of a join that is larger is not copied to every task.
pub const BROADCAST_BYTES: usize = 128 << 20;

/// The planner's rules with ours where they belong.
#[must_use]
pub fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let joins = rules.iter().position(|rule| rule.name() == "join_selection");
    let after_joins = joins.map_or(0, |joins| joins + 1);
    rules.insert(after_joins, Arc::new(SmallSideFirst));
    rules.insert(after_joins, Arc::new(CopiedSideKnown));
    rules.push(Arc::new(UnmatchedOnce));
    rules
}

/// Of a join without keys, the side whose rows are known to be few is the one that every task holds in memory.
///
/// The planner turns such a join round only when it knows the rows of both sides. A scalar subquery beside customers whose number
/// it has lost track of would have all customers brought to every task.
#[derive(Debug)]
struct SmallSideFirst;

/// So many rows are few whatever the other side has.
const FEW_ROWS: usize = 10_000;

impl PhysicalOptimizerRule for SmallSideFirst {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        transformed(plan, turned)
    }

    fn name(&self) -> &'static str {
        "small_side_first"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn turned(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
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
#[derive(Debug)]
struct CopiedSideKnown;

impl PhysicalOptimizerRule for CopiedSideKnown {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        transformed(plan, divided_by_keys)
    }

    fn name(&self) -> &'static str {
        "copied_side_known"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn divided_by_keys(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
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
#[derive(Debug)]
struct UnmatchedOnce;

impl PhysicalOptimizerRule for UnmatchedOnce {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        transformed(plan, in_one_task)
    }

    fn name(&self) -> &'static str {
        "unmatched_once"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn in_one_task(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() else { return Ok(None) };
    if gives_right_side(*join.join_type()) || join.right().output_partitioning().partition_count() == 1 {
        return Ok(None);
    }
    let right = Arc::new(CoalescePartitionsExec::new(Arc::clone(join.right())));
    replace_children_if_necessary(Arc::clone(plan), vec![Arc::clone(join.left()), right]).map(Some)
}

fn transformed(
    plan: Arc<dyn ExecutionPlan>,
    transform: impl Fn(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|plan| {
        Ok(match transform(&plan)? {
            Some(transformed) => Transformed::yes(transformed),
            None => Transformed::no(plan),
        })
    })
    .data()
}
