//! The job: source, stages, audits and publication as one; what `run`, `check` and `explain` do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use datafusion::prelude::SessionContext;
use serde::Serialize;

use crate::audit::{Audits, Scope};
use crate::cluster::{self, Cluster};
use crate::config::Config;
use crate::crash_point::crash_point;
use crate::error::{Error, ErrorKind, Result};
use crate::location::Location;
use crate::pipeline::Inputs;
use crate::publish::{self, Attempt, Commit, Place, Published, Scratch};
use crate::segments::SegmentMap;
use crate::sink::Discard;
use crate::source::{self, Hierarchy, Source};
use crate::steps::{Explained, Mode, Progress, Steps};
use crate::{audit, logs, pipeline, session};

/// What `run` says when it is done; with `--json` its one line.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `published`, `unchanged` (the same was published before) or `dry_run`.
    pub status: &'static str,
    pub version: &'static str,
    pub run_date: NaiveDate,
    pub generation: Option<u64>,
    pub run_id: String,
    pub tables: BTreeMap<String, TableReport>,
    pub seconds: f64,
    /// Seconds by stage.
    pub durations: BTreeMap<&'static str, f64>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    pub rows: u64,
    pub bytes: u64,
    pub parts: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    pub force: bool,
    pub dry_run: bool,
    /// What the run is known by, in logs and under the output.
    pub run_id: uuid::Uuid,
}

/// A run of its own, that publishes what is not published yet.
impl Default for RunOptions {
    fn default() -> Self {
        Self { force: false, dry_run: false, run_id: uuid::Uuid::new_v4() }
    }
}

/// How long tasks are given to end once their job is cancelled.
const AFTER_CANCELLING: Duration = Duration::from_millis(300);

/// The run under way, for whoever must stop it from outside.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<Mutex<Stoppable>>);

#[derive(Debug, Default)]
struct Stoppable {
    cluster: Option<Arc<Cluster>>,
    attempt: Option<Attempt>,
}

impl Running {
    fn set(&self, set: impl FnOnce(&mut Stoppable)) {
        set(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Cancels what runs on a cluster and removes what was staged.
    ///
    /// # Errors
    /// When the output's store fails.
    pub async fn stop(&self) -> Result<()> {
        let Stoppable { cluster, attempt } =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(cluster) = cluster {
            cluster.cancel().await;
            // Tasks end what they are at; what one of them writes after this is collected by its age.
            tokio::time::sleep(AFTER_CANCELLING).await;
        }
        match attempt {
            Some(attempt) => attempt.discard().await,
            None => Ok(()),
        }
    }
}

/// What stands before anything is computed: a session, the input as found, its lines in our columns.
struct Prepared {
    context: SessionContext,
    source: Source,
    inputs: Inputs,
}

async fn prepare(config: &Config, run_id: uuid::Uuid, measures: bool) -> Result<Prepared> {
    let run_date = config.required_run_date()?;
    let input = config.required_input()?;
    refuse_output_in_input(config)?;
    let scratch = match config.engine.ballista {
        Some(_) => Some(Scratch::new(Place::open(config.required_output()?, run_date).await?, run_id)),
        None => None,
    };
    let context = session::open(&config.engine, scratch, measures).await?;
    let source = Source::open(&context, input).await?;
    let order_line = source::order_line(&source, config, Some(run_date))?;
    let hierarchy = Hierarchy::load(&context, config.rules.hierarchy.as_ref()).await?;
    let segments =
        if config.select.rfm { Some(SegmentMap::load(&context, &config.rfm).await?) } else { None };
    Ok(Prepared { context, source, inputs: Inputs { order_line, hierarchy, segments } })
}

/// The next run would read what this one published.
fn refuse_output_in_input(config: &Config) -> Result<()> {
    let input = Location::parse(&config.required_input()?.location)?.without_links();
    let output = Location::parse(&config.required_output()?.location)?.without_links().into_folder();
    let base = input.clone().into_folder();
    let below = output.url.as_str().strip_prefix(base.url.as_str());
    // a glob covers it when it would match a part of a table there
    let covers = |below: &str| match &input.glob {
        Some(glob) => {
            source::matches(glob, &format!("{below}customer_rfm/run_date=2000-01-01/part-00000.parquet"))
        }
        None => true,
    };
    if below.is_some_and(covers) {
        return Err(Error::config(
            "the output lies inside the input, so the next run would read what this one wrote",
        )
        .with("input", &input.url)
        .with("output", &output.url));
    }
    Ok(())
}

/// Plain files would replace what a Delta table's log names.
async fn refuse_other_format(config: &Config, place: &Place) -> Result<()> {
    if config.required_output()?.as_delta || !place.has_delta_tables().await? {
        return Ok(());
    }
    let message =
        "Delta tables stand in the output; publish with output.format = \"delta\", or somewhere else";
    Err(Error::config(message)
        .with("key", "output.format")
        .with("output", &config.required_output()?.location))
}

/// Everything that `run` would reject, found without computing.
///
/// # Errors
/// The first mistake.
pub async fn check(config: &Config) -> Result<()> {
    let prepared = prepare(config, uuid::Uuid::new_v4(), false).await?;
    let place = Place::open(config.required_output()?, config.required_run_date()?).await?;
    refuse_other_format(config, &place).await?;
    place.latest_commit().await?;
    let sink = Discard::default();
    let mut silent = crate::steps::Silent;
    let mut steps = Steps::new(&prepared.context, Mode::Explain, &mut silent, &sink);
    pipeline::run(&mut steps, prepared.inputs, config).await?;
    leave_cluster(&prepared.context).await
}

/// Removes what stood between stages on a cluster, and has its scheduler forget the session.
async fn leave_cluster(context: &SessionContext) -> Result<()> {
    if let Some(cluster) = cluster::of(context) {
        cluster.scratch.clear().await?;
        cluster.end().await;
    }
    Ok(())
}

/// Each stage's SQL with its parameters and plan; with `analyze` what its operators measured.
///
/// # Errors
/// As `run`.
pub async fn explain(config: &Config, analyze: bool, progress: &mut dyn Progress) -> Result<Vec<Explained>> {
    let prepared = prepare(config, uuid::Uuid::new_v4(), analyze).await?;
    let mode = if analyze { Mode::Analyze } else { Mode::Explain };
    let sink = Discard::default();
    let mut steps = Steps::new(&prepared.context, mode, progress, &sink);
    let computed = pipeline::run(&mut steps, prepared.inputs, config).await;
    let explained = steps.explained;
    leave_cluster(&prepared.context).await?;
    computed.map(|_| explained)
}

/// Computes, audits and publishes, unless the same is published already.
///
/// # Errors
/// See the exit codes in [`crate::error::ErrorKind`]. What a failed run staged is removed.
pub async fn run(
    config: &Config,
    options: RunOptions,
    progress: &mut dyn Progress,
    running: &Running,
) -> Result<Report> {
    let started = Instant::now();
    let run_date = config.required_run_date()?;
    let prepared = prepare(config, options.run_id, false).await?;
    running.set(|running| running.cluster = cluster::of(&prepared.context));
    let fingerprints = publish::fingerprints(config, &prepared.source.files, &prepared.inputs)?;
    let place = Place::open(config.required_output()?, run_date).await?;
    refuse_other_format(config, &place).await?;
    let attempt = Attempt::new(place.clone(), config, fingerprints, options.run_id)?;
    running.set(|running| running.attempt = Some(attempt.clone()));

    if !options.force
        && !options.dry_run
        && let Some(commit) = attempt.already_published().await?
    {
        return Ok(report("unchanged", &commit, options, started, BTreeMap::new()));
    }
    let based_on = place.latest_commit().await?.map_or(0, |latest| latest.generation);
    let computed = compute(config, prepared, &attempt, options, based_on, progress, started).await;
    let computed = computed.map_err(|error| attempt.explain(error));
    if computed.is_err() {
        // the first error is the one to tell
        if let Err(error) = attempt.discard().await {
            tracing::warn!(%error, "what the failed run staged could not be removed; a later run will");
        }
    }
    computed
}

async fn compute(
    config: &Config,
    prepared: Prepared,
    attempt: &Attempt,
    options: RunOptions,
    based_on: u64,
    progress: &mut dyn Progress,
    started: Instant,
) -> Result<Report> {
    let Prepared { context, source, inputs } = prepared;
    let stage = attempt.stage(config.required_output()?.rows_per_part);
    let mut steps = Steps::new(&context, Mode::Run, progress, &stage);
    // beside what reads the lines again they would take its memory
    if pipeline::scores_are_last(config) {
        steps.audits = Some(Audits::new(&context, Scope::Ungrouped)?);
    }
    let groups = match pipeline::run(&mut steps, inputs, config).await {
        Err(error) if error.kind() == ErrorKind::Input && !error.names("file") && !error.is_of_missing() => {
            // the engine does not tell which file it was
            let file = source.unreadable_file(&context, config.required_input()?).await;
            return Err(match file {
                Some(file) => error.with("file", file),
                None => error,
            });
        }
        groups => groups?,
    };
    crash_point("staged");
    let mut durations: BTreeMap<&'static str, f64> =
        steps.durations.iter().map(|(stage, took)| (*stage, took.as_secs_f64())).collect();
    let audits_started = Instant::now();
    let audits = match steps.audits.take() {
        Some(audits) => audits,
        None => Audits::new(&context, Scope::Ungrouped)?,
    };
    audits.end(&context, &steps.parameters).await?;
    for mined in groups {
        steps.enter(mined.group.clone())?;
        let audited = audit::run(&context, &mined.parameters, Scope::Grouped).await;
        audited.map_err(|error| mined.group.blame(error))?;
    }
    durations.insert("audit", audits_started.elapsed().as_secs_f64());
    leave_cluster(&context).await?;
    let tables = stage.into_tables();
    if options.dry_run {
        let commit = attempt.would_commit(&tables);
        attempt.discard().await?;
        let report = report("dry_run", &commit, options, started, durations);
        return Ok(Report { generation: None, ..report });
    }
    let publication_started = Instant::now();
    let published = attempt.publish(tables, based_on).await?;
    durations.insert("publish", publication_started.elapsed().as_secs_f64());
    Ok(match published {
        Published::Now(commit) => report("published", &commit, options, started, durations),
        Published::Before(commit) => report("unchanged", &commit, options, started, durations),
    })
}

fn report(
    status: &'static str,
    commit: &Commit,
    options: RunOptions,
    started: Instant,
    durations: BTreeMap<&'static str, f64>,
) -> Report {
    let tables = commit.tables.iter().map(|(name, table)| {
        let told = TableReport { rows: table.rows, bytes: table.bytes(), parts: table.parts.len() };
        (name.clone(), told)
    });
    Report {
        status,
        version: env!("CARGO_PKG_VERSION"),
        run_date: commit.run_date,
        generation: Some(commit.generation),
        run_id: options.run_id.to_string(),
        tables: tables.collect(),
        seconds: started.elapsed().as_secs_f64(),
        durations,
        warnings: logs::warnings(),
    }
}
