//! The only place that builds an engine's session: nothing else knows which engine runs.

use std::sync::Arc;

use datafusion::config::SpillCompression;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::aggregate_once::AggregateOnce;
use crate::config::Engine;
use crate::error::Result;
use crate::spill::SpillFolder;
use crate::{udaf, udf};

/// A session of the embedded engine: our functions, case-sensitive names, spilling beyond the memory limit.
///
/// # Errors
/// When the spill folder cannot be used.
pub fn embedded(engine: &Engine) -> Result<SessionContext> {
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

    let pool = TrackConsumersPool::new(FairSpillPool::new(engine.memory_limit), NAMED_CONSUMERS);
    let spill_folder = Arc::new(SpillFolder::create(&engine.spill_dir)?);
    let spill = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![spill_folder.path().to_owned()]))
        // the disk is the limit
        .with_max_temp_directory_size(u64::MAX);
    // the folder stands as long as a session or a task of it
    config.set_extension(spill_folder);
    config.options_mut().execution.spill_compression = SpillCompression::Lz4Frame;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(spill)
        .build_arc()?;

    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_physical_optimizer_rule(Arc::new(AggregateOnce))
        .build();
    let context = SessionContext::new_with_state(state);
    for function in udaf::all() {
        context.register_udaf(function);
    }
    for function in udf::all() {
        context.register_udf(function);
    }
    Ok(context)
}

/// How many of the largest consumers an out-of-memory error names.
const NAMED_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).unwrap();
