//! The configuration as meant: resolved and checked, before any data is read.

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use serde::Serialize;

use crate::error::{Error, Result};
pub use crate::mining::MinSupport;

mod engine;
pub mod keys;
mod resolve;
mod rfm;
mod settings;

pub use engine::{Ballista, Engine, SCHEDULER_PORT, SchedulerAddress};
pub use settings::{Origin, Settings};

/// What a command was told about the job, as typed.
#[derive(Debug, Default, Clone)]
pub struct Arguments {
    pub config: Option<PathBuf>,
    pub run_date: Option<String>,
    pub input: Option<String>,
    pub output: Option<String>,
    pub select: Vec<String>,
    pub set: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub run_date: Option<NaiveDate>,
    pub select: Select,
    pub input: Option<Input>,
    pub clean: Clean,
    pub rfm: Rfm,
    pub rules: Rules,
    pub output: Option<Output>,
    pub engine: Engine,
}

/// What is computed and published; each name with its own fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Select {
    pub rfm: bool,
    pub itemsets: bool,
    pub rules: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Input {
    /// As typed; a fingerprint takes it resolved.
    #[serde(skip)]
    pub location: String,
    pub format: Option<Format>,
    pub csv_header: bool,
    pub csv_delimiter: u8,
    pub partitions: Option<Vec<String>>,
    pub filter: Option<String>,
    pub timezone: String,
    pub columns: Columns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Format {
    Parquet,
    Csv,
}

/// Where each of our columns comes from: a column's name or a SQL expression.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Columns {
    pub order_id: Option<String>,
    pub item_id: Option<String>,
    pub customer_id: Option<String>,
    pub order_ts: Option<String>,
    pub quantity: Option<String>,
    pub unit_price: Option<String>,
    pub amount: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Clean {
    pub returns: String,
    pub returns_when: String,
    pub unpriced: String,
    pub drop_duplicates: bool,
    pub drop_invalid: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Rfm {
    /// None until the run date is known.
    pub as_of: Option<NaiveDate>,
    /// How many days up to the run date count; all without it.
    pub window_days: Option<u32>,
    /// `keep`, `zero` or `error`.
    pub negative: String,
    /// The period of `customer_summary`, if that is wanted.
    pub summary: Option<String>,
    /// What `segment_migration` compares the run date with, if that is wanted.
    pub compare_to: Option<CompareTo>,
    /// Whether `cohort_retention` is wanted.
    pub cohorts: bool,
    /// The period of `loyalty_metrics`, if that is wanted.
    pub metrics: Option<String>,
    /// How `customer_lifecycle` tells stages, if that is wanted.
    pub lifecycle: Option<Lifecycle>,
    pub frequency: String,
    pub monetary: String,
    pub by_recency: Dimension,
    pub by_frequency: Dimension,
    pub by_monetary: Dimension,
    /// Whether frequency is binned within each recency score, and money within both.
    pub nested: bool,
    pub recency_weight: f64,
    pub frequency_weight: f64,
    pub monetary_weight: f64,
    pub groups: Vec<String>,
    pub segments: String,
    /// Whether a segment map may leave out cells or have rules that never match.
    pub allow_incomplete_segments: bool,
}

/// When customers are new, lapsing and lapsed.
#[derive(Debug, Clone, Serialize)]
pub struct Lifecycle {
    /// `thresholds` or `rhythm`.
    pub by: String,
    pub new_days: u32,
    pub lapsing_days: u32,
    pub lapsed_days: u32,
    /// By rhythm: multiples of the customer's mean gap between days with orders.
    pub lapsing_gaps: f64,
    pub lapsed_gaps: f64,
}

/// A day before the run date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CompareTo {
    Date(NaiveDate),
    DaysBefore(u32),
}

/// How a dimension is cut into scores.
#[derive(Debug, Clone, Serialize)]
pub struct Dimension {
    pub binning: Binning,
    /// Scores go from 1 to this.
    pub bins: i64,
    /// The upper ends of all bins but the last, ascending, where binning is by fixed cut points.
    pub cuts: Vec<f64>,
    /// How values become shares of the loyalty score: `min_max`, `z_score`, `rank` or `log`.
    pub scaling: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Binning {
    Quantile,
    Ntile,
    PercentRank,
    Fixed,
}

impl Binning {
    /// The name in the configuration and in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quantile => "quantile",
            Self::Ntile => "ntile",
            Self::PercentRank => "percent_rank",
            Self::Fixed => "fixed",
        }
    }
}

impl Rfm {
    /// Recency, frequency, monetary.
    #[must_use]
    pub fn dimensions(&self) -> [&Dimension; 3] {
        [&self.by_recency, &self.by_frequency, &self.by_monetary]
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Rules {
    /// Not part of a fingerprint: all algorithms give the same tables.
    #[serde(skip)]
    pub algorithm: Algorithm,
    pub min_support: MinSupport,
    pub min_confidence: f64,
    pub min_lift: f64,
    /// Items in an itemset; 0 for no limit.
    pub max_length: usize,
    pub max_consequent_length: usize,
    pub target: Target,
    pub min_length: usize,
    pub items: Items,
    pub antecedents: Items,
    pub consequents: Items,
    /// What baskets are grouped by, to be mined apart.
    pub by: Vec<GroupBy>,
    pub max_groups: u64,
    pub hierarchy: Option<Categories>,
    /// `rules.where`.
    pub predicate: Option<String>,
    pub drop_redundant: bool,
    /// How many rules to publish; 0 for all.
    pub top: usize,
    pub top_by: String,
    /// How p-values are adjusted, if they are.
    pub adjust: Option<String>,
    pub max_itemsets: u64,
    pub max_rules: u64,
}

/// Which itemsets are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Target {
    Frequent,
    Closed,
    Maximal,
}

/// A choice of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Items {
    All,
    List(Vec<String>),
    /// A SQL predicate on `item_id`.
    Predicate(String),
}

/// A table that says which categories items have.
#[derive(Debug, Clone, Serialize)]
pub struct Categories {
    /// As typed; a fingerprint takes its files.
    #[serde(skip)]
    pub location: String,
    /// The columns of items and of their categories: names or SQL expressions.
    pub item_id: Option<String>,
    pub category: Option<String>,
    /// Whether baskets hold categories in place of the items that have any.
    pub drop_items: bool,
}

/// What baskets are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum GroupBy {
    /// A column of the lines as read, or `expression AS name` over them.
    Line(String),
    /// A column of this run's `customer_rfm`.
    Customer(String),
}

/// The columns of `customer_rfm` that have few values.
pub const CUSTOMER_GROUPS: &[&str] =
    &["segment", "loyalty_group", "rfm_cell", "recency_score", "frequency_score", "monetary_score"];

/// How itemsets are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    FpGrowth,
    Apriori,
}

#[derive(Debug, Clone)]
pub struct Output {
    pub location: String,
    /// Whether the tables are Delta Lake tables.
    pub as_delta: bool,
    pub rows_per_part: usize,
    pub keep_generations: usize,
    pub orphan_age: Duration,
    /// Whether customers are published by pseudonym.
    pub pseudonymise_customers: bool,
    /// The least number of customers behind a row of a summary.
    pub minimum_group_size: i64,
}

impl Config {
    /// Resolves defaults, the file and the arguments, in that order.
    ///
    /// # Errors
    /// The first mistake found, with its file, key and value.
    pub fn load(arguments: &Arguments) -> Result<Self> {
        let mut settings = Settings::defaults()?;
        if let Some(path) = &arguments.config {
            settings.read_file(path)?;
        }
        for assignment in &arguments.set {
            settings.read_assignment(assignment)?;
        }
        for (key, name, value) in [
            ("input.location", "--input", &arguments.input),
            ("output.location", "--output", &arguments.output),
        ] {
            if let Some(value) = value {
                settings.set(key, toml::Value::String(value.clone()), Origin::Argument(name))?;
            }
        }
        let run_date = arguments.run_date.as_deref().map(resolve::parse_run_date).transpose()?;
        let select = Select::parse(&arguments.select)?;
        Ok(Self {
            run_date,
            select,
            input: Input::resolve(&settings)?,
            clean: Clean::resolve(&settings)?,
            rfm: Rfm::resolve(&settings, run_date)?,
            rules: Rules::resolve(&settings, select)?,
            output: Output::resolve(&settings)?,
            engine: Engine::resolve(&settings)?,
        })
    }

    /// # Errors
    /// When no run date was given.
    pub fn required_run_date(&self) -> Result<NaiveDate> {
        self.run_date.ok_or_else(|| {
            Error::config("--run-date is needed: the last day whose orders count, as YYYY-MM-DD")
        })
    }

    /// # Errors
    /// When no input was given.
    pub fn required_input(&self) -> Result<&Input> {
        self.input.as_ref().ok_or_else(|| {
            Error::config("no input: give --input or input.location").with("key", "input.location")
        })
    }

    /// # Errors
    /// When no output was given.
    pub fn required_output(&self) -> Result<&Output> {
        self.output.as_ref().ok_or_else(|| {
            Error::config("no output: give --output or output.location").with("key", "output.location")
        })
    }
}

#[cfg(test)]
mod tests;
