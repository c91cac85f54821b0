//! The session behind `sql`: the input, the published tables of a date as their manifest says, and our functions.

use async_trait::async_trait;
use chrono::NaiveDate;
use datafusion::common::DataFusionError;
use datafusion::dataframe::DataFrame;
use datafusion::execution::TaskContext;
use datafusion::execution::context::{SQLOptions, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::object_store::ObjectStore;
use datafusion::prelude::SessionContext;
use datafusion_cli::cli_context::CliSessionContext;
use std::sync::Arc;
use url::Url;

use crate::config::{Config, Select};
use crate::error::{Error, ErrorKind, Result};
use crate::publish::{self, Commit, Place};
use crate::source::{self, Source};
use crate::sql::{self, Parameters};
use crate::{session, tables};

/// A session over what the configuration names: `input`, `order_line` and `line`, and the published tables.
///
/// # Errors
/// When something that is named cannot be read.
pub async fn session(config: &Config) -> Result<SessionContext> {
    let context = session::embedded(&config.engine)?;
    let mut run_date = config.run_date;
    if config.output.is_some() {
        run_date = register_published(&context, config).await?.or(run_date);
    }
    if config.input.is_some() {
        register_input(&context, config, run_date).await?;
    }
    Ok(context)
}

/// The lines, up to the run date of the published tables where there are any.
async fn register_input(
    context: &SessionContext,
    config: &Config,
    run_date: Option<NaiveDate>,
) -> Result<()> {
    let source = Source::open(context, config.required_input()?).await?;
    context.register_table("input", source.lines.clone().into_view())?;
    // whatever columns there are: a query that needs others says so itself
    let any = Config { select: Select { rfm: false, itemsets: false, rules: false }, ..config.clone() };
    let order_line = match source::order_line(&source, &any, run_date) {
        Ok(order_line) => order_line,
        Err(error) => {
            tracing::warn!(%error, "order_line and line are not there to query");
            return Ok(());
        }
    };
    context.register_table("order_line", order_line.relation.into_view())?;
    let mut parameters = Parameters::default();
    parameters.set("run_end", order_line.run_end);
    parameters.set("returns", config.clean.returns.as_str());
    parameters.set("unpriced", config.clean.unpriced.as_str());
    parameters.set("some_left_out", order_line.some_left_out);
    for name in ["checked_line", "line"] {
        let view = sql::bind(context, sql::file(name)?, &parameters).await?.frame;
        context.register_table(name, view.into_view())?;
    }
    Ok(())
}

/// The published tables of the run date, or of the latest; which date that is.
async fn register_published(context: &SessionContext, config: &Config) -> Result<Option<NaiveDate>> {
    let place = Place::open(config.required_output()?, NaiveDate::default()).await?;
    let Some((place, commit)) = published(&place, config.run_date).await? else { return Ok(None) };
    place.register(context);
    for (name, objects) in &commit.tables {
        let Some(table) = tables::table(name).map(|table| table.led_by(&objects.groups)) else { continue };
        let urls =
            objects.parts.iter().map(|part| place.url_of(&part.published)).collect::<Result<Vec<_>>>()?;
        context.register_table(name.as_str(), publish::relation(urls, &table)?)?;
    }
    Ok(Some(place.run_date))
}

/// The manifest of a date, which must be there, or of the latest, which may not.
async fn published(place: &Place, run_date: Option<NaiveDate>) -> Result<Option<(Place, Commit)>> {
    if let Some(run_date) = run_date {
        let place = place.at(run_date);
        let Some(commit) = place.published().await? else {
            let dates: Vec<String> = place.run_dates().await?.iter().map(ToString::to_string).collect();
            let there = if dates.is_empty() { "nothing".to_owned() } else { dates.join(", ") };
            return Err(Error::new(
                ErrorKind::Input,
                format!("nothing is published for {run_date}; there is: {there}"),
            ));
        };
        return Ok(Some((place, commit)));
    }
    for run_date in place.run_dates().await?.into_iter().rev() {
        let place = place.at(run_date);
        if let Some(commit) = place.published().await? {
            return Ok(Some((place, commit)));
        }
    }
    Ok(None)
}

/// A date's published run.
#[derive(Debug)]
pub struct Run {
    pub published: Commit,
    /// The generations that a rollback may go to.
    pub kept: Vec<u64>,
}

/// The published runs, the earliest first.
///
/// # Errors
/// When the output cannot be read.
pub async fn runs(config: &Config) -> Result<Vec<Run>> {
    let place = Place::open(config.required_output()?, NaiveDate::default()).await?;
    let dates = match config.run_date {
        Some(date) => vec![date],
        None => place.run_dates().await?,
    };
    let mut runs = Vec::new();
    for date in dates {
        let place = place.at(date);
        if let Some(published) = place.published().await? {
            let kept = place.generations().await?;
            runs.push(Run { published, kept });
        }
    }
    Ok(runs)
}

/// A session for the prompt that can make views and cannot write anywhere.
pub struct ReadOnly(pub SessionContext);

impl std::fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReadOnly").field(&self.0.session_id()).finish()
    }
}

#[async_trait]
impl CliSessionContext for ReadOnly {
    fn task_ctx(&self) -> Arc<TaskContext> {
        self.0.task_ctx()
    }

    fn session_state(&self) -> SessionState {
        self.0.state()
    }

    fn register_object_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.register_object_store(url, store)
    }

    fn register_table_options_extension_from_scheme(&self, scheme: &str) {
        CliSessionContext::register_table_options_extension_from_scheme(&self.0, scheme);
    }

    async fn execute_logical_plan(&self, plan: LogicalPlan) -> Result<DataFrame, DataFusionError> {
        SQLOptions::new().with_allow_dml(false).verify_plan(&plan)?;
        self.0.execute_logical_plan(plan).await
    }
}
