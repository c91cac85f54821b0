//! The cores of executors as the scheduler counts them, and a second count that mends the first.
//!
//! When a stage begins again, Ballista forgets the tasks of its first attempt, and with them the cores that they took: an executor of one core
//! would get no task ever after. What was handed out and not given back is compared with what runs; what stays over is given back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::UpdateTaskStatusParams;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::cluster::{BoundTask, ClusterState, ClusterStateEventStream, ExecutorSlot};
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::state::task_manager::JobInfoCache;

use super::serve::Scheduler;

/// How often the counts are compared; twice the same difference is none of the moment.
const BETWEEN_COUNTS: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Slots {
    state: InMemoryClusterState,
    /// Cores that were handed out and not given back, by executor.
    taken: Mutex<HashMap<String, u32>>,
}

impl Slots {
    fn count(&self, count: impl FnOnce(&mut HashMap<String, u32>)) {
        count(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Compares the counts for as long as the scheduler lives.
pub async fn mend(slots: Arc<Slots>, scheduler: Scheduler) {
    let mut before = HashMap::new();
    loop {
        tokio::time::sleep(BETWEEN_COUNTS).await;
        let mut running: HashMap<String, u32> = HashMap::new();
        for job in scheduler.state.task_manager.get_running_job_cache().values() {
            let graph = job.execution_graph.read().await;
            for task in graph.running_tasks() {
                let cores = graph.task_vcores(task.stage_id, task.task_id).unwrap_or(1);
                *running.entry(task.executor_id).or_default() += cores;
            }
        }
        let mut over: HashMap<String, u32> = HashMap::new();
        slots.count(|taken| {
            let counts = taken.iter().map(|(id, taken)| {
                (id.clone(), taken.saturating_sub(running.get(id).copied().unwrap_or_default()))
            });
            over.extend(counts.filter(|(_, over)| *over > 0));
        });
        for (executor_id, cores) in &over {
            let cores = (*cores).min(before.get(executor_id).copied().unwrap_or_default());
            if cores == 0 {
                continue;
            }
            tracing::warn!(executor_id, cores, "giving back cores of tasks that are no more");
            if let Err(error) = slots.unbind_tasks(vec![(executor_id.clone(), cores)]).await {
                tracing::warn!(%error, "cores cannot be given back");
            }
            // news of no task has it hand out tasks
            let news = UpdateTaskStatusParams { executor_id: executor_id.clone(), task_status: Vec::new() };
            let _ = scheduler.update_task_status(tonic::Request::new(news)).await;
        }
        before = over;
    }
}

#[async_trait]
impl ClusterState for Slots {
    async fn init(&self) -> Result<()> {
        self.state.init().await
    }

    async fn bind_schedulable_tasks(
        &self,
        distribution: TaskDistributionPolicy,
        active_jobs: Arc<HashMap<JobId, JobInfoCache>>,
        executors: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        let bound = self.state.bind_schedulable_tasks(distribution, active_jobs, executors).await?;
        self.count(|taken| {
            for (executor_id, task) in &bound {
                *taken.entry(executor_id.clone()).or_default() += task.vcores_consumed;
            }
        });
        Ok(bound)
    }

    async fn unbind_tasks(&self, executor_slots: Vec<ExecutorSlot>) -> Result<()> {
        self.count(|taken| {
            for (executor_id, cores) in &executor_slots {
                if let Some(taken) = taken.get_mut(executor_id) {
                    *taken = taken.saturating_sub(*cores);
                }
            }
        });
        self.state.unbind_tasks(executor_slots).await
    }

    async fn register_executor(&self, metadata: ExecutorMetadata, spec: ExecutorData) -> Result<()> {
        self.count(|taken| {
            taken.remove(&metadata.id);
        });
        self.state.register_executor(metadata, spec).await
    }

    async fn save_executor_metadata(&self, metadata: ExecutorMetadata) -> Result<()> {
        self.state.save_executor_metadata(metadata).await
    }

    async fn get_executor_metadata(&self, executor_id: &str) -> Result<ExecutorMetadata> {
        self.state.get_executor_metadata(executor_id).await
    }

    async fn registered_executor_metadata(&self) -> Vec<ExecutorMetadata> {
        self.state.registered_executor_metadata().await
    }

    async fn save_executor_heartbeat(
        &self,
        heartbeat: ballista_core::serde::protobuf::ExecutorHeartbeat,
    ) -> Result<()> {
        self.state.save_executor_heartbeat(heartbeat).await
    }

    async fn remove_executor(&self, executor_id: &str) -> Result<()> {
        self.count(|taken| {
            taken.remove(executor_id);
        });
        self.state.remove_executor(executor_id).await
    }

    fn executor_heartbeats(&self) -> HashMap<String, ballista_core::serde::protobuf::ExecutorHeartbeat> {
        self.state.executor_heartbeats()
    }

    fn get_executor_heartbeat(
        &self,
        executor_id: &str,
    ) -> Option<ballista_core::serde::protobuf::ExecutorHeartbeat> {
        self.state.get_executor_heartbeat(executor_id)
    }

    async fn cluster_state_events(&self) -> Result<ClusterStateEventStream> {
        self.state.cluster_state_events().await
    }
}
