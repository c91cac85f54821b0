//! The published bytes do not depend on partitions, batch size, the order of rows or how many times the job ran; the
//! schemas are those that `tests/published_schemas.txt` says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write;
use std::path::Path;

use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use regulars::config::{Arguments, Config};
use regulars::steps::Silent;
use regulars::tables::TABLES;
use regulars::{job, sample};
use support::{Bench, lines, run};

fn shop(bench: &Bench) -> String {
    sample::write(&bench.path("shop"), 1500).unwrap();
    bench.text("shop")
}

fn with_engine(arguments: &Arguments, partitions: usize, batch_size: usize) -> Arguments {
    let mut arguments = arguments.clone();
    arguments.set.push(format!("engine.target_partitions={partitions}"));
    arguments.set.push(format!("engine.batch_size={batch_size}"));
    arguments
}

#[tokio::test]
async fn bytes_are_the_same_for_any_partitions_and_batch_size() {
    let bench = Bench::new();
    let input = shop(&bench);
    let set = [
        "rules.min_support=0.01",
        "rules.max_consequent_length=2",
        "rfm.binning.frequency=ntile",
        "rfm.nested=true",
        "rfm.summary=day",
        "rfm.cohorts=true",
        "rfm.metrics=month",
        "rfm.lifecycle.by=rhythm",
        "rfm.scaling={ recency = \"log\", frequency = \"rank\", monetary = \"z_score\" }",
        "rfm.compare_to=2024-06-30",
    ];
    let first = bench.arguments(&input, &set);
    run(&with_engine(&first, 1, 8192)).await.unwrap();
    let expected = bench.published();
    assert_eq!(expected.len(), TABLES.len());
    for (partitions, batch_size) in [(2, 8192), (8, 8192), (1, 1), (8, 1)] {
        let other = Bench::new();
        let arguments = Arguments { output: Some(other.text("out")), ..first.clone() };
        run(&with_engine(&arguments, partitions, batch_size)).await.unwrap();
        let found = other.published();
        for (name, bytes) in &expected {
            assert!(
                found[name] == *bytes,
                "{name} differs with {partitions} partitions and batches of {batch_size}"
            );
        }
    }
}

#[tokio::test]
async fn bytes_are_the_same_for_both_algorithms_and_any_memory_limit() {
    let bench = Bench::new();
    let input = shop(&bench);
    let set =
        ["rules.min_support=0.005", "rules.max_length=0", "rules.min_confidence=0.1", "rules.adjust=bh"];
    let first = bench.arguments(&input, &set);
    run(&first).await.unwrap();
    let expected = bench.published();
    for other in ["rules.algorithm=apriori", "engine.memory_limit=24MiB"] {
        let bench = Bench::new();
        let mut arguments = Arguments { output: Some(bench.text("out")), ..first.clone() };
        arguments.set.push(other.to_owned());
        run(&arguments).await.unwrap();
        for (name, bytes) in &expected {
            assert!(bench.published()[name] == *bytes, "{name} differs with {other}");
        }
    }
}

#[tokio::test]
async fn bytes_are_the_same_for_any_order_of_rows_and_files() {
    let bench = Bench::new();
    let input = shop(&bench);
    let arguments = bench.arguments(&input, &[]);
    run(&arguments).await.unwrap();

    let context = SessionContext::new();
    let shuffled = bench.text("shuffled");
    let options = ParquetReadOptions::default();
    let rows = context.read_parquet(&input, options).await.unwrap();
    context.register_table("rows", rows.into_view()).unwrap();
    let copy = format!(
        "COPY (SELECT * FROM rows ORDER BY md5(concat(order_id, item_id))) TO '{shuffled}/all.parquet'"
    );
    context.sql(&copy).await.unwrap().collect().await.unwrap();

    let other = Bench::new();
    run(&Arguments { output: Some(other.text("out")), ..bench.arguments(&shuffled, &[]) }).await.unwrap();
    assert!(bench.published() == other.published());
}

#[tokio::test]
async fn bytes_are_the_same_whether_footers_tell_what_no_line_is_or_not() {
    let bench = Bench::new();
    let context = SessionContext::new();
    let rows = context.read_parquet(shop(&bench), ParquetReadOptions::default()).await.unwrap();
    context.register_table("rows", rows.into_view()).unwrap();
    let columns = "order_id % 300 AS customer_id, order_ts, item_id, quantity, unit_price";
    let some_lost = "CASE WHEN order_id % 97 > 0 THEN order_id END AS order_id";
    let (all, late) = ("2024-12-31", "2024-06-30");
    for (order_id, lines, run_date, policy, some_left_out) in [
        ("order_id", "true", all, "clean.returns=exclude", true),
        (some_lost, "quantity > 0", all, "clean.returns=exclude", true),
        ("order_id", "quantity > 0", late, "clean.returns=exclude", true),
        ("order_id", "quantity > 0", all, "clean.returns=exclude", false),
        ("order_id", "quantity > 0", all, "clean.returns=net", false),
        ("order_id", "quantity > 0", all, "clean.duplicates=drop", false),
        ("order_id", "quantity > 0", all, "clean.unpriced=exclude", true),
        ("order_id", "quantity > 0", all, "input.filter=unit_price > 5", true),
    ] {
        let mut published = Vec::new();
        for told in ["page", "none"] {
            let folder = Bench::new();
            let copy = format!(
                "COPY (SELECT {order_id}, {columns} FROM rows WHERE {lines}) TO '{}/all.parquet' \
                 OPTIONS ('format.statistics_enabled' '{told}')",
                folder.text("lines")
            );
            context.sql(&copy).await.unwrap().collect().await.unwrap();
            let arguments = Arguments {
                run_date: Some(run_date.to_owned()),
                select: vec!["rfm".to_owned()],
                ..folder.arguments(&folder.text("lines"), &["clean.invalid=drop", policy])
            };
            run(&arguments).await.unwrap();
            published.push(folder.published());
            let config = Config::load(&arguments).unwrap();
            let explained = job::explain(&config, false, &mut Silent).await.unwrap();
            let tally = explained.iter().find(|explained| explained.file.name == "customer_tally").unwrap();
            let is_asked = tally.parameters.contains("$some_left_out = true");
            assert_eq!(is_asked, some_left_out || told == "none", "{lines} up to {run_date}, {policy}");
        }
        assert!(published[0] == published[1], "{lines} up to {run_date}, {policy}");
    }
}

#[tokio::test]
async fn a_large_table_is_split_by_its_key_into_parts_in_order() {
    let bench = Bench::new();
    let input = shop(&bench);
    let arguments = bench.arguments(&input, &["output.rows_per_part=200"]);
    let report = run(&arguments).await.unwrap();
    let customers = &report.tables["customer_rfm"];
    assert_eq!(customers.parts as u64, customers.rows.div_ceil(200));
    let found = bench.published();
    let parts = found.keys().filter(|name| name.starts_with("out/customer_rfm/")).count();
    assert_eq!(parts, customers.parts);
    let query = "SELECT count(*), count(DISTINCT customer_id) FROM customer_rfm";
    assert_eq!(lines(&arguments, query).await, [format!("{0} {0}", customers.rows)]);
    for part in found.keys().filter(|name| name.starts_with("out/customer_rfm/")) {
        let file = std::fs::File::open(bench.path(part)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let ids = batch.unwrap().column(0).clone();
            let ids = datafusion::arrow::array::AsArray::as_string::<i32>(&ids);
            assert!(ids.iter().is_sorted(), "{part} is out of order");
        }
    }
    let other = Bench::new();
    run(&with_engine(&Arguments { output: Some(other.text("out")), ..arguments }, 8, 7)).await.unwrap();
    assert!(found == other.published());
}

#[tokio::test]
async fn published_schemas_are_as_written_down() {
    let bench = Bench::new();
    let input = shop(&bench);
    let optional = [
        "rfm.summary=month",
        "rfm.cohorts=true",
        "rfm.compare_to=90 days",
        "rfm.metrics=quarter",
        "rfm.lifecycle.by=thresholds",
    ];
    run(&bench.arguments(&input, &optional)).await.unwrap();
    let mut found = String::new();
    for table in TABLES {
        writeln!(found, "{}", table.name).unwrap();
        let file = bench.path(&format!("out/{}/run_date=2024-12-31/part-00000.parquet", table.name));
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap()).unwrap();
        for field in reader.schema().fields() {
            let nullable = if field.is_nullable() { "" } else { " not null" };
            writeln!(found, "    {} {}{nullable}", field.name(), field.data_type()).unwrap();
        }
    }
    let written_down = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published_schemas.txt");
    assert_eq!(found, std::fs::read_to_string(written_down).unwrap());
}
