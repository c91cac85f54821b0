//! Published tables as Delta Lake tables: what their logs say, run after run, date beside date.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/s3.rs"]
mod s3;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};

use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::TryStreamExt;
use regulars::config::{Arguments, Config};
use regulars::error::ErrorKind;
use regulars::{publish, sample};
use support::{Bench, lines, run};

const TABLES: [&str; 5] =
    ["customer_rfm", "rfm_segments", "rfm_thresholds", "rfm_concentration", "run_summary"];

fn shop(bench: &Bench) -> String {
    sample::write(&bench.path("shop"), 500).unwrap();
    bench.text("shop")
}

fn on(bench: &Bench, input: &str, date: &str, set: &[&str]) -> Arguments {
    let arguments = bench.arguments(input, &[&["output.format=delta"], set].concat());
    Arguments { run_date: Some(date.to_owned()), select: vec!["rfm".to_owned()], ..arguments }
}

/// The live files of a Delta table by run date, as the library that others read it with has it.
async fn live(bench: &Bench, table: &str) -> BTreeMap<String, BTreeSet<String>> {
    live_in(bench, &format!("out/{table}")).await
}

async fn live_in(bench: &Bench, folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = format!("file://{}/", bench.text(folder));
    let table = deltalake_core::open_table(url::Url::parse(&folder).unwrap()).await.unwrap();
    let state = table.snapshot().unwrap().snapshot();
    let mut files = state.file_views(table.log_store().as_ref(), None);
    let mut live: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Some(file) = files.try_next().await.unwrap() {
        let date = file.partition_values_map().get("run_date").unwrap().clone().unwrap();
        live.entry(date).or_default().insert(file.path().into_owned());
    }
    live
}

/// How many rows the live files of a table's date hold.
async fn rows(bench: &Bench, table: &str, date: &str) -> usize {
    let files: Vec<String> = live(bench, table).await[date]
        .iter()
        .map(|file| bench.text(&format!("out/{table}/{file}")))
        .collect();
    let context = SessionContext::new();
    context.read_parquet(files, ParquetReadOptions::default()).await.unwrap().count().await.unwrap()
}

async fn versions(bench: &Bench, table: &str) -> u64 {
    let folder = format!("file://{}/", bench.text(&format!("out/{table}")));
    deltalake_core::open_table(url::Url::parse(&folder).unwrap()).await.unwrap().version().unwrap() as u64
}

#[tokio::test]
async fn a_run_replaces_its_date_in_each_table_and_leaves_others() {
    let bench = Bench::new();
    let input = shop(&bench);
    let (first, second) = (on(&bench, &input, "2024-06-30", &[]), on(&bench, &input, "2024-12-31", &[]));
    for arguments in [&first, &second] {
        assert_eq!(run(arguments).await.unwrap().status, "published");
        assert_eq!(run(arguments).await.unwrap().status, "unchanged");
    }
    let before = live(&bench, "customer_rfm").await;
    let mean = on(&bench, &input, "2024-12-31", &["rfm.monetary=mean"]);
    assert_eq!(run(&mean).await.unwrap().status, "published");
    let after = live(&bench, "customer_rfm").await;
    assert_eq!(before["2024-06-30"], after["2024-06-30"]);
    assert!(before["2024-12-31"].is_disjoint(&after["2024-12-31"]));
    for arguments in [&first, &mean] {
        for table in TABLES {
            let date = arguments.run_date.as_ref().unwrap();
            let published = lines(arguments, &format!("SELECT count(*) FROM {table}")).await;
            assert_eq!(published, [rows(&bench, table, date).await.to_string()], "{table} of {date}");
        }
    }
    assert_eq!(versions(&bench, "customer_rfm").await, 2);

    // a reader of the version before still finds its files, until its generation is dropped
    for file in &before["2024-12-31"] {
        assert!(bench.path(&format!("out/customer_rfm/{file}")).is_file());
    }
    for keep in ["rfm.frequency=days", "rfm.frequency=lines", "rfm.frequency=repeats"] {
        run(&on(&bench, &input, "2024-12-31", &[keep])).await.unwrap();
    }
    for file in &before["2024-12-31"] {
        assert!(!bench.path(&format!("out/customer_rfm/{file}")).exists());
    }
}

#[tokio::test]
async fn a_rollback_and_tables_no_longer_asked_for_are_versions_like_any_other() {
    let bench = Bench::new();
    let input = shop(&bench);
    let date = "2024-12-31";
    run(&on(&bench, &input, date, &["rfm.cohorts=true"])).await.unwrap();
    assert!(rows(&bench, "cohort_retention", date).await > 0);
    let before = live(&bench, "customer_rfm").await;
    run(&on(&bench, &input, date, &["rfm.monetary=mean"])).await.unwrap();
    assert!(live(&bench, "cohort_retention").await.is_empty());
    let config = Config::load(&on(&bench, &input, date, &[])).unwrap();
    assert_eq!(publish::rollback(&config, 1).await.unwrap().generation, 3);
    assert_eq!(live(&bench, "customer_rfm").await, before);
    assert!(rows(&bench, "cohort_retention", date).await > 0);
}

#[tokio::test]
async fn dates_side_by_side_all_come_to_stand_in_the_log() {
    let bench = Bench::new();
    let input = shop(&bench);
    let dates: Vec<String> = (1..=8).map(|day| format!("2024-12-0{day}")).collect();
    let runs: Vec<Arguments> = dates.iter().map(|date| on(&bench, &input, date, &[])).collect();
    for ended in futures::future::join_all(runs.iter().map(run)).await {
        assert_eq!(ended.unwrap().status, "published");
    }
    for table in TABLES {
        assert_eq!(live(&bench, table).await.into_keys().collect::<Vec<_>>(), dates, "{table}");
    }
}

#[tokio::test]
async fn plain_files_do_not_replace_what_a_log_names() {
    let bench = Bench::new();
    let input = shop(&bench);
    let delta = on(&bench, &input, "2024-12-31", &[]);
    // from plain to Delta is a way, though the inputs are the same
    let plain = Arguments { set: vec![], ..delta.clone() };
    assert_eq!(run(&plain).await.unwrap().status, "published");
    assert_eq!(run(&delta).await.unwrap().status, "published");
    let parts: Vec<String> =
        bench.files("out/customer_rfm").into_keys().filter(|name| name.ends_with(".parquet")).collect();
    assert!(parts.len() == 1 && !parts[0].ends_with("part-00000.parquet"), "{parts:?}");
    let error = run(&plain).await.unwrap_err().to_string();
    assert!(error.contains("output.format"), "{error}");
}

#[tokio::test]
async fn a_column_of_another_type_is_refused_before_anything_is_committed() {
    let bench = Bench::new();
    let input = shop(&bench);
    let by = |by: &str| Arguments {
        select: vec!["itemsets".to_owned()],
        ..on(
            &bench,
            &input,
            "2024-12-31",
            &[&format!("rules.by=['{by} AS store']"), "rules.min_support=0.05"],
        )
    };
    run(&by("CAST(quantity AS STRING)")).await.unwrap();
    let before = bench.files("out");
    let error = run(&by("quantity")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("the column store is string there"), "{error}");
    assert!(bench.files("out") == before);
}

#[tokio::test]
async fn a_plain_generation_does_not_come_back_beside_delta_tables() {
    let bench = Bench::new();
    let input = shop(&bench);
    let delta = on(&bench, &input, "2024-12-31", &[]);
    run(&Arguments { set: vec![], ..delta.clone() }).await.unwrap();
    run(&delta).await.unwrap();
    let before = bench.files("out");
    let error = publish::rollback(&Config::load(&delta).unwrap(), 1).await.unwrap_err();
    assert!(error.to_string().contains("is plain Parquet, and Delta tables stand in the output"), "{error}");
    assert!(bench.files("out") == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_dates_side_by_side_come_to_stand_in_the_log_and_are_replaced() {
    let bench = Bench::new();
    let environment = s3::serve(&bench.path("s3")).await;
    sample::write(&bench.path("s3/warehouse/order_lines"), 300).unwrap();
    let dates: Vec<String> = (1..=6).map(|day| format!("2024-12-0{day}")).collect();
    let start = |date: &str, monetary: &str| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
        command.args(["run", "--run-date", date, "--select", "rfm", "--set", "output.format=delta"]);
        command.args(["--input", "s3://warehouse/order_lines/", "--output", "s3://warehouse/loyalty"]);
        command.args(["--set", monetary]).envs(environment.iter().cloned()).stdout(Stdio::null());
        command.spawn().unwrap()
    };
    let runs: Vec<Child> = dates.iter().map(|date| start(date, "rfm.monetary=sum")).collect();
    for mut run in runs {
        assert!(tokio::task::block_in_place(|| run.wait().unwrap()).success());
    }
    let folder = |table: &str| format!("s3/warehouse/loyalty/{table}");
    for table in TABLES {
        let live = live_in(&bench, &folder(table)).await;
        assert_eq!(live.keys().collect::<Vec<_>>(), dates.iter().collect::<Vec<_>>(), "{table}");
        for file in live.into_values().flatten() {
            assert!(bench.path(&format!("{}/{file}", folder(table))).is_file(), "{table} {file}");
        }
    }
    let before = live_in(&bench, &folder("customer_rfm")).await;
    let mut other = start(&dates[2], "rfm.monetary=mean");
    assert!(tokio::task::block_in_place(|| other.wait().unwrap()).success());
    let after = live_in(&bench, &folder("customer_rfm")).await;
    for date in &dates {
        assert_eq!(before[date] == after[date], *date != dates[2], "{date}");
    }
}
