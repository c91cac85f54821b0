//! Every aggregate of ours across the wire: as partial states, as rows turned into states, as states that were spilled, and as lists that
//! executors exchange, with the results of the embedded engine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use regulars::config::{Arguments, Config, Engine};
use regulars::publish::{Place, Scratch};
use regulars::{session, udaf};
use support::Bench;

/// Beside another aggregate, so that none is moved behind the exchange with its rows. The baskets of one query are the rows of the next.
const QUERIES: &[(&[&str], &str)] = &[
    (&["basket"], "SELECT order_id, basket(item), count(*) FROM line GROUP BY order_id"),
    (
        &["customer_orders"],
        "SELECT customer, customer_orders(order_id, ts, amount), max(item) FROM line GROUP BY customer",
    ),
    (
        &["distinct_count", "value_counts"],
        "SELECT store, distinct_count(order_id), distinct_count(name), array_sort(value_counts(item)), count(*) FROM line GROUP BY store",
    ),
    (&["distinct_count"], "SELECT distinct_count(order_id), distinct_count(name) FROM line"),
    (
        &["part_sum"],
        "SELECT customer, sum(part), sum(money), count(*) > 0 FROM (SELECT order_id, customer, part_sum(item) AS part, part_sum(amount) AS money \
         FROM line GROUP BY order_id, customer) GROUP BY customer",
    ),
    (
        &["part_sum"],
        "SELECT customer, part_sum(item), part_sum(amount), count(*) FROM line GROUP BY customer",
    ),
    (
        &["quantile_edges"],
        "SELECT store, quantile_edges(amount, 5), quantile_edges(item, 4), count(*) FROM line GROUP BY store",
    ),
    (
        &["item_counts", "part_pair_counts"],
        "SELECT item_counts(items), array_sort(part_pair_counts(items)) FROM (SELECT basket(item) AS items FROM line GROUP BY order_id)",
    ),
    (
        &["part_pair_counts"],
        "SELECT pair['first'], pair['second'], sum(pair['support_count']) FROM (SELECT unnest(part_pair_counts(items)) AS pair \
         FROM (SELECT basket(item) AS items FROM line GROUP BY order_id)) GROUP BY pair['first'], pair['second']",
    ),
    (
        &["candidate_counts"],
        "SELECT candidate_counts(items, arrow_cast(X'03000000000000000100000002000000000000000100000004000000', 'Dictionary(Int32, Binary)')) \
         FROM (SELECT basket(item) AS items FROM line GROUP BY order_id)",
    ),
    (
        &["frequent_itemsets"],
        "SELECT store, frequent_itemsets(items, 0.01) FROM (SELECT store, basket(item) AS items FROM line GROUP BY store, order_id) GROUP BY store",
    ),
    (
        &["itemsets_of_ranks"],
        "SELECT number, array_sort(itemsets_of_ranks(chunk, arrow_cast(number * 10, 'UInt32'), arrow_cast(number * 10 + 10, 'UInt32'), 40, 3, 100000, \
         arrow_cast(arrow_cast('', 'Binary'), 'Dictionary(Int32, Binary)'))) \
         FROM (SELECT array_agg(items) AS chunk FROM (SELECT basket(item) AS items, order_id % 50 AS part FROM line GROUP BY order_id) GROUP BY part) \
         CROSS JOIN (SELECT unnest(range(0, 4)) AS number) GROUP BY number",
    ),
    (
        &["maximal_sets", "itemset_index"],
        "SELECT length, array_sort(maximal_sets(items, support)), itemset_index(items, support) IS NULL FROM (SELECT array_length(items) AS length, items, \
         count(*) AS support FROM (SELECT basket(item) AS items FROM line GROUP BY order_id) GROUP BY items) GROUP BY length",
    ),
];

#[test]
fn every_aggregate_has_a_query() {
    let covered: BTreeSet<&str> = QUERIES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    let all = udaf::all();
    assert_eq!(covered, all.iter().map(AggregateUDF::name).collect());
}

fn engine(bench: &Bench, set: &[&str]) -> Engine {
    let mut set: Vec<String> = set.iter().map(ToString::to_string).collect();
    set.push(format!("engine.spill_dir={}", bench.path("").display()));
    Config::load(&Arguments { set, ..Arguments::default() }).unwrap().engine
}

/// The rows of a query as sorted text.
async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.unwrap().collect().await.expect(sql);
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | ")
        }));
    }
    rows.sort_unstable();
    rows
}

/// Four files of lines, so that there are partitions to exchange.
async fn write_lines(context: &SessionContext, bench: &Bench, lines_a_file: i64, orders: i64) {
    for file in 0..4 {
        let lines = format!(
            "SELECT (value * 7919) % {orders} AS order_id, concat('c', value * 31 % 2003) AS customer, concat('s', value % 5) AS store, \
             CASE WHEN value % 97 <> 0 THEN concat('n', value % 811) END AS name, arrow_cast(value * value % 43, 'UInt32') AS item, \
             arrow_cast(1700000000000000 + value * 1000000, 'Timestamp(Microsecond, None)') AS ts, \
             CAST(value % 1000 AS DECIMAL(38, 4)) AS amount"
        );
        let sql = format!(
            "COPY ({lines} FROM (SELECT unnest(range({}, {})) AS value)) TO '{}/{file}.parquet' STORED AS PARQUET",
            file * lines_a_file,
            (file + 1) * lines_a_file,
            bench.text("lines"),
        );
        context.sql(&sql).await.unwrap().collect().await.unwrap();
    }
    context.register_parquet("line", bench.text("lines"), ParquetReadOptions::default()).await.unwrap();
}

async fn on_cluster(bench: &Bench, memory: &str) -> SessionContext {
    let config = Config::load(&bench.arguments("-", &[])).unwrap();
    let place = Place::open(&config.output.unwrap(), config.run_date.unwrap()).await.unwrap();
    let memory = format!("engine.memory_limit={memory}");
    let cluster =
        ["engine.kind=ballista", "engine.local_limit=0B", "engine.target_partitions=3", &memory[..]];
    let scratch = Scratch::new(place, uuid::Uuid::new_v4());
    let context = session::open(&engine(bench, &cluster), Some(scratch), true).await.unwrap();
    context.register_parquet("line", bench.text("lines"), ParquetReadOptions::default()).await.unwrap();
    context
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_give_on_a_cluster_what_they_give_here() {
    let bench = Bench::new();
    let here = session::embedded(&engine(&bench, &[])).unwrap();
    write_lines(&here, &bench, 8_000, 9_001).await;
    for turned_into_states in [false, true] {
        let there = on_cluster(&bench, "1GiB").await;
        if turned_into_states {
            let state = there.state_ref();
            let mut state = state.write();
            let execution = &mut state.config_mut().options_mut().execution;
            execution.skip_partial_aggregation_probe_rows_threshold = 1;
            execution.skip_partial_aggregation_probe_ratio_threshold = 0.0;
        }
        for (names, sql) in QUERIES {
            assert_eq!(rows(&there, sql).await, rows(&here, sql).await, "{names:?} {turned_into_states}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_executors_spill_are_the_same() {
    let bench = Bench::new();
    let here = session::embedded(&engine(&bench, &[])).unwrap();
    write_lines(&here, &bench, 100_000, 300_007).await;
    let there = on_cluster(&bench, "24MiB").await;
    let sql = "SELECT order_id, basket(item), customer_orders(order_id, ts, amount), distinct_count(name), count(*) FROM line GROUP BY order_id";
    assert_eq!(rows(&there, sql).await, rows(&here, sql).await);
    let plan = there.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    datafusion::physical_plan::collect(Arc::clone(&plan), there.task_ctx()).await.unwrap();
    let measured = displayable(plan.as_ref()).indent(false).to_string();
    let aggregation = measured.lines().find(|line| line.contains("AggregateExec: mode=Final")).unwrap();
    assert!(!aggregation.contains("spill_count=0,"), "{aggregation}");
}
