//! Every audit is silent on what the job makes, and finds the fault that it is there for.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use regulars::audit::{self, Audits, Scope};
use regulars::config::{Arguments, Config};
use regulars::error::ErrorKind;
use regulars::query;
use regulars::sample;
use regulars::sql::{self, Parameters};
use support::{Bench, lines, run};

/// An audit, a table, and what is wrong with the table: columns to replace, or rows to add or leave out.
const FAULTS: &[(&str, &str, &str)] = &[
    ("customer_key", "customer_rfm", "SELECT * FROM sound UNION ALL (SELECT * FROM sound LIMIT 1)"),
    ("customer_scores", "customer_rfm", "SELECT * REPLACE (recency_score + 5 AS recency_score) FROM sound"),
    (
        "customer_scores",
        "customer_rfm",
        "SELECT * REPLACE (CAST('NaN' AS DOUBLE) AS loyalty_score) FROM sound",
    ),
    ("customer_cell", "customer_rfm", "SELECT * REPLACE ('555' AS rfm_cell) FROM sound"),
    ("customer_cell", "customer_rfm", "SELECT * REPLACE (nullif(rfm_cell, '111') AS rfm_cell) FROM sound"),
    ("customer_group", "customer_rfm", "SELECT * REPLACE (NULL AS segment) FROM sound"),
    ("customer_group", "customer_rfm", "SELECT * REPLACE (-1 AS recency_days) FROM sound"),
    (
        "segment_shares",
        "rfm_segments",
        "SELECT * REPLACE (customer_share * 1.001 AS customer_share) FROM sound",
    ),
    (
        "segment_shares",
        "rfm_segments",
        "SELECT * REPLACE (revenue_share * 0.999 AS revenue_share) FROM sound",
    ),
    ("segment_totals", "rfm_segments", "SELECT * REPLACE (revenue + 0.0001 AS revenue) FROM sound"),
    ("segment_totals", "rfm_segments", "SELECT * FROM sound WHERE segment <> 'champions'"),
    ("threshold_customers", "rfm_thresholds", "SELECT * REPLACE (customers + 1 AS customers) FROM sound"),
    ("threshold_customers", "rfm_thresholds", "SELECT * FROM sound WHERE score < 5"),
    ("concentration_totals", "rfm_concentration", "SELECT * FROM sound WHERE decile > 1"),
    ("concentration_totals", "rfm_segments", "SELECT * REPLACE (revenue + 1 AS revenue) FROM sound"),
    ("summary_customers", "customer_summary", "SELECT * REPLACE (t - 1000 AS t) FROM sound"),
    ("summary_customers", "customer_summary", "SELECT * FROM sound UNION ALL (SELECT * FROM sound LIMIT 1)"),
    ("cohort_shares", "cohort_retention", "SELECT * REPLACE (retention * 1.001 AS retention) FROM sound"),
    ("cohort_shares", "cohort_retention", "SELECT * FROM sound UNION ALL SELECT * FROM sound"),
    ("migration_totals", "segment_migration", "SELECT * FROM sound WHERE segment_before IS NOT NULL"),
    (
        "migration_totals",
        "segment_migration",
        "SELECT * REPLACE (revenue_after + 1 AS revenue_after) FROM sound",
    ),
    ("lifecycle_stages", "customer_lifecycle", "SELECT * REPLACE ('gone' AS lifecycle_stage) FROM sound"),
    (
        "lifecycle_stages",
        "customer_lifecycle",
        "SELECT * REPLACE (tenure_days - 5000 AS tenure_days) FROM sound",
    ),
    (
        "metrics_customers",
        "loyalty_metrics",
        "SELECT * REPLACE (new_customers + 1 AS new_customers) FROM sound",
    ),
    ("metrics_customers", "loyalty_metrics", "SELECT * FROM sound UNION ALL SELECT * FROM sound"),
    ("group_sizes", "rfm_segments", "SELECT * REPLACE (-1 AS customers) FROM sound"),
    ("group_sizes", "rfm_thresholds", "SELECT * REPLACE (-1 AS customers) FROM sound"),
    ("itemset_key", "frequent_itemsets", "SELECT * FROM sound UNION ALL (SELECT * FROM sound LIMIT 1)"),
    ("itemset_measures", "frequent_itemsets", "SELECT * REPLACE (0 AS support_count) FROM sound"),
    ("itemset_measures", "frequent_itemsets", "SELECT * REPLACE (length + 1 AS length) FROM sound"),
    ("itemset_subsets", "frequent_itemsets", "SELECT * FROM sound WHERE length > 1"),
    (
        "itemset_subsets",
        "frequent_itemsets",
        "SELECT * REPLACE (CASE WHEN length = 1 THEN 1 ELSE support_count END AS support_count) FROM sound",
    ),
    ("rule_key", "association_rules", "SELECT * REPLACE ('same' AS rule_id) FROM sound"),
    (
        "rule_counts",
        "association_rules",
        "SELECT * REPLACE (antecedent_count + 100000 AS antecedent_count) FROM sound",
    ),
    (
        "rule_counts",
        "association_rules",
        "SELECT * REPLACE (consequent_count - 100000 AS consequent_count) FROM sound",
    ),
    ("rule_measures", "association_rules", "SELECT * REPLACE (1.0001 AS confidence) FROM sound"),
    ("rule_measures", "association_rules", "SELECT * REPLACE (-2.0 AS certainty) FROM sound"),
    ("rule_measures", "association_rules", "SELECT * REPLACE (0.1 AS lift) FROM sound"),
    ("rule_measures", "association_rules", "SELECT * REPLACE (0.5 AS fishers_exact_log10_p) FROM sound"),
    ("rule_measures", "association_rules", "SELECT * REPLACE (-0.5 AS fishers_exact_q) FROM sound"),
    (
        "rule_sides",
        "association_rules",
        "SELECT * REPLACE (antecedent_count + 1 AS antecedent_count) FROM sound",
    ),
    ("rule_sides", "association_rules", "SELECT * REPLACE (antecedents AS consequents) FROM sound"),
    ("rule_item_sides", "rule_items", "SELECT * FROM sound WHERE side = 'antecedent'"),
    ("summary_key", "run_summary", "SELECT * FROM sound UNION ALL SELECT * FROM sound"),
    (
        "summary_lines",
        "run_summary",
        "SELECT * REPLACE (CASE WHEN measure = 'lines_kept' THEN value - 1 ELSE value END AS value) FROM sound",
    ),
];

async fn published(bench: &Bench) -> (Arguments, Parameters) {
    sample::write(&bench.path("shop"), 1000).unwrap();
    let arguments = bench.arguments(
        &bench.text("shop"),
        &[
            "rules.min_support=0.01",
            "rfm.summary=week",
            "rfm.cohorts=true",
            "rfm.compare_to=90 days",
            "rfm.metrics=month",
            "rfm.lifecycle.by=rhythm",
        ],
    );
    run(&arguments).await.unwrap();
    let baskets =
        lines(&arguments, "SELECT max(basket_count) FROM association_rules").await[0].parse::<i64>().unwrap();
    let mut parameters = Parameters::default();
    for name in ["recency_bins", "frequency_bins", "monetary_bins"] {
        parameters.set(name, 5_i64);
    }
    parameters.set("minimum_group_size", 1_i64);
    parameters.set("monetary", "sum");
    parameters.set("basket_count", baskets);
    parameters.set("min_support_count", (baskets as f64 * 0.01).ceil() as i64);
    parameters.set("min_confidence", 0.3);
    parameters.set("min_lift", 1.0);
    parameters.set("target", "frequent");
    parameters.set("min_length", 1_i64);
    parameters.set("longest_itemset", 5_i64);
    (Arguments { input: None, ..arguments }, parameters)
}

async fn session(arguments: &Arguments) -> SessionContext {
    query::session(&Config::load(arguments).unwrap()).await.unwrap()
}

#[tokio::test]
async fn audits_pass_what_the_job_makes() {
    let bench = Bench::new();
    let (arguments, parameters) = published(&bench).await;
    let context = session(&arguments).await;
    let mut audits = 0;
    for scope in [Scope::Ungrouped, Scope::Grouped] {
        audits += audit::run(&context, &parameters, scope).await.unwrap();
    }
    assert_eq!(audits, sql::files_of("audit").count());
}

#[tokio::test]
async fn audits_begin_once_their_tables_are_there_and_each_is_told() {
    let bench = Bench::new();
    let (arguments, parameters) = published(&bench).await;
    let context = session(&arguments).await;
    let whole = audit::run(&context, &parameters, Scope::Ungrouped).await.unwrap();
    for fault in [None, Some("SELECT * FROM sound UNION ALL (SELECT * FROM sound LIMIT 1)")] {
        let context = session(&arguments).await;
        let segments = context.deregister_table("rfm_segments").unwrap().unwrap();
        let customers = context.deregister_table("customer_rfm").unwrap().unwrap();
        let mut audits = Audits::new(&context, Scope::Ungrouped).unwrap();
        audits.begin(&context, &parameters);
        context.register_table("sound", customers).unwrap();
        let customers = context.sql(fault.unwrap_or("SELECT * FROM sound")).await.unwrap();
        context.register_table("customer_rfm", customers.into_view()).unwrap();
        audits.begin(&context, &parameters);
        context.register_table("rfm_segments", segments).unwrap();
        let ended = audits.end(&context, &parameters).await;
        match fault {
            None => assert_eq!(ended.unwrap(), whole),
            Some(_) => assert!(ended.unwrap_err().to_string().contains("the audit customer_key found")),
        }
    }
}

#[tokio::test]
async fn every_audit_finds_its_fault() {
    let bench = Bench::new();
    let (arguments, parameters) = published(&bench).await;
    for (name, table, fault) in FAULTS {
        let context = session(&arguments).await;
        let sound = context.deregister_table(*table).unwrap().unwrap();
        context.register_table("sound", sound).unwrap();
        let faulty = context.sql(fault).await.unwrap();
        context.register_table(*table, faulty.into_view()).unwrap();
        let frame = sql::bind(&context, sql::file(name).unwrap(), &parameters).await.unwrap().frame;
        let rows: usize = frame.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert!(rows > 0, "{name} does not see {fault}");
        let is_grouped = regulars::tables::table(table).unwrap().is_grouped();
        let scope = if is_grouped { Scope::Grouped } else { Scope::Ungrouped };
        let error = audit::run(&context, &parameters, scope).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Audit);
        assert!(error.to_string().contains("nothing was published: the audit "), "{error}");
    }
    let audits: BTreeSet<&str> = sql::files_of("audit").map(|file| file.name).collect();
    assert_eq!(FAULTS.iter().map(|(name, ..)| *name).collect::<BTreeSet<_>>(), audits);
}
