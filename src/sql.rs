//! The SQL files by name and stage, and their parameters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::prelude::{DataFrame, SessionContext};

use crate::error::{Error, Result};

/// One file of `sql/`: a `SELECT` whose name is the relation's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlFile {
    pub stage: &'static str,
    pub name: &'static str,
    pub text: &'static str,
}

impl SqlFile {
    /// The error with the file named.
    pub fn blame(&self, error: impl Into<Error>) -> Error {
        error.into().with("sql", format!("{}/{}.sql", self.stage, self.name))
    }
}

macro_rules! sql_files {
    ($($stage:literal: [$($name:literal),* $(,)?]),* $(,)?) => {
        /// Every file of `sql/`, in the order of the stages.
        pub const FILES: &[SqlFile] = &[$($(
            SqlFile { stage: $stage, name: $name, text: include_str!(concat!("../sql/", $stage, "/", $name, ".sql")) },
        )*)*];
    };
}

sql_files! {
    "clean": ["checked_line", "invalid_line", "line", "line_tally", "reason_tally", "line_count", "group_tally", "group_count"],
    "aggregate": [
        "basket", "basket_count", "grouped_basket", "basket_of_group", "customer_tally", "customer", "customer_summary", "cohort_retention", "customer_lifecycle", "loyalty_metrics",
        "outside_window",
    ],
    "mine": [
        "item_line", "grouped_item_line", "item_node", "item", "line_item", "related_item", "item_count", "item_group", "grown_itemset", "frequent_item", "frequent_pair", "candidate",
        "candidate_count", "frequent_candidate", "itemset_support", "itemset_length",
        "closed_itemset", "maximal_itemset", "frequent_itemsets",
    ],
    "score": [
        "valued_customer", "negative_customer", "customer_quantile_range", "customer_range", "placed_customer", "binned_customer", "weighted_customer", "loyalty_quantile_range", "loyalty_range", "scored_customer", "customer_before", "segment_migration", "customer_rfm", "segment_quantile_range", "rfm_segments", "rfm_thresholds", "rfm_concentration",
        "itemset_index", "rule_split", "rule_extension", "confident_rule", "rule_space", "measured_rule", "tested_count", "adjusted_rule",
        "rule_count", "association_rules", "rule_items", "run_summary",
    ],
    "audit": [
        "customer_key", "customer_cell", "customer_scores", "customer_group", "segment_shares", "segment_totals", "threshold_customers", "concentration_totals", "summary_customers", "cohort_shares", "migration_totals",
        "lifecycle_stages", "metrics_customers", "group_sizes",
        "itemset_key", "itemset_measures", "itemset_subsets", "rule_key", "rule_counts", "rule_measures", "rule_sides",
        "rule_item_sides", "summary_key", "summary_lines",
    ],
    "query": ["segments", "strongest_rules"],
}

/// The file of that name.
///
/// # Errors
/// When there is none, which is a mistake of ours.
pub fn file(name: &str) -> Result<&'static SqlFile> {
    FILES
        .iter()
        .find(|file| file.name == name)
        .ok_or_else(|| Error::internal(format!("there is no SQL file named {name}")))
}

/// The files of a stage.
pub fn files_of(stage: &str) -> impl Iterator<Item = &'static SqlFile> + '_ {
    FILES.iter().filter(move |file| file.stage == stage)
}

/// Parameter values by name; each file takes those that it names.
#[derive(Debug, Clone, Default)]
pub struct Parameters(BTreeMap<String, ScalarValue>);

impl Parameters {
    pub fn set(&mut self, name: &str, value: impl Into<ScalarValue>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The values of the parameters that a plan names.
    fn of(&self, plan: &LogicalPlan) -> Result<BTreeMap<String, ScalarValue>> {
        let named = plan.get_parameter_names()?;
        named
            .into_iter()
            .map(|placeholder| {
                let name = placeholder.trim_start_matches('$').to_owned();
                let value = self.0.get(&name).cloned();
                value
                    .map(|value| (name.clone(), value))
                    .ok_or_else(|| Error::internal(format!("no value for the parameter ${name}")))
            })
            .collect()
    }
}

/// A file planned with its parameters bound.
#[derive(Debug)]
pub struct Bound {
    pub frame: DataFrame,
    pub parameters: BTreeMap<String, ScalarValue>,
}

/// One line: each parameter with its value.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> =
            self.parameters.iter().map(|(name, value)| format!("${name} = {value}")).collect();
        f.write_str(&values.join(", "))
    }
}

/// Plans a file's `SELECT` over what is registered in the context.
///
/// # Errors
/// When it does not plan: a relation or parameter that it needs is missing.
pub async fn bind(context: &SessionContext, file: &SqlFile, parameters: &Parameters) -> Result<Bound> {
    let plan = context.state().create_logical_plan(file.text).await.map_err(|error| file.blame(error))?;
    let values = parameters.of(&plan).map_err(|error| file.blame(error))?;
    let frame = DataFrame::new(context.state(), plan);
    let frame = if values.is_empty() {
        frame
    } else {
        let values: Vec<(&str, ScalarValue)> =
            values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        frame.with_param_values(values).map_err(|error| file.blame(error))?
    };
    Ok(Bound { frame, parameters: values })
}

/// A file's relation without what its parameters rule out, for other files to read: each of them would otherwise plan that anew. Rules
/// that give names to what they find are left to whoever reads it, who may find it twice.
///
/// # Errors
/// When it does not plan.
pub fn decided(frame: DataFrame) -> Result<DataFrame> {
    let (state, plan) = frame.into_parts();
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let rules = Optimizer::with_rules(vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(OptimizeProjections::new()),
    ]);
    let plan = rules.optimize(plan, &state, |_, _| {})?;
    Ok(DataFrame::new(state, plan))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_listed_once() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let mut found = BTreeSet::new();
        for stage in std::fs::read_dir(root).unwrap() {
            let stage = stage.unwrap().path();
            for file in std::fs::read_dir(&stage).unwrap() {
                let name = |path: &std::path::Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
                found.insert((name(&stage), name(&file.unwrap().path())));
            }
        }
        let listed: BTreeSet<_> =
            FILES.iter().map(|file| (file.stage.to_owned(), file.name.to_owned())).collect();
        assert_eq!(listed, found);
        let names: BTreeSet<_> = FILES.iter().map(|file| file.name).collect();
        assert_eq!(names.len(), FILES.len(), "a relation has one file");
    }

    #[test]
    fn every_file_opens_with_a_header_that_names_its_grain() {
        for file in FILES.iter().filter(|file| file.stage != "audit") {
            let header: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("--")).collect();
            assert!(header.iter().any(|line| line.contains("Grain:")), "{}/{}", file.stage, file.name);
        }
    }

    #[test]
    fn what_parameters_rule_out_is_gone_from_a_view() {
        let planned = |is_placed: bool| async move {
            let sql = "SELECT value, CASE WHEN $placed THEN place END AS place FROM \
                       (SELECT value, row_number() OVER (ORDER BY value) AS place FROM (VALUES (2), (1)) AS row (value)) AS placed";
            let frame = SessionContext::new().sql(sql).await?;
            let view = decided(frame.with_param_values(vec![("placed", ScalarValue::from(is_placed))])?)?;
            Ok::<_, Error>(view.logical_plan().to_string())
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        assert!(runtime.block_on(planned(true)).unwrap().contains("WindowAggr"));
        assert!(!runtime.block_on(planned(false)).unwrap().contains("WindowAggr"));
    }
}
