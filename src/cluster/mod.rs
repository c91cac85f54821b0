//! A Ballista cluster: the client that hands it plans, and the processes that it is made of.
//!
//! The client plans, decides and publishes as it does with the embedded engine; a plan that reads much is handed to the scheduler
//! as it is, so what runs on executors is what would run here. Rows that stages after it need stand in Parquet under the run's
//! attempt ([`crate::publish::Scratch`]), written by the executors side by side (`cluster::write`).

use std::sync::{Arc, OnceLock};

use datafusion::common::Result as EngineResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::{StreamExt, TryStreamExt};

use crate::config::Ballista;
use crate::error::Result;
use crate::publish::Scratch;

mod client;
mod codec;
mod connections;
mod failure;
mod jobs;
mod measures;
mod plan;
mod presence;
mod rules;
mod serve;
mod slots;
mod stores;
mod tls;
mod version;
pub mod write;

pub use codec::Codec;
pub use plan::{OnCluster, Planner};
pub use rules::{BROADCAST_BYTES, rules};
pub use serve::{ExecutorOptions, SchedulerOptions, executor, scheduler};

use client::Client;
pub use tls::{Tls, TlsFiles};

use serve::InProcess;

/// What a message between the processes may have, in bytes. A plan names every file that it reads, 150 bytes or so each, and holds
/// small relations; 16 MiB, what gRPC allows by default, would be passed by a hundred thousand files.
pub const MESSAGE_LIMIT: usize = 256 << 20;

/// A cluster as a run uses it.
#[derive(Debug)]
pub struct Cluster {
    client: Arc<Client>,
    pub scratch: Scratch,
    local_limit: u64,
    /// Whether plans are to tell what their operators measured.
    measures: bool,
    _own: Option<InProcess>,
}

impl Cluster {
    /// Connects to the scheduler that is configured, or starts a cluster of one.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub async fn connect(
        ballista: &Ballista,
        engine: &crate::config::Engine,
        scratch: Scratch,
        measures: bool,
    ) -> Result<Self> {
        let (address, tls, own) = if let Some(address) = &ballista.scheduler {
            (address.clone(), Tls::read(&TlsFiles::of_environment())?, None)
        } else {
            let own = InProcess::start(engine).await?;
            (own.address.clone(), None, Some(own))
        };
        let client = Arc::new(Client::connect(address, tls).await?);
        Ok(Self { client, scratch, local_limit: ballista.local_limit, measures, _own: own })
    }

    #[must_use]
    pub fn local_limit(&self) -> u64 {
        self.local_limit
    }

    /// The cores of all executors.
    ///
    /// # Errors
    /// When the scheduler does not tell, or has no executors.
    pub async fn cores(&self) -> Result<usize> {
        self.client.cores().await
    }

    /// Runs a plan on the executors and gives its rows.
    ///
    /// # Errors
    /// When the plan cannot be handed over or the job fails.
    pub async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        settings: &SessionConfig,
        measured: &OnceLock<String>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = plan.schema();
        let node = PhysicalPlanNode::try_from_physical_plan(plan, &Codec::default())?;
        let mut encoded = Vec::new();
        node.try_encode(&mut encoded)?;
        let streams = self.client.rows_of(&encoded, settings, self.measures.then_some(measured)).await?;
        // the types as planned: names and nullability do not all cross the wire
        let rows = futures::stream::iter(streams).flatten().map(|batch: EngineResult<_>| batch);
        let planned = Arc::clone(&schema);
        let rows = rows.and_then(move |batch| {
            let planned = Arc::clone(&planned);
            async move { Ok(batch.with_schema(planned)?) }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// Cancels what runs, for whoever stops the command.
    pub async fn cancel(&self) {
        self.client.cancel_all().await;
    }

    /// Says goodbye to the scheduler.
    pub async fn end(&self) {
        self.client.end().await;
    }
}

/// The cluster of a session, where it has one.
#[must_use]
pub fn of(context: &SessionContext) -> Option<Arc<Cluster>> {
    context.state_ref().read().config().get_extension::<Cluster>()
}
