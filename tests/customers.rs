//! Customers' tables as pandas computes them, segment maps in tables, pseudonyms and small groups.
//!
//! `tests/data/customers/` holds random order lines (refunds, ties, dates before 1970, leap days, midnights) and what pandas and
//! exact fractions made of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};

use regulars::config::Arguments;
use support::{Bench, lines, run};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/customers").join(name)
}

fn customers(bench: &Bench, set: &[&str]) -> Arguments {
    let arguments = bench.arguments(&data("order_lines.csv").display().to_string(), set);
    Arguments { select: vec!["rfm".to_owned()], ..arguments }
}

/// Whether two cells are equal: as text, or as numbers but for the last digits.
fn agree(ours: &str, theirs: &str) -> bool {
    let numbers = ours.parse::<f64>().ok().zip(theirs.parse::<f64>().ok());
    ours == theirs
        || numbers.is_some_and(|(ours, theirs)| (ours - theirs).abs() <= 1e-12 * theirs.abs().max(1.0))
}

/// The published table has the columns and rows of a file.
async fn assert_equals(arguments: &Arguments, table: &str, file: &str) {
    let text = std::fs::read_to_string(data(file)).unwrap();
    let (head, expected) = text.split_once('\n').unwrap();
    let columns: Vec<String> =
        head.split(',').map(|name| format!("coalesce(CAST({name} AS STRING), 'NULL')")).collect();
    let sql = format!(
        "SELECT concat_ws(',', {}) FROM {table} ORDER BY {}",
        columns.join(", "),
        head.split(',').next().unwrap()
    );
    let found = lines(arguments, &sql).await;
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(found.len(), expected.len(), "{table}");
    for (ours, theirs) in found.iter().zip(expected) {
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.split(',').collect(), theirs.split(',').collect());
        assert!(
            ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(ours, theirs)| agree(ours, theirs)),
            "{table}: {ours:?} is not {theirs:?}"
        );
    }
}

#[tokio::test]
async fn customers_are_valued_and_scored_as_pandas_has_it() {
    for (returns, file) in [("exclude", "rfm.csv"), ("net", "rfm_net.csv")] {
        for engine in ["engine.batch_size=7", "engine.target_partitions=1"] {
            let bench = Bench::new();
            let arguments = customers(&bench, &[&format!("clean.returns={returns}"), engine]);
            run(&arguments).await.unwrap();
            assert_equals(&arguments, "customer_rfm", file).await;
        }
    }
}

#[tokio::test]
async fn lifecycle_stages_follow_thresholds_or_the_customers_own_rhythm() {
    for by in ["thresholds", "rhythm"] {
        let bench = Bench::new();
        let arguments = customers(&bench, &[&format!("rfm.lifecycle.by={by}")]);
        run(&arguments).await.unwrap();
        assert_equals(&arguments, "customer_lifecycle", &format!("lifecycle_{by}.csv")).await;
    }
}

#[tokio::test]
async fn loyalty_metrics_are_those_of_pandas_periods() {
    for metrics in ["week", "month", "quarter", "year"] {
        let bench = Bench::new();
        let set = [
            &format!("rfm.metrics={metrics}"),
            "clean.returns=net",
            "input.filter=order_ts >= '2023-01-01'",
            "rfm.incomplete_segments=allow",
        ];
        let arguments = customers(&bench, &set);
        run(&arguments).await.unwrap();
        assert_equals(&arguments, "loyalty_metrics", &format!("metrics_{metrics}.csv")).await;
    }
}

#[tokio::test]
async fn a_segment_map_may_stand_in_a_table() {
    let bench = Bench::new();
    let rules =
        "rule,segment,recency_from,recency_to,frequency_from\n20,rest,,,\n10,best,4,5,4\n15,fresh,5,,\n";
    let map = bench.write("map.csv", rules);
    let arguments = customers(&bench, &[&format!("rfm.segments={map}")]);
    run(&arguments).await.unwrap();
    let wrong = "SELECT count(*) FROM customer_rfm WHERE segment <> CASE WHEN recency_score >= 4 AND frequency_score >= 4 THEN 'best' \
                 WHEN recency_score = 5 THEN 'fresh' ELSE 'rest' END";
    assert_eq!(lines(&arguments, wrong).await, ["0"]);
    assert_eq!(lines(&arguments, "SELECT count(*) FROM rfm_segments").await, ["3"]);

    // the same as Parquet; what it says is part of the run's inputs
    let parquet = bench.text("map.parquet");
    lines(&arguments, &format!("COPY (SELECT 1 AS rule, 'all' AS segment) TO '{parquet}' STORED AS PARQUET"))
        .await;
    let arguments = customers(&bench, &[&format!("rfm.segments={parquet}")]);
    assert_eq!(run(&arguments).await.unwrap().status, "published");
    assert_eq!(lines(&arguments, "SELECT segment FROM rfm_segments").await, ["all"]);
    assert_eq!(run(&arguments).await.unwrap().status, "unchanged");
    lines(
        &arguments,
        &format!("COPY (SELECT 1 AS rule, 'everyone' AS segment) TO '{parquet}' STORED AS PARQUET"),
    )
    .await;
    assert_eq!(run(&arguments).await.unwrap().status, "published");
}

#[tokio::test]
async fn cells_have_their_names_and_segments_where_scores_go_to_different_numbers() {
    let bench = Bench::new();
    let bins = "{ recency = 2, frequency = 3, monetary = 4 }";
    let map = format!(
        "bins = {bins}\notherwise = 'rest'\n[[segment]]\nname = 'much'\nmonetary = 4\n[[segment]]\nname = 'often'\nfrequency = 3\n"
    );
    let map = bench.write("map.toml", &map);
    let arguments = customers(&bench, &[&format!("rfm.bins={bins}"), &format!("rfm.segments={map}")]);
    run(&arguments).await.unwrap();
    let wrong = "SELECT count(*) FROM customer_rfm WHERE rfm_cell <> concat(recency_score, frequency_score, monetary_score) \
                 OR segment <> CASE WHEN monetary_score = 4 THEN 'much' WHEN frequency_score = 3 THEN 'often' ELSE 'rest' END";
    assert_eq!(lines(&arguments, wrong).await, ["0"]);
    assert_eq!(lines(&arguments, "SELECT count(*) FROM rfm_segments").await, ["3"]);
}

#[tokio::test]
async fn a_score_with_a_fraction_is_none() {
    let bench = Bench::new();
    let parquet = bench.text("map.parquet");
    let arguments = customers(&bench, &[]);
    run(&arguments).await.unwrap();
    let rules = "SELECT 1 AS rule, 'a' AS segment, CAST(3.5 AS DOUBLE) AS recency_to";
    lines(&arguments, &format!("COPY ({rules}) TO '{parquet}' STORED AS PARQUET")).await;
    let error = run(&customers(&bench, &[&format!("rfm.segments={parquet}")])).await.unwrap_err().to_string();
    assert!(error.contains("recency_to that is no whole number [rule: 1"), "{error}");
}

#[tokio::test]
async fn mistakes_in_a_table_of_segments_are_told() {
    for (rules, expected) in [
        ("rule,name\n1,a", "has no column segment"),
        ("segment\na", "has no column rule"),
        ("rule,segment\n1,a\n1,b", "have the same number"),
        ("rule,segment\n1,\n", "has no segment"),
        ("rule,segment\n,a\n", "has no number"),
        ("rule,segment,recency_to\n1,a,many", "recency_to that is no whole number"),
        ("rule,segment,recency_to\n1,a,4", "cells that no rule covers"),
        ("rule,segment,recency_to\n1,a,6", "range outside the scores"),
        ("rule,segment\n1,a\n2,b", "rules that can never match: b (rule 2)"),
    ] {
        let bench = Bench::new();
        let map = bench.write("map.csv", rules);
        let error = run(&customers(&bench, &[&format!("rfm.segments={map}")])).await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("rfm.segments"), "{error}");
    }
}

#[tokio::test]
async fn rows_of_summaries_with_few_customers_are_withheld_and_counted() {
    let bench = Bench::new();
    let set =
        ["output.minimum_group_size=6", "rfm.cohorts=true", "rfm.metrics=month", "rfm.compare_to=180 days"];
    let arguments = customers(&bench, &set);
    run(&arguments).await.unwrap();
    for (table, size) in [
        ("rfm_segments", "customers"),
        ("rfm_thresholds", "customers"),
        ("rfm_concentration", "customers"),
        ("segment_migration", "customers"),
        ("cohort_retention", "cohort_customers"),
        ("cohort_retention", "customers"),
        ("loyalty_metrics", "customers"),
    ] {
        let small = format!("SELECT count(*) FROM {table} WHERE {size} > 0 AND {size} < 6");
        assert_eq!(lines(&arguments, &small).await, ["0"], "{table}");
    }
    let withheld = "SELECT count(*) FROM run_summary WHERE measure LIKE '%_rows_withheld' AND value > 0";
    assert_eq!(lines(&arguments, withheld).await, ["4"]);
    // what is missing of the segments stands for at least as many customers together
    let missing = "SELECT (SELECT count(*) FROM customer_rfm) - sum(customers) >= 6 FROM rfm_segments";
    assert_eq!(lines(&arguments, missing).await, ["true"]);
}

#[tokio::test]
async fn lines_before_the_window_are_counted() {
    let bench = Bench::new();
    let arguments = customers(&bench, &["rfm.window=366 days"]);
    run(&arguments).await.unwrap();
    let counted = "SELECT value FROM run_summary WHERE measure = 'lines_outside_window'";
    let csv = std::fs::read_to_string(data("order_lines.csv")).unwrap();
    let outside = csv.lines().skip(1).filter(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        !cells[1].is_empty() && !cells[4].starts_with('-') && cells[3] < "2024"
    });
    assert_eq!(lines(&arguments, counted).await, [outside.count().to_string()]);
}

#[tokio::test]
async fn lines_before_the_window_are_no_frequency() {
    let bench = Bench::new();
    let arguments = customers(&bench, &["rfm.window=366 days", "rfm.frequency=lines"]);
    run(&arguments).await.unwrap();
    let csv = std::fs::read_to_string(data("order_lines.csv")).unwrap();
    let inside = csv.lines().skip(1).filter(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        !cells[1].is_empty() && !cells[4].starts_with('-') && ("2024".."2025").contains(&cells[3])
    });
    let frequency = "SELECT sum(frequency) FROM customer_rfm";
    assert_eq!(lines(&arguments, frequency).await, [inside.count().to_string()]);
}
