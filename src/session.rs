//! The only place that builds an engine's session: nothing else knows which engine runs.

use std::sync::Arc;

use ballista_core::config::{
    BALLISTA_BROADCAST_JOIN_THRESHOLD_BYTES, BALLISTA_BROADCAST_JOIN_THRESHOLD_ROWS,
    BALLISTA_CLIENT_GRPC_MAX_MESSAGE_SIZE, BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK,
};
use ballista_core::extension::SessionConfigExt;
use datafusion::config::SpillCompression;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::aggregate_by_number::AGGREGATE_BY_NUMBER;
use crate::aggregate_in_parts::AGGREGATE_IN_PARTS;
use crate::aggregate_once::{AGGREGATE_ONCE, AGGREGATE_ONCE_ON_CLUSTER};
use crate::cluster::{self, BROADCAST_BYTES, Cluster, MESSAGE_LIMIT};
use crate::config::Engine;
use crate::error::Result;
use crate::planner_rule::{PlannerRule, PlannerRules};
use crate::publish::Scratch;
use crate::read_ahead::READ_AHEAD;
use crate::sort_early::SORT_EARLY;
use crate::spill::SpillFolder;
use crate::{udaf, udf};

/// A session of the engine that is configured. What stands between stages on a cluster stands in the scratch.
///
/// # Errors
/// When the spill folder cannot be used, or the cluster not be reached.
pub async fn open(engine: &Engine, scratch: Option<Scratch>, measures: bool) -> Result<SessionContext> {
    match (&engine.ballista, scratch) {
        (Some(ballista), Some(scratch)) => {
            let cluster = Cluster::connect(ballista, engine, scratch, measures).await?;
            on_cluster(engine, Arc::new(cluster)).await
        }
        _ => embedded(engine),
    }
}

/// A session of the embedded engine: our functions, case-sensitive names, spilling beyond the memory limit.
///
/// # Errors
/// When the spill folder cannot be used.
pub fn embedded(engine: &Engine) -> Result<SessionContext> {
    let mut config = config(engine);
    // After so many rows of which few belong together, rows are exchanged as they are, which takes little here. Keys, of which none do,
    // are counted often.
    config.options_mut().execution.skip_partial_aggregation_probe_rows_threshold = 1 << 14;
    let runtime = runtime(engine, &mut config)?;
    Ok(knowing_our_functions(builder(config, runtime)))
}

/// A session whose plans run on a cluster where they read much, and here otherwise.
async fn on_cluster(engine: &Engine, cluster: Arc<Cluster>) -> Result<SessionContext> {
    let cores = cluster.cores().await?;
    let mut config = config(engine).upgrade_for_ballista();
    if engine.target_partitions == 0 {
        config = config.with_target_partitions(cores);
    }
    let optimizer = &mut config.options_mut().optimizer;
    // What is joined to many rows is small, and copied to all executors; sorting many rows by each join's key would cost more.
    optimizer.prefer_hash_join = true;
    optimizer.hash_join_single_partition_threshold = BROADCAST_BYTES;
    // by bytes where they are known, else by what the rows would take
    optimizer.hash_join_single_partition_threshold_rows = BROADCAST_BYTES / 32;
    config = config
        .set_usize(BALLISTA_BROADCAST_JOIN_THRESHOLD_BYTES, BROADCAST_BYTES)
        .set_usize(BALLISTA_BROADCAST_JOIN_THRESHOLD_ROWS, BROADCAST_BYTES / 32)
        .set_usize(BALLISTA_CLIENT_GRPC_MAX_MESSAGE_SIZE, MESSAGE_LIMIT)
        // what a task does then does not depend on how many cores were free when it began
        .set_usize(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, 1);
    config.set_extension(Arc::clone(&cluster));
    let runtime = runtime(engine, &mut config)?;
    let planner = cluster::Planner(Arc::clone(&cluster));
    let builder = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_query_planner(Arc::new(planner))
        .with_physical_optimizer_rules(with_ours(cluster::rules(), AGGREGATE_ONCE_ON_CLUSTER));
    let context = knowing_our_functions(builder);
    cluster.scratch.register(&context);
    Ok(context)
}

/// In how many parts to count what would come together in one task: more than one where tasks are processes' own.
#[must_use]
pub fn buckets(context: &SessionContext) -> i64 {
    match cluster::of(context) {
        Some(_) => context.copied_config().target_partitions().clamp(2, MOST_BUCKETS) as i64,
        None => 1,
    }
}

const MOST_BUCKETS: usize = 64;

/// A session for a scheduler or an executor: it knows our functions, and opens stores as they are asked for.
#[must_use]
pub fn serving(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionContext {
    knowing_our_functions(builder(config, runtime))
}

fn config(engine: &Engine) -> SessionConfig {
    let mut config = SessionConfig::new().with_batch_size(engine.batch_size).with_information_schema(true);
    if engine.target_partitions > 0 {
        config = config.with_target_partitions(engine.target_partitions);
    }
    // Column names of the user's files keep their case.
    config.options_mut().sql_parser.enable_ident_normalization = false;
    // With file statistics the engine takes a column whose least and greatest value are equal for constant; Parquet's
    // leave NaN out, so a NaN among equal numbers would turn into that number.
    config.options_mut().execution.collect_statistics = false;
    // It moves a struct's field below a view and then finds two columns of one name.
    config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
    config.options_mut().execution.spill_compression = SpillCompression::Lz4Frame;
    // What each sort sets aside to merge what it spilled; several sort side by side, which a small limit has to bear.
    let share = engine.memory_limit / (8 * config.target_partitions()).max(1);
    let set_aside = &mut config.options_mut().execution.sort_spill_reservation_bytes;
    *set_aside = share.min(*set_aside);
    config
}

/// What a session of this process runs in.
fn runtime(engine: &Engine, config: &mut SessionConfig) -> Result<Arc<RuntimeEnv>> {
    let pool = TrackConsumersPool::new(FairSpillPool::new(engine.memory_limit), NAMED_CONSUMERS);
    let spill_folder = Arc::new(SpillFolder::create(&engine.spill_dir, "engine.spill_dir")?);
    let builder = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(spilling_to(&spill_folder));
    // the folder stands as long as a session or a task of it
    config.set_extension(spill_folder);
    Ok(builder.build_arc()?)
}

/// What the tasks of an executor run in; their memory is the executor's to divide.
///
/// # Errors
/// When the engine cannot be set up.
pub fn serving_runtime(
    spill_folder: &SpillFolder,
    stores: Arc<dyn ObjectStoreRegistry>,
) -> datafusion::common::Result<Arc<RuntimeEnv>> {
    let builder = RuntimeEnvBuilder::new().with_object_store_registry(stores);
    builder.with_disk_manager_builder(spilling_to(spill_folder)).build_arc()
}

fn spilling_to(folder: &SpillFolder) -> DiskManagerBuilder {
    DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![folder.path().to_owned()]))
        // the disk is the limit
        .with_max_temp_directory_size(u64::MAX)
}

fn builder(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionStateBuilder {
    let mut rules = with_ours(PhysicalOptimizer::new().rules, AGGREGATE_ONCE);
    rules.push(Arc::new(AGGREGATE_BY_NUMBER));
    // on a cluster what stands between stages is in files, and what reads ahead is no part of a plan that is sent
    rules.push(Arc::new(SORT_EARLY));
    rules.push(Arc::new(READ_AHEAD));
    SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_physical_optimizer_rules(rules)
}

/// The planner's rules with those of ours before and after.
fn with_ours(mut rules: PlannerRules, once: PlannerRule) -> PlannerRules {
    rules.insert(0, Arc::new(AGGREGATE_IN_PARTS));
    rules.push(Arc::new(once));
    rules
}

fn knowing_our_functions(builder: SessionStateBuilder) -> SessionContext {
    let context = SessionContext::new_with_state(builder.build());
    for function in udaf::all() {
        context.register_udaf(function);
    }
    for function in udf::all() {
        context.register_udf(function);
    }
    context
}

/// How many of the largest consumers an out-of-memory error names.
const NAMED_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).unwrap();
