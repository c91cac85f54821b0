//! What a job's failure means. The cluster tells it as text alone, so executors sort their errors before they go into that text,
//! and the client reads them from it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::{
    RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport,
};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;

use super::measures::Measures;
use crate::crash_point::crash_point;
use crate::error::{Error, ErrorKind};
use crate::text::without_middle;

/// The error of a job that failed.
#[must_use]
pub fn error_of(told: &str) -> Error {
    Error::told_in(told).unwrap_or_else(|| {
        let message = "the job failed on the cluster; the same command may work later";
        Error::new(ErrorKind::External, message).caused_by(without_middle(told, 2000, 2000))
    })
}

/// Runs stages as Ballista does, sorts what fails as it would be sorted here, and counts.
pub struct Sorting {
    engine: DefaultExecutionEngine,
    measures: Arc<Measures>,
}

impl Sorting {
    #[must_use]
    pub fn new(engine: DefaultExecutionEngine, measures: Arc<Measures>) -> Self {
        Self { engine, measures }
    }
}

impl ExecutionEngine for Sorting {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let engine = &self.engine;
        let stage =
            engine.create_query_stage_exec(job_id, stage_id, task_id, partitions, plan, work_dir, config)?;
        Ok(Arc::new(Stage { stage, measures: Arc::clone(&self.measures) }))
    }
}

#[derive(Debug)]
struct Stage {
    stage: Arc<dyn QueryStageExecutor>,
    measures: Arc<Measures>,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Stage {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let written =
            self.measures.of(self.stage.execute_query_stage(task_id, context)).await.map_err(sorted);
        // what was written is lost with the executor, though nobody has been told yet
        crash_point("task");
        written
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.stage.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.stage.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.stage.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.stage.collect_column_stats()
    }
}

/// What the cluster tries again stays as it is; anything else becomes an error of ours.
fn sorted(error: DataFusionError) -> DataFusionError {
    as_ours(&error).map_or(error, Into::into)
}

fn as_ours(error: &DataFusionError) -> Option<Error> {
    match error.find_root() {
        DataFusionError::IoError(_) => None,
        DataFusionError::External(source) => match source.downcast_ref::<BallistaError>() {
            Some(BallistaError::DataFusionError(within)) => as_ours(within),
            Some(_) => None,
            None => Some(error.into()),
        },
        _ => Some(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind_and_sentence_across_the_wire() {
        let limit = Error::new(ErrorKind::Limit, "more \"itemsets\" than\nthe limit")
            .with("key", "rules.max_itemsets");
        let sentence = limit.to_string();
        let told = format!("Job failed: {:?}", sorted(DataFusionError::from(limit).context("in a stage")));
        let error = error_of(&told);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Limit, sentence));

        let exhausted = DataFusionError::ResourcesExhausted("no more".to_owned());
        let within = BallistaError::DataFusionError(Box::new(exhausted)).into_datafusion();
        assert_eq!(error_of(&format!("{:?}", sorted(within))).kind(), ErrorKind::Limit);
    }

    #[test]
    fn a_failure_that_says_nothing_may_be_tried_again() {
        assert_eq!(error_of("the executor is lost").kind(), ErrorKind::External);
        let lost = DataFusionError::External(Box::new(BallistaError::Cancelled));
        assert!(matches!(sorted(lost), DataFusionError::External(source) if source.is::<BallistaError>()));
    }
}
