//! The processes that a cluster is made of: a scheduler, and executors that know our functions and stores.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use ballista_core::ConfigProducer;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::error::BallistaError;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_executor::ArrowFlightServerProvider;
use ballista_executor::execution_engine::DefaultExecutionEngine;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::health::ExecutorHealth;
use ballista_scheduler::SessionBuilder;
use ballista_scheduler::api::get_routes;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::connections::Connections;
use super::failure::Sorting;
use super::measures::{Means, Measures};
use super::slots::{self, Slots};
use super::stores::Opening;
use super::tls::Tls;
use super::{Codec, MESSAGE_LIMIT, client, jobs, version};
use crate::config::{Engine, SchedulerAddress};
use crate::error::{Error, ErrorKind, Result};
use crate::session;
use crate::signals::stop_signal;
use crate::spill::SpillFolder;

/// How often executors tell that they are alive.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long the rows of a job that has ended are kept, and its story: plans and small relations, in the scheduler's memory.
const KEPT_ROWS: Duration = Duration::from_secs(30);
const KEPT_STORY: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// The address to listen at.
    pub host: String,
    pub port: u16,
    /// The name that executors reach it by.
    pub advertise: String,
    /// An executor that has not been heard of for so long is lost, and its work done by others.
    pub executor_timeout: Duration,
    /// Where it answers probes without TLS, if anywhere beside its port.
    pub health_port: Option<u16>,
    pub tls: Option<Tls>,
}

#[derive(Debug, Clone)]
pub struct ExecutorOptions {
    pub scheduler: SchedulerAddress,
    pub host: String,
    /// The name that others reach it by; where the scheduler sees it come from when there is none.
    pub advertise: Option<String>,
    /// Where rows are fetched from.
    pub port: u16,
    /// Where the scheduler sends tasks to.
    pub grpc_port: u16,
    /// Where it tells whether it is ready, if anywhere.
    pub health_port: Option<u16>,
    /// Where rows between stages stand.
    pub work_dir: PathBuf,
    pub spill_dir: PathBuf,
    /// 0 for all.
    pub cores: usize,
    pub memory: u64,
    /// How long to wait for the scheduler.
    pub wait: Duration,
    pub tls: Option<Tls>,
}

pub type Scheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// Runs a scheduler until it is stopped.
///
/// # Errors
/// When it cannot listen there.
pub async fn scheduler(options: &SchedulerOptions) -> Result<()> {
    let listener = listen(&options.host, options.port).await?;
    tracing::info!(address = %format!("df://{}:{}", options.advertise, options.port), "scheduler is listening");
    tokio::select! {
        served = serve_scheduler(listener, options) => served,
        stopped = stop_signal() => stopped.map(drop),
    }
}

async fn listen(host: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port)).await.map_err(|error| {
        Error::config("cannot listen there").with("host", host).with("port", port).caused_by(error)
    })
}

async fn serve_scheduler(listener: TcpListener, options: &SchedulerOptions) -> Result<()> {
    let runtime =
        RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(Opening::new())).build_arc()?;
    let config_producer: ConfigProducer = Arc::new(SessionConfig::new_with_ballista);
    let builder: SessionBuilder =
        Arc::new(move |config| Ok(session::serving(config, Arc::clone(&runtime)).state()));
    let config = SchedulerConfig {
        external_host: options.advertise.clone(),
        bind_host: options.host.clone(),
        bind_port: options.port,
        // whichever executor is free, so that work spreads
        task_distribution: TaskDistributionPolicy::RoundRobin,
        finished_job_data_clean_up_interval_seconds: KEPT_ROWS.as_secs(),
        finished_job_state_clean_up_interval_seconds: KEPT_STORY.as_secs(),
        executor_timeout_seconds: options.executor_timeout.as_secs(),
        expire_dead_executor_interval_seconds: HEARTBEAT.as_secs(),
        no_executors_grace_period_seconds: options.executor_timeout.as_secs(),
        grpc_server_max_decoding_message_size: MESSAGE_LIMIT as u32,
        grpc_server_max_encoding_message_size: MESSAGE_LIMIT as u32,
        grpc_client_max_message_size: MESSAGE_LIMIT as u32,
        override_physical_codec: Some(Arc::new(Codec::default())),
        override_create_grpc_client_endpoint: Some(client::endpoints(options.tls.clone())),
        scheduling_policy: policy(options.tls.as_ref()),
        ..SchedulerConfig::default()
    };
    let failed = |error: BallistaError| Error::internal("the scheduler failed").caused_by(error.to_string());
    let slots = Arc::new(Slots::default());
    let cluster = jobs::cluster(&config.scheduler_id, builder, config_producer, Arc::clone(&slots));
    let scheduler: Scheduler = create_scheduler(cluster, Arc::new(config)).await.map_err(failed)?;
    let _mending = AbortOnDrop(tokio::spawn(slots::mend(slots, scheduler.clone())));
    let _probing = match options.health_port {
        Some(port) => {
            let scheduler = scheduler.clone();
            Some(answer(&options.host, port, probes(move || scheduler.is_ready())).await?)
        }
        None => None,
    };
    let router = routes(scheduler);
    let stopped = |error: &dyn std::error::Error| {
        Error::new(ErrorKind::External, "the scheduler stopped listening").caused_by(client::causes(error))
    };
    match &options.tls {
        None => {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).await.map_err(|error| stopped(&error))
        }
        Some(tls) => {
            let mut server = Server::builder().tls_config(tls.server()).map_err(|error| stopped(&error))?;
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let ended = server.add_routes(Routes::from(router)).serve_with_incoming(incoming).await;
            ended.map_err(|error| stopped(&error))
        }
    }
}

/// The scheduler sends tasks, which takes less time than being asked for them; with TLS executors ask, since Ballista's server for being sent
/// tasks knows none.
fn policy(tls: Option<&Tls>) -> TaskSchedulingPolicy {
    if tls.is_some() { TaskSchedulingPolicy::PullStaged } else { TaskSchedulingPolicy::PushStaged }
}

/// A task that ends with its owner.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers at a port of its own, until it is dropped.
async fn answer(host: &str, port: u16, router: Router) -> Result<AbortOnDrop<std::io::Result<()>>> {
    let listener = listen(host, port).await?;
    let service = router.into_make_service();
    Ok(AbortOnDrop(tokio::spawn(async move { axum::serve(listener, service).await })))
}

/// What a scheduler answers: gRPC to those of our version, the REST API and probes to everyone.
fn routes(scheduler: Scheduler) -> Router {
    let mut grpc = RoutesBuilder::default();
    grpc.add_service(
        SchedulerGrpcServer::new(scheduler.clone())
            .max_encoding_message_size(MESSAGE_LIMIT)
            .max_decoding_message_size(MESSAGE_LIMIT),
    );
    let is_ready = {
        let scheduler = scheduler.clone();
        move || scheduler.is_ready()
    };
    let grpc = grpc.routes().into_axum_router().layer(axum::middleware::from_fn(version::same_version));
    grpc.merge(get_routes(Arc::new(scheduler))).merge(probes(is_ready))
}

/// `/healthz`: the process lives; `/readyz`: it can be of use.
fn probes(is_ready: impl Fn() -> bool + Clone + Send + Sync + 'static) -> Router {
    let readyz = move || {
        let answer = if is_ready() {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        };
        std::future::ready(answer)
    };
    Router::new().route("/healthz", get(|| std::future::ready("ok\n"))).route("/readyz", get(readyz))
}

/// Runs an executor until it is stopped by a signal: it takes no more tasks then, and ends when those that it has are done.
///
/// # Errors
/// When it cannot listen, or the scheduler is not there or of another version.
pub async fn executor(options: &ExecutorOptions) -> Result<()> {
    wait_for(&options.scheduler, options.wait).await?;
    serve_executor(options, ExecutorHealth::new()).await
}

async fn serve_executor(options: &ExecutorOptions, health: ExecutorHealth) -> Result<()> {
    let measures = Arc::new(Measures::default());
    let (config, folders) = executor_config(options, health.clone(), Arc::clone(&measures))?;
    let _answering = match options.health_port {
        Some(port) => {
            let means = Means::of(options, &folders);
            let metrics = get(async move || {
                // it walks folders
                let text = tokio::task::spawn_blocking(move || measures.text(&means)).await;
                text.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
            });
            let router = probes(move || health.is_ready()).route("/metrics", metrics);
            Some(answer(&options.host, port, router).await?)
        }
        None => None,
    };
    start_executor_process(Arc::new(config)).await.map_err(|error| {
        let told = error.to_string();
        let kind =
            if told.contains("run the same version") { ErrorKind::Config } else { ErrorKind::External };
        Error::new(kind, "the executor stopped").with("scheduler", &options.scheduler).caused_by(told)
    })
}

/// Waits until something listens at the scheduler's address.
async fn wait_for(scheduler: &SchedulerAddress, wait: Duration) -> Result<()> {
    let started = std::time::Instant::now();
    loop {
        match tokio::net::TcpStream::connect((scheduler.host.as_str(), scheduler.port)).await {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() >= wait => {
                return Err(Error::new(ErrorKind::External, "the scheduler cannot be reached")
                    .with("scheduler", scheduler)
                    .caused_by(error));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The folders of an executor, which stand as long as this.
struct Folders {
    spill: Arc<SpillFolder>,
    work: Arc<SpillFolder>,
}

impl Means {
    fn of(options: &ExecutorOptions, folders: &Folders) -> Self {
        let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cores: if options.cores == 0 { all } else { options.cores },
            memory: options.memory,
            work_folder: folders.work.path().to_owned(),
            spill_folder: folders.spill.path().to_owned(),
        }
    }
}

/// The configuration of an executor, and the folders that stand as long as it lives.
fn executor_config(
    options: &ExecutorOptions,
    health: ExecutorHealth,
    measures: Arc<Measures>,
) -> Result<(ExecutorProcessConfig, Folders)> {
    let spill_folder = Arc::new(SpillFolder::create(&options.spill_dir, "the executor's --spill-dir")?);
    let work_folder = Arc::new(SpillFolder::create(&options.work_dir, "the executor's --work-dir")?);
    let stores = Arc::new(Opening::new());
    let functions = session::serving(SessionConfig::new(), Arc::default());
    let registry = BallistaFunctionRegistry::from(&functions.state());
    let is_anywhere = ["0.0.0.0", "::"].contains(&options.host.as_str());
    let seen_as = options.advertise.clone().or_else(|| (!is_anywhere).then(|| options.host.clone()));
    let spilling = Arc::clone(&spill_folder);
    let endpoints = client::endpoints(options.tls.clone());
    let engine = DefaultExecutionEngine::with_client_pool(Arc::new(Connections::default()));
    let config = ExecutorProcessConfig {
        bind_host: options.host.clone(),
        external_host: seen_as,
        port: options.port,
        grpc_port: options.grpc_port,
        scheduler_host: options.scheduler.host.clone(),
        scheduler_port: options.scheduler.port,
        vcores: options.cores,
        work_dir: Some(work_folder.path().display().to_string()),
        executor_heartbeat_interval_seconds: HEARTBEAT.as_secs(),
        memory_pool_size: Some(options.memory),
        grpc_max_decoding_message_size: MESSAGE_LIMIT as u32,
        grpc_max_encoding_message_size: MESSAGE_LIMIT as u32,
        override_function_registry: Some(Arc::new(registry)),
        task_scheduling_policy: policy(options.tls.as_ref()),
        override_arrow_flight_service: options.tls.clone().map(|tls| encrypted_flight(tls) as _),
        override_config_producer: Some(Arc::new(move || {
            SessionConfig::new_with_ballista()
                .with_ballista_override_create_grpc_client_endpoint(Arc::clone(&endpoints))
        })),
        override_runtime_producer: Some(Arc::new(move |_| {
            session::serving_runtime(&spilling, Arc::clone(&stores) as _)
        })),
        override_physical_codec: Some(Arc::new(Codec::default())),
        override_execution_engine: Some(Arc::new(Sorting::new(engine, measures))),
        override_create_grpc_client_endpoint: Some(client::endpoints(options.tls.clone())),
        health,
        ..ExecutorProcessConfig::default()
    };
    Ok((config, Folders { spill: spill_folder, work: work_folder }))
}

/// The server that others fetch rows from, encrypted.
fn encrypted_flight(tls: Tls) -> Arc<ArrowFlightServerProvider> {
    Arc::new(move |work_dir, address, mut shutdown, _config| {
        let tls = tls.server();
        tokio::spawn(async move {
            let service = FlightServiceServer::new(BallistaFlightService::new(work_dir))
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT);
            let mut server = Server::builder().tls_config(tls).map_err(BallistaError::TonicError)?;
            let ended = server.add_service(service).serve_with_shutdown(address, shutdown.recv());
            ended.await.map_err(BallistaError::TonicError)
        })
    })
}

/// A scheduler and an executor in this process, for trying out.
#[derive(Debug)]
pub struct InProcess {
    pub address: SchedulerAddress,
    serving: Vec<JoinHandle<Result<()>>>,
}

const LOCAL: &str = "127.0.0.1";

impl InProcess {
    /// # Errors
    /// When there is no free port or folder.
    pub async fn start(engine: &Engine) -> Result<Self> {
        let listener = listen(LOCAL, 0).await?;
        let port = port_of(&listener)?;
        let address = SchedulerAddress { host: LOCAL.to_owned(), port };
        let options = SchedulerOptions {
            host: LOCAL.to_owned(),
            port,
            advertise: LOCAL.to_owned(),
            executor_timeout: Duration::from_secs(30),
            health_port: None,
            tls: None,
        };
        let scheduling = tokio::spawn(async move { serve_scheduler(listener, &options).await });
        let health = ExecutorHealth::new();
        let options = ExecutorOptions {
            scheduler: address.clone(),
            host: LOCAL.to_owned(),
            advertise: None,
            port: free_port().await?,
            grpc_port: free_port().await?,
            health_port: None,
            work_dir: Path::to_owned(&engine.spill_dir),
            spill_dir: Path::to_owned(&engine.spill_dir),
            cores: engine.target_partitions,
            memory: engine.memory_limit as u64,
            wait: Duration::from_secs(10),
            tls: None,
        };
        let heard = health.clone();
        let executing = tokio::spawn(async move { serve_executor(&options, heard).await });
        let started = Self { address, serving: vec![scheduling, executing] };
        started.ready(&health).await?;
        Ok(started)
    }

    /// Waits until the executor has been heard by the scheduler.
    async fn ready(&self, health: &ExecutorHealth) -> Result<()> {
        for _ in 0..200 {
            if health.is_ready() {
                return Ok(());
            }
            if self.serving.iter().any(JoinHandle::is_finished) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Error::internal("the cluster in this process did not start"))
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        for serving in &self.serving {
            serving.abort();
        }
    }
}

fn port_of(listener: &TcpListener) -> Result<u16> {
    let address = listener.local_addr();
    Ok(address.map_err(|error| Error::internal("a port has no number").caused_by(error))?.port())
}

/// A port that nobody listens at. Somebody else may take it before we do; then the start fails and can be tried again.
async fn free_port() -> Result<u16> {
    port_of(&listen(LOCAL, 0).await?)
}
