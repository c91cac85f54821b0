//! Jobs as the scheduler keeps them: one of whose stages began again is not taken for done.
//!
//! When an executor is lost, a stage that read from it begins again as a whole. Ballista keeps what tasks of its first attempt had told its
//! readers and adds what those of the second tell, so that rows may come twice: counts would be wrong without anyone noticing. Such
//! a job fails instead, with words by which the client knows that it is to be run anew.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::JobStatus;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::{ConfigProducer, JobId, JobStatusSubscriber};
use ballista_scheduler::SessionBuilder;
use ballista_scheduler::cluster::memory::InMemoryJobState;
use ballista_scheduler::cluster::{BallistaCluster, JobState, JobStateEventStream};
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::slots::Slots;

/// What a failed job says when it is to be run anew.
pub const TO_BE_RUN_ANEW: &str = "a stage of the job began again";

/// A cluster whose state is in memory.
pub fn cluster(
    scheduler: &str,
    builder: SessionBuilder,
    config: ConfigProducer,
    slots: Arc<Slots>,
) -> BallistaCluster {
    let jobs = Jobs(InMemoryJobState::new(scheduler, builder, config));
    BallistaCluster::new(slots, Arc::new(jobs))
}

struct Jobs(InMemoryJobState);

fn has_begun_again(graph: &ExecutionGraphBox) -> bool {
    graph.stages().values().any(|stage| match stage {
        ExecutionStage::Successful(stage) => stage.stage_attempt_num > 0,
        _ => false,
    })
}

#[async_trait]
impl JobState for Jobs {
    async fn save_job(&self, job_id: &JobId, graph: &ExecutionGraphBox) -> Result<()> {
        let is_done = matches!(graph.status().status, Some(Status::Successful(_)));
        if is_done && has_begun_again(graph) {
            let mut failed = graph.cloned();
            failed.fail_job(TO_BE_RUN_ANEW.to_owned());
            return self.0.save_job(job_id, &failed).await;
        }
        self.0.save_job(job_id, graph).await
    }

    fn accept_job(&self, job_id: &JobId, job_name: &str, queued_at: u64) -> Result<()> {
        self.0.accept_job(job_id, job_name, queued_at)
    }

    fn pending_job_number(&self) -> usize {
        self.0.pending_job_number()
    }

    async fn submit_job(
        &self,
        job_id: JobId,
        graph: &ExecutionGraphBox,
        subscriber: Option<JobStatusSubscriber>,
    ) -> Result<()> {
        self.0.submit_job(job_id, graph, subscriber).await
    }

    async fn get_jobs(&self) -> Result<HashSet<JobId>> {
        self.0.get_jobs().await
    }

    async fn get_all_jobs(&self) -> Result<HashSet<JobId>> {
        self.0.get_all_jobs().await
    }

    async fn get_job_status(&self, job_id: &JobId) -> Result<Option<JobStatus>> {
        self.0.get_job_status(job_id).await
    }

    async fn get_execution_graph(&self, job_id: &JobId) -> Result<Option<ExecutionGraphBox>> {
        self.0.get_execution_graph(job_id).await
    }

    async fn fail_unscheduled_job(&self, job_id: &JobId, reason: String) -> Result<()> {
        self.0.fail_unscheduled_job(job_id, reason).await
    }

    async fn remove_job(&self, job_id: &JobId) -> Result<()> {
        self.0.remove_job(job_id).await
    }

    async fn try_acquire_job(&self, job_id: &JobId) -> Result<Option<ExecutionGraphBox>> {
        self.0.try_acquire_job(job_id).await
    }

    async fn job_state_events(&self) -> Result<JobStateEventStream> {
        self.0.job_state_events().await
    }

    async fn create_or_update_session(
        &self,
        session_id: &str,
        config: &SessionConfig,
    ) -> Result<Arc<SessionContext>> {
        self.0.create_or_update_session(session_id, config).await
    }

    async fn remove_session(&self, session_id: &str) -> Result<()> {
        self.0.remove_session(session_id).await
    }

    fn produce_config(&self) -> SessionConfig {
        self.0.produce_config()
    }
}
