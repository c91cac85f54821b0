//! The client of a scheduler: hands it plans, follows them to their end, fetches their rows, cancels what nobody waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ballista_core::client::BallistaClient;
use ballista_core::extension::{BallistaConfigGrpcEndpoint, EndpointOverrideFn, SessionConfigHelperExt};
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    CancelJobParams, ExecuteQueryParams, GetJobMetricsParams, GetJobStatusResult, OperatorMetricsSet,
    PartitionLocation, RemoveSessionParams, SuccessfulJob, job_status,
};
use ballista_core::version::insert_version_header;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use serde::Deserialize;
use tokio::time::Instant;
use tonic::client::GrpcService;
use tonic::transport::{Channel, Endpoint};

use super::MESSAGE_LIMIT;
use super::jobs::TO_BE_RUN_ANEW;
use super::presence::{EXECUTOR_LOST, Presence};
use super::tls::Tls;
use crate::config::SchedulerAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::text::without_middle;

/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that does not answer for so long after so long a silence is gone.
const SILENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a job is run that loses executors.
const MOST_RUNS: usize = 4;

/// How often to look whether the executors of a job are still there.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

const ROWS_LOST: &str = "rows cannot be fetched from an executor; the same command may work later";

/// Whether a failure is that of executors that were lost, which others may make up for.
fn may_be_run_anew(error: &Error) -> bool {
    let told = error.to_string();
    [TO_BE_RUN_ANEW, ROWS_LOST, EXECUTOR_LOST].iter().any(|words| told.contains(words))
}

/// Tells the scheduler which version of ours asks; see [`super::version`].
pub const USER_AGENT: &str = concat!("regulars/", env!("CARGO_PKG_VERSION"));

/// An endpoint that tells our version and notices when its peer is gone, encrypted where there is a certificate.
pub fn endpoint(endpoint: Endpoint, tls: Option<&Tls>) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = match tls {
        Some(tls) => tls.encrypted(&endpoint)?,
        None => endpoint,
    };
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(SILENCE))
        .http2_keep_alive_interval(SILENCE)
        .keep_alive_timeout(PATIENCE)
        .keep_alive_while_idle(true);
    endpoint.user_agent(USER_AGENT)
}

/// The same for connections that Ballista makes.
pub fn endpoints(tls: Option<Tls>) -> EndpointOverrideFn {
    Arc::new(move |to| endpoint(to, tls.as_ref()).map_err(Into::into))
}

/// A connection to a scheduler, and the jobs that it works on for us.
#[derive(Debug)]
pub struct Client {
    address: SchedulerAddress,
    channel: Channel,
    tls: Option<Tls>,
    session_id: String,
    running: Mutex<BTreeSet<String>>,
    executors: Mutex<Presence>,
}

/// An executor as the REST API tells it.
#[derive(Deserialize)]
struct Executor {
    id: String,
    specification: Specification,
}

#[derive(Deserialize)]
struct Specification {
    vcores: usize,
}

/// A job that ended well: where its rows stand.
#[derive(Debug)]
struct Done {
    job_id: String,
    locations: Vec<PartitionLocation>,
}

impl Client {
    /// # Errors
    /// When no scheduler answers there.
    pub async fn connect(address: SchedulerAddress, tls: Option<Tls>) -> Result<Self> {
        let unreachable = |error: tonic::transport::Error| {
            Error::new(ErrorKind::External, "the scheduler cannot be reached")
                .with("scheduler", &address)
                .caused_by(causes(&error))
        };
        let url = format!("http://{}:{}", address.host, address.port);
        let to = Endpoint::from_shared(url).and_then(|to| endpoint(to, tls.as_ref())).map_err(unreachable)?;
        let channel = to.connect().await.map_err(unreachable)?;
        let session_id = uuid::Uuid::new_v4().to_string();
        Ok(Self { address, channel, tls, session_id, running: Mutex::default(), executors: Mutex::default() })
    }

    fn scheduler(&self) -> SchedulerGrpcClient<Channel> {
        SchedulerGrpcClient::new(self.channel.clone())
            .max_encoding_message_size(MESSAGE_LIMIT)
            .max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// Has a plan run and opens its rows, a stream for each of its last stage's partitions; again where executors were lost.
    ///
    /// # Errors
    /// When the scheduler refuses it, it fails, or executors are lost time and again.
    pub async fn rows_of(
        self: &Arc<Self>,
        plan: &[u8],
        settings: &SessionConfig,
        measured: Option<&OnceLock<String>>,
    ) -> Result<Vec<SendableRecordBatchStream>> {
        let mut runs = 0;
        loop {
            runs += 1;
            let tried = async {
                let done = self.run(plan.to_vec(), settings).await?;
                let told =
                    if measured.is_some() { self.measured(&done.job_id).await? } else { String::new() };
                Ok((told, self.rows(done).await?))
            };
            match tried.await {
                Err(error) if runs < MOST_RUNS && may_be_run_anew(&error) => {
                    tracing::warn!(%error, "running the job anew");
                }
                Err(error) => return Err(error),
                Ok((told, rows)) => {
                    if let Some(measured) = measured {
                        let _ = measured.set(told);
                    }
                    return Ok(rows);
                }
            }
        }
    }

    /// Has a plan run to its end. A job whose future is dropped is cancelled.
    async fn run(self: &Arc<Self>, plan: Vec<u8>, settings: &SessionConfig) -> Result<Done> {
        if plan.len() > MESSAGE_LIMIT {
            let message = format!(
                "a plan of {} bytes is larger than the {MESSAGE_LIMIT} that a message to the cluster may have; give the input fewer, larger files",
                plan.len()
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut request = tonic::Request::new(ExecuteQueryParams {
            query: Some(Query::PhysicalPlan(plan)),
            settings: settings.to_key_value_pairs(),
            session_id: self.session_id.clone(),
            operation_id: uuid::Uuid::new_v4().to_string(),
        });
        insert_version_header(request.metadata_mut());
        let answer = self.scheduler().execute_query_push(request).await;
        let mut statuses = answer.map_err(|status| self.refused(&status))?.into_inner();
        let mut job: Option<Job> = None;
        let mut look = tokio::time::interval_at(Instant::now() + BETWEEN_LOOKS, BETWEEN_LOOKS);
        loop {
            let next = tokio::select! {
                next = statuses.message() => next.map_err(|status| self.gone(&status.to_string()))?,
                _ = look.tick() => {
                    self.look_for_executors().await?;
                    continue;
                }
            };
            let Some(GetJobStatusResult { status: Some(status), .. }) = next else {
                return Err(self.gone("the job's news ended"));
            };
            let job = job.get_or_insert_with(|| Job::new(self, status.job_id));
            match status.status {
                Some(job_status::Status::Successful(SuccessfulJob { partition_location, .. })) => {
                    job.has_ended = true;
                    return Ok(Done { job_id: job.id.clone(), locations: partition_location });
                }
                Some(job_status::Status::Failed(failed)) => {
                    job.has_ended = true;
                    return Err(super::failure::error_of(&failed.error));
                }
                _ => {}
            }
        }
    }

    /// Opens the rows of a job. Of a partition that was written again, by another task after its executor was lost, the last counts: the scheduler
    /// tells all of them.
    async fn rows(&self, done: Done) -> Result<Vec<SendableRecordBatchStream>> {
        let mut last = BTreeMap::new();
        for location in done.locations {
            last.insert(location.partition_id.as_ref().map(|id| id.partition_id), location);
        }
        let fetched = last.into_values().map(|location| fetch(location, self.tls.clone()));
        futures::future::try_join_all(fetched).await
    }

    /// What each operator of a job measured, stage by stage.
    async fn measured(&self, job_id: &str) -> Result<String> {
        let request = GetJobMetricsParams { job_id: job_id.to_owned() };
        let answer = self.scheduler().get_job_metrics(request).await;
        let stages = answer.map_err(|status| self.gone(&status.to_string()))?.into_inner().stages;
        let mut lines = Vec::new();
        for stage in stages {
            lines.push(format!("stage {} of {} partitions", stage.stage_id, stage.partitions));
            for operator in stage.operators {
                let metrics: MetricsSet = OperatorMetricsSet { metrics: operator.metrics }
                    .try_into()
                    .map_err(|error| Error::internal("metrics cannot be read").caused_by(error))?;
                let metrics = metrics.aggregate_by_name().sorted_for_display().timestamps_removed();
                let indent = "  ".repeat(operator.depth as usize + 1);
                lines.push(format!("{indent}{}, metrics=[{metrics}]", operator.operator_desc));
            }
        }
        Ok(lines.join("\n"))
    }

    /// Cancels what runs.
    pub async fn cancel_all(&self) {
        let jobs = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for job_id in jobs {
            self.cancel(job_id).await;
        }
    }

    async fn cancel(&self, job_id: String) {
        if let Err(status) = self.scheduler().cancel_job(CancelJobParams { job_id: job_id.clone() }).await {
            tracing::warn!(job_id, %status, "the job could not be cancelled on the cluster");
        }
    }

    /// Has the scheduler forget the session.
    pub async fn end(&self) {
        let request = RemoveSessionParams { session_id: self.session_id.clone() };
        if let Err(status) = self.scheduler().remove_session(request).await {
            tracing::debug!(%status, "the session stays with the scheduler");
        }
    }

    /// Errs when executors of a job are gone; see [`Presence::look`].
    async fn look_for_executors(&self) -> Result<()> {
        let now = self.executors().await?.into_iter().map(|executor| executor.id).collect();
        let mut presence = self.executors.lock().unwrap_or_else(PoisonError::into_inner);
        presence.look(now, Instant::now()).map_err(|error| error.with("scheduler", &self.address))
    }

    /// The executors that the scheduler knows, as its REST API tells them.
    async fn executors(&self) -> Result<Vec<Executor>> {
        let answer = self.ask("/api/executors").await?;
        serde_json::from_slice(&answer)
            .map_err(|error| Error::internal("the scheduler's executors cannot be read").caused_by(error))
    }

    /// The cores of all executors.
    ///
    /// # Errors
    /// When the scheduler does not tell, or has no executors.
    pub async fn cores(&self) -> Result<usize> {
        let executors = self.executors().await?;
        let ids = executors.iter().map(|executor| executor.id.clone()).collect();
        self.executors.lock().unwrap_or_else(PoisonError::into_inner).begin(ids);
        match executors.iter().map(|executor| executor.specification.vcores).sum() {
            0 => {
                let message = "the cluster has no executors; start some with regulars executor";
                Err(Error::new(ErrorKind::External, message).with("scheduler", &self.address))
            }
            cores => Ok(cores),
        }
    }

    /// An answer of the REST API, over the connection that there is.
    async fn ask(&self, path: &str) -> Result<axum::body::Bytes> {
        let uri = format!("http://{}:{}{path}", self.address.host, self.address.port);
        let request = axum::http::Request::get(uri).body(tonic::body::Body::empty());
        let request = request.map_err(|error| Error::internal("not a request").caused_by(error))?;
        let mut channel = self.channel.clone();
        let asked = async {
            std::future::poll_fn(|context| channel.poll_ready(context)).await?;
            channel.call(request).await
        };
        let answer = asked.await.map_err(|error| self.gone(&causes(&error)))?;
        let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), MESSAGE_LIMIT).await;
        body.map_err(|error| self.gone(&causes(&error)))
    }

    fn gone(&self, cause: &str) -> Error {
        Error::new(ErrorKind::External, "the scheduler is gone; the same command may work once it is back")
            .with("scheduler", &self.address)
            .caused_by(cause.to_owned())
    }

    /// What it means that the scheduler did not take a plan.
    fn refused(&self, status: &tonic::Status) -> Error {
        let scheduler = |error: Error| error.with("scheduler", &self.address);
        match status.code() {
            tonic::Code::FailedPrecondition => scheduler(Error::config(status.message())),
            tonic::Code::Unavailable | tonic::Code::Cancelled | tonic::Code::Unknown => {
                self.gone(&status.to_string())
            }
            _ => {
                let message = without_middle(status.message(), 600, 600);
                scheduler(Error::internal("the scheduler did not take a plan").caused_by(message))
            }
        }
    }
}

/// A job under way; dropped before its end it is cancelled.
struct Job {
    client: Arc<Client>,
    id: String,
    has_ended: bool,
}

impl Job {
    fn new(client: &Arc<Client>, id: String) -> Self {
        client.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        Self { client: Arc::clone(client), id, has_ended: false }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.has_ended {
            // left among those that run: whoever stops the command cancels them, and waits for it
            let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
            let (client, id) = (Arc::clone(&self.client), self.id.clone());
            runtime.spawn(async move {
                client.cancel(id.clone()).await;
                client.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            });
            return;
        }
        self.client.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Opens the rows of one partition where the executor has them.
async fn fetch(location: PartitionLocation, tls: Option<Tls>) -> Result<SendableRecordBatchStream> {
    let layout = location.layout();
    let (Some(executor), Some(partition)) = (location.executor_meta, location.partition_id) else {
        return Err(Error::internal("rows of a job have no place"));
    };
    let port = u16::try_from(executor.port).map_err(|_| Error::internal("an executor has no port"))?;
    let failed = |error: ballista_core::error::BallistaError| {
        Error::new(ErrorKind::External, ROWS_LOST)
            .with("executor", format!("{}:{port}", executor.host))
            .caused_by(error.to_string())
    };
    let customize = BallistaConfigGrpcEndpoint::new(endpoints(tls));
    let mut client = BallistaClient::try_new(
        &executor.host,
        port,
        MESSAGE_LIMIT,
        false,
        Some(Arc::new(customize)),
        3,
        1000,
        0,
        0,
    )
    .await
    .map_err(failed)?;
    // as blocks of the file, so that no row is too long for a message
    client
        .fetch_partition(&executor.id, &partition.into(), location.file_id, layout, false)
        .await
        .map_err(failed)
}

/// An error with all that caused it, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
