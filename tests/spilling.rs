//! The aggregates give the same answer through the engine when it spills them, skips partial aggregation, or exchanges rows, and so do
//! the deciles of customers in one partition.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Decimal128Type, Int32Type, Int64Type};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::collect;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::prelude::SessionContext;
use regulars::config::{Arguments, Config};
use regulars::sql;

/// A session with a small memory limit, over lines whose groups are so many that the engine skips partial aggregation
/// after a while and spills the rest.
async fn strained(memory_limit: &str, partitions: usize) -> SessionContext {
    let arguments = Arguments {
        set: vec![
            format!("engine.memory_limit={memory_limit}"),
            format!("engine.target_partitions={partitions}"),
        ],
        ..Arguments::default()
    };
    let context = regulars::session::embedded(&Config::load(&arguments).unwrap().engine).unwrap();
    let lines = "CREATE VIEW line AS SELECT concat('customer ', i % 80000) AS customer_id, concat('order number ', i / 2) \
                 AS order_id, CAST(CAST(i % 400 AS INT) AS DATE) AS day, CAST(i % 1000 AS DECIMAL(38, 4)) AS amount, \
                 CAST(i % 50 AS INT UNSIGNED) AS item FROM (SELECT unnest(range(0, 240000)) AS i)";
    let early = "SET datafusion.execution.skip_partial_aggregation_probe_rows_threshold = 1000";
    for statement in [lines, early] {
        context.sql(statement).await.unwrap().collect().await.unwrap();
    }
    context
}

/// A checksum over all groups: by our aggregates, which run once after the exchange; by the same beside one of the engine's, which
/// has them run in each partition and their states exchanged; by the engine's own.
const CHECKSUMS: [&str; 3] = [
    "SELECT count(*), sum(o['orders']), sum(o['active_days']), sum(o['monetary']), min(o['first_order_date']), \
     max(o['last_order_date']), sum(items) FROM (SELECT customer_orders(order_id, day, amount) AS o, \
     array_length(basket(item)) AS items FROM line GROUP BY customer_id)",
    "SELECT count(*), sum(o['orders']), sum(o['active_days']), sum(o['monetary']), min(o['first_order_date']), \
     max(o['last_order_date']), sum(items) FROM (SELECT customer_orders(order_id, day, amount) AS o, \
     array_length(basket(item)) AS items, count(*) AS lines FROM line GROUP BY customer_id) WHERE lines > 0",
    "SELECT count(*), sum(orders), sum(days), sum(money), min(first), max(last), sum(items) FROM (SELECT count(DISTINCT \
     order_id) AS orders, count(DISTINCT day) AS days, sum(amount) AS money, min(day) AS first, max(day) AS last, \
     count(DISTINCT item) AS items FROM line GROUP BY customer_id)",
];

#[tokio::test(flavor = "multi_thread")]
async fn spilled_and_converted_state_merge_to_the_same() {
    let mut sums = Vec::new();
    for (sql, memory_limit, metric) in [
        (CHECKSUMS[0], "40MiB", "spill_count"),
        (CHECKSUMS[1], "40MiB", "spill_count"),
        (CHECKSUMS[1], "4GiB", "skipped_aggregation_rows"),
        (CHECKSUMS[2], "4GiB", "output_rows"),
    ] {
        let context = strained(memory_limit, 4).await;
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let rows = collect(Arc::clone(&plan), context.task_ctx()).await.expect(memory_limit);
        let table = pretty_format_batches(&rows).unwrap().to_string();
        sums.push(table.lines().nth(3).unwrap().split_whitespace().collect::<Vec<_>>().join(" "));
        let measured = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false).to_string();
        assert!(reaches_one(&measured, metric), "no {metric} in {measured}");
    }
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

/// Whether any operator of a plan measured more than nothing.
fn reaches_one(measured: &str, metric: &str) -> bool {
    let label = format!("{metric}=");
    let values = measured.split(&label).skip(1);
    values.filter_map(|rest| rest.chars().next()).any(|digit| ('1'..='9').contains(&digit))
}

/// Deciles are found by putting all customers in order: where they do not fit into memory, by spilling.
#[tokio::test(flavor = "multi_thread")]
async fn the_concentration_of_many_customers_needs_little_memory_in_one_partition() {
    const CUSTOMERS: i64 = 400_000;
    // several sorts may take the memory from one another that merging needs
    let context = strained("24MiB", 1).await;
    let values = format!(
        "CREATE VIEW valued_customer AS SELECT CAST(i * 7919 % 400009 AS DECIMAL(38, 4)) AS revenue \
         FROM (SELECT unnest(range(0, {CUSTOMERS})) AS i)"
    );
    context.sql(&values).await.unwrap().collect().await.unwrap();
    let plan = context.sql(sql::file("rfm_concentration").unwrap().text).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let rows = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    let found: Vec<(i32, i64, i128)> = rows
        .iter()
        .flat_map(|batch| {
            let deciles = batch.column(0).as_primitive::<Int32Type>().values();
            let customers = batch.column(1).as_primitive::<Int64Type>().values();
            let revenue = batch.column(2).as_primitive::<Decimal128Type>().values();
            let rows = deciles.iter().zip(customers).zip(revenue);
            rows.map(|((decile, customers), revenue)| (*decile, *customers, *revenue)).collect::<Vec<_>>()
        })
        .collect();
    let mut revenue: Vec<i64> = (0..CUSTOMERS).map(|i| i * 7919 % 400_009).collect();
    revenue.sort_unstable_by_key(|revenue| std::cmp::Reverse(*revenue));
    let tenth = CUSTOMERS / 10;
    let expected =
        revenue.chunks(tenth as usize).map(|of| of.iter().map(|one| i128::from(*one) * 10_000).sum());
    assert_eq!(found, (1..).zip(expected).map(|(decile, sum)| (decile, tenth, sum)).collect::<Vec<_>>());
    let measured = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false).to_string();
    assert!(reaches_one(&measured, "spill_count"), "nothing spilled in {measured}");
}
