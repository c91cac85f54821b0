//! What the job makes of order lines as they come: types, folders, globs, copies, returns and time zones.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write;

use datafusion::prelude::SessionContext;
use regulars::config::Arguments;
use regulars::error::{ErrorKind, Result};
use support::{Bench, lines, run};

/// Writes the rows of a query as a Parquet file.
async fn parquet(bench: &Bench, name: &str, rows: &str) -> String {
    let context = SessionContext::new();
    let path = bench.text(name);
    let copy = format!("COPY ({rows}) TO '{path}' STORED AS PARQUET");
    context.sql(&copy).await.unwrap().collect().await.unwrap();
    path
}

const CUSTOMERS: &str =
    "SELECT customer_id, first_order_date, last_order_date, orders, monetary FROM customer_rfm";

async fn customers(bench: &Bench, input: &str, set: &[&str]) -> Result<Vec<String>> {
    let arguments = Arguments { select: vec!["rfm".to_owned()], ..bench.arguments(input, set) };
    run(&arguments).await?;
    Ok(lines(&arguments, CUSTOMERS).await)
}

/// The value of a measure of the cleaning.
async fn cleaned(bench: &Bench, measure: &str) -> String {
    let query = format!("SELECT value FROM run_summary WHERE stage = 'clean' AND measure = '{measure}'");
    lines(&bench.arguments("", &[]), &query).await.concat()
}

#[tokio::test]
async fn ids_of_any_type_become_the_strings_a_person_would_write() {
    for (id, expected) in [
        ("CAST(7 AS BIGINT)", "7"),
        ("CAST(7 AS SMALLINT UNSIGNED)", "7"),
        ("CAST(7 AS DOUBLE)", "7"),
        ("CAST(7.5 AS DOUBLE)", "7.5"),
        ("CAST(-0.0 AS DOUBLE)", "0"),
        ("CAST(12345678901 AS DOUBLE)", "12345678901"),
        ("CAST(7 AS DECIMAL(10, 2))", "7"),
        ("CAST(7.25 AS DECIMAL(10, 2))", "7.25"),
        ("CAST(7 AS DECIMAL(10, 0))", "7"),
        ("'007'", "007"),
        ("arrow_cast('007', 'LargeUtf8')", "007"),
        ("arrow_cast('007', 'Dictionary(Int32, Utf8)')", "007"),
        ("arrow_cast('007', 'Binary')", "007"),
        ("DATE '2024-01-02'", "2024-01-02"),
    ] {
        let bench = Bench::new();
        let rows = format!(
            "SELECT {id} AS order_id, {id} AS customer_id, DATE '2024-01-01' AS order_ts, 2 AS amount"
        );
        let input = parquet(&bench, "in.parquet", &rows).await;
        let found = customers(&bench, &input, &[]).await.unwrap();
        assert_eq!(found, [format!("{expected} 2024-01-01 2024-01-01 1 2.0000")], "{id}");
    }
}

#[tokio::test]
async fn an_id_that_is_empty_or_not_a_number_is_none() {
    for none in ["''", "NULL", "CAST('NaN' AS DOUBLE)"] {
        let bench = Bench::new();
        let rows = format!(
            "SELECT 1 AS order_id, {none} AS customer_id, DATE '2024-01-01' AS order_ts, 2 AS amount UNION ALL \
             SELECT 2, {}, DATE '2024-01-01', 3",
            if none.contains("NaN") { "1.0" } else { "'1'" }
        );
        let input = parquet(&bench, "in.parquet", &rows).await;
        assert_eq!(
            customers(&bench, &input, &[]).await.unwrap(),
            ["1 2024-01-01 2024-01-01 1 3.0000"],
            "{none}"
        );
        assert_eq!(cleaned(&bench, "lines_without_customer").await, "1");
    }
}

#[tokio::test]
async fn a_return_is_told_from_what_a_line_comes_to() {
    // the first rounds to nothing, which is no return
    let bench = Bench::new();
    let rows = "SELECT 1 AS order_id, 'a' AS customer_id, DATE '2024-01-01' AS order_ts, CAST(-0.00001 AS DECIMAL(38, 10)) AS amount \
                UNION ALL SELECT 2, 'a', DATE '2024-01-01', CAST(-0.00005 AS DECIMAL(38, 10))";
    let input = parquet(&bench, "in.parquet", rows).await;
    assert_eq!(customers(&bench, &input, &[]).await.unwrap(), ["a 2024-01-01 2024-01-01 1 0.0000"]);
    assert_eq!(cleaned(&bench, "lines_return").await, "1");
}

#[tokio::test]
async fn amounts_of_lines_that_are_left_out_may_be_of_any_size() {
    let bench = Bench::new();
    let rows = "SELECT 1 AS order_id, 'a' AS customer_id, DATE '2024-01-01' AS order_ts, CAST(1 AS DECIMAL(38, 4)) AS amount \
                UNION ALL SELECT 1, 'a', DATE '2024-01-01', CAST('9900000000000000000000000000000000' AS DECIMAL(38, 4)) \
                UNION ALL SELECT 1, 'a', DATE '2024-01-01', CAST('9900000000000000000000000000000000' AS DECIMAL(38, 4))";
    let input = parquet(&bench, "in.parquet", rows).await;
    let filtered = customers(&bench, &input, &["input.filter=amount < 5"]).await.unwrap();
    assert_eq!(filtered, ["a 2024-01-01 2024-01-01 1 1.0000"]);
}

#[tokio::test]
async fn money_is_exact_and_rounded_half_away_from_zero() {
    for (columns, expected) in [
        ("2 AS quantity, 1.00005 AS unit_price", "2.0002"),
        ("CAST(3 AS DOUBLE) AS quantity, CAST(0.1 AS DOUBLE) AS unit_price", "0.3000"),
        ("'1.5' AS quantity, ' 2.50 ' AS unit_price", "3.7500"),
        ("-1 AS quantity, CAST(0.00005 AS DECIMAL(12, 6)) AS unit_price", "-0.0001"),
        ("0.3333 AS quantity, 0.3333 AS unit_price", "0.1111"),
        ("0.0001 AS quantity, 0.5 AS unit_price", "0.0001"),
        ("1 AS quantity, CAST(99999999999999 AS BIGINT) AS unit_price", "99999999999999.0000"),
        ("-0.00005 AS amount", "-0.0001"),
        ("'12345678901234567890.12345' AS amount", "12345678901234567890.1235"),
    ] {
        let bench = Bench::new();
        let rows =
            format!("SELECT 1 AS order_id, 'c' AS customer_id, DATE '2024-01-01' AS order_ts, {columns}");
        let input = parquet(&bench, "in.parquet", &rows).await;
        let found = customers(&bench, &input, &["clean.returns=keep"]).await.unwrap();
        assert_eq!(found, [format!("c 2024-01-01 2024-01-01 1 {expected}")], "{columns}");
    }
}

#[tokio::test]
async fn whole_numbers_that_a_price_does_not_hold_are_refused() {
    for (price, is_held) in [
        ("99999999999999", true),
        ("-99999999999999", true),
        ("100000000000000", false),
        ("-100000000000000", false),
        ("9223372036854775807", false),
    ] {
        let bench = Bench::new();
        let rows = format!(
            "SELECT 1 AS order_id, 'c' AS customer_id, DATE '2024-01-01' AS order_ts, CAST({price} AS BIGINT) AS unit_price"
        );
        let input = parquet(&bench, "in.parquet", &rows).await;
        let found = customers(&bench, &input, &["clean.returns=keep"]).await;
        assert_eq!(found.is_ok(), is_held, "{price}");
        let is_told = |error: &regulars::error::Error| error.to_string().contains("unit_price: 1 lines");
        assert!(found.as_ref().err().is_none_or(is_told), "{found:?}");
    }
}

#[tokio::test]
async fn zoned_times_become_local_and_naive_ones_stay() {
    for (time, expected) in [
        ("arrow_cast('2024-06-30T23:30:00Z', 'Timestamp(Nanosecond, Some(\"UTC\"))')", "2024-07-01"),
        ("arrow_cast('2024-12-30T23:30:00Z', 'Timestamp(Second, Some(\"UTC\"))')", "2024-12-30"),
        ("TIMESTAMP '2024-06-30T23:30:00'", "2024-06-30"),
        ("DATE '2024-06-30'", "2024-06-30"),
        ("'2024-06-30T23:30:00Z'", "2024-07-01"),
        ("'2024-06-30 23:30:00+00:00'", "2024-07-01"),
        ("'2024-06-30 23:30:00'", "2024-06-30"),
        ("'2024-06-30 23:30:00 UTC'", "2024-07-01"),
        ("'2024-06-30 23:30:00 America/New_York'", "2024-07-01"),
        ("'2024-06-30'", "2024-06-30"),
        ("TIMESTAMP '1969-12-31T23:59:59'", "1969-12-31"),
        ("TIMESTAMP '2024-02-29T12:00:00'", "2024-02-29"),
    ] {
        let bench = Bench::new();
        let rows = format!("SELECT 1 AS order_id, 'c' AS customer_id, {time} AS order_ts, 1 AS amount");
        let input = parquet(&bench, "in.parquet", &rows).await;
        let found = customers(&bench, &input, &["input.timezone=Europe/London"]).await.unwrap();
        assert_eq!(found, [format!("c {expected} {expected} 1 1.0000")], "{time}");
    }
}

#[tokio::test]
async fn a_time_that_is_only_a_number_needs_an_expression() {
    let bench = Bench::new();
    let rows = "SELECT 1 AS order_id, 'c' AS customer_id, 1704067200 AS seconds, 1 AS amount";
    let input = parquet(&bench, "in.parquet", rows).await;
    let error = customers(&bench, &input, &["input.columns.order_ts=seconds"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("map a SQL expression"), "{error}");
    let set = ["input.columns.order_ts=to_timestamp_seconds(seconds)"];
    assert_eq!(customers(&bench, &input, &set).await.unwrap(), ["c 2024-01-01 2024-01-01 1 1.0000"]);
}

#[tokio::test]
async fn copies_are_dropped_and_counted_when_asked() {
    let bench = Bench::new();
    let csv = "order_id,customer_id,order_ts,amount\n1,c,2024-01-01,2\n1,c,2024-01-01,2\n1,c,2024-01-01,2\n1,c,2024-01-01,3\n";
    let input = bench.write("in.csv", csv);
    assert_eq!(customers(&bench, &input, &[]).await.unwrap(), ["c 2024-01-01 2024-01-01 1 9.0000"]);
    let dropped = customers(&bench, &input, &["clean.duplicates=drop"]).await.unwrap();
    assert_eq!(dropped, ["c 2024-01-01 2024-01-01 1 5.0000"]);
    assert_eq!(cleaned(&bench, "lines_duplicate").await, "2");
    assert_eq!(cleaned(&bench, "lines_read").await, "4");
}

#[tokio::test]
async fn returns_are_excluded_netted_or_kept() {
    let csv =
        "order_id,customer_id,order_ts,amount\n1,c,2024-01-01,10\n2,c,2024-02-01,-4\n3,d,2024-02-01,-4\n";
    for (returns, expected) in [
        ("exclude", &["c 2024-01-01 2024-01-01 1 10.0000"][..]),
        ("net", &["c 2024-01-01 2024-01-01 1 6.0000"]),
        ("keep", &["c 2024-01-01 2024-02-01 2 6.0000", "d 2024-02-01 2024-02-01 1 -4.0000"]),
    ] {
        let bench = Bench::new();
        let input = bench.write("in.csv", csv);
        let found = customers(&bench, &input, &[&format!("clean.returns={returns}")]).await.unwrap();
        assert_eq!(found, expected, "{returns}");
    }
}

#[tokio::test]
async fn a_folder_a_glob_and_a_file_are_read_and_hidden_files_are_not() {
    let bench = Bench::new();
    let csv = |order: u32| format!("order_id,customer_id,order_ts,amount\n{order},c,2024-01-01,1\n");
    for (order, name) in [(1, "in/year=2023/a.csv"), (2, "in/year=2024/b.csv"), (3, "in/year=2024/c.csv")] {
        bench.write(name, &csv(order));
    }
    for name in ["in/_tmp/x.csv", "in/year=2024/_y.csv", "in/.z.csv"] {
        bench.write(name, &csv(9));
    }
    bench.write("in/year=2024/_SUCCESS", "");
    for (input, set, orders) in [
        ("in", "clean.invalid=error", 3),
        ("in/", "input.filter=year = '2024'", 2),
        ("in/year=2024", "clean.invalid=error", 2),
        ("in/*/[ab].csv", "clean.invalid=error", 2),
        ("in/year=2024/*.csv", "clean.invalid=error", 2),
        ("in/year=2023/a.csv", "clean.invalid=error", 1),
    ] {
        let found = customers(&bench, &bench.text(input), &[set]).await.unwrap();
        assert_eq!(found, [format!("c 2024-01-01 2024-01-01 {orders} {orders}.0000")], "{input}");
    }
    bench.write("in/year=2024/d.parquet", "");
    let error = customers(&bench, &bench.text("in"), &[]).await.unwrap_err();
    assert!(error.to_string().contains("both .parquet and .csv"), "{error}");
}

#[tokio::test]
async fn partitions_are_columns_below_a_folder_or_a_glob_and_every_file_has_them() {
    let bench = Bench::new();
    let csv = "order_id,customer_id,order_ts,amount\n1,c,2024-01-01,1\n";
    bench.write("in/year=2023/month=1/a.csv", csv);
    bench.write("in/year=2024/month=2/a.csv", csv);
    for (input, set) in
        [("in", "clean.invalid=error"), ("in/*/*/*.csv", "input.partitions=[\"year\", \"month\"]")]
    {
        let set = [set, "input.columns.order_id=concat(year, '/', month)"];
        let found = customers(&bench, &bench.text(input), &set).await.unwrap();
        assert_eq!(found, ["c 2024-01-01 2024-01-01 2 2.0000"], "{input}");
    }
    bench.write("in/stray.csv", csv);
    let error =
        customers(&bench, &bench.text("in/*.csv"), &["input.partitions=[\"year\"]"]).await.unwrap_err();
    assert!(error.to_string().contains("outside the partitions by year"), "{error}");
}

#[tokio::test]
async fn csv_files_of_other_columns_are_refused() {
    let bench = Bench::new();
    bench.write("in/a.csv", "order_id,item_id\n1,a\n");
    bench.write("in/b.csv", "item_id,order_id\na,1\n");
    let arguments = Arguments { select: vec!["rules".to_owned()], ..bench.arguments(&bench.text("in"), &[]) };
    let error = run(&arguments).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(
        error.to_string().contains("has the columns item_id, order_id, the first file order_id, item_id"),
        "{error}"
    );
    assert!(error.to_string().contains("in/b.csv"), "{error}");
}

#[tokio::test]
async fn line_breaks_in_quoted_csv_values_stay_in_their_line() {
    // more than the engine would divide among its partitions
    let mut csv = "note,order_id,customer_id,order_ts,amount\n".to_owned();
    let lines_written = 120_000;
    for order in 0..lines_written {
        let note = "a remark, \"\"long\"\" and broken after ninety or so letters that fill the line up";
        writeln!(csv, "\"{note}\n{order},x,y,z\",{order},c,2024-01-01,1").unwrap();
    }
    assert!(csv.len() > 11 << 20);
    let bench = Bench::new();
    let input = bench.write("in.csv", &csv);
    for partitions in ["engine.target_partitions=1", "engine.target_partitions=8"] {
        let found = customers(&bench, &input, &[partitions]).await.unwrap();
        assert_eq!(found, [format!("c 2024-01-01 2024-01-01 {lines_written} {lines_written}.0000")]);
    }
}

#[tokio::test]
async fn a_bad_line_after_the_run_date_is_not_read_into_the_run() {
    let bench = Bench::new();
    let csv = "order_id,customer_id,order_ts,amount\n1,c,2024-01-01,1\n2,c,2025-01-01,much\n";
    let input = bench.write("in.csv", csv);
    assert_eq!(customers(&bench, &input, &[]).await.unwrap(), ["c 2024-01-01 2024-01-01 1 1.0000"]);
    assert_eq!(cleaned(&bench, "lines_after_run_date").await, "1");
}

#[tokio::test]
async fn refunds_may_nearly_cancel_all_revenue() {
    let bench = Bench::new();
    let mut csv = "order_id,customer_id,order_ts,amount\n".to_owned();
    for customer in 0..40 {
        let (paid, month) = (1_000_000_000 + customer, 1 + customer % 12);
        let refunded = 1_000_000_000 + (customer * 7) % 40;
        writeln!(csv, "{customer},c{customer},2024-{month:02}-01,{paid}").unwrap();
        writeln!(csv, "r{customer},c{customer},2024-12-02,-{refunded}").unwrap();
    }
    csv.push_str("x,x,2024-12-01,0.01\n");
    let input = bench.write("in.csv", &csv);
    assert_eq!(customers(&bench, &input, &["clean.returns=net"]).await.unwrap().len(), 41);
}

#[tokio::test]
async fn nothing_frequent_is_an_empty_table_with_its_schema() {
    let bench = Bench::new();
    let input = bench.write("in.csv", "order_id,item_id\n1,a\n2,b\n3,c\n");
    let arguments = Arguments {
        select: vec!["rules".to_owned()],
        ..bench.arguments(&input, &["rules.min_support=0.5", "rules.max_consequent_length=2"])
    };
    let report = run(&arguments).await.unwrap();
    for table in ["frequent_itemsets", "association_rules", "rule_items"] {
        assert_eq!(report.tables[table].rows, 0);
        assert_eq!(lines(&arguments, &format!("SELECT count(*) FROM {table}")).await, ["0"]);
    }
}

#[tokio::test]
async fn csv_may_have_another_delimiter_and_no_header() {
    let bench = Bench::new();
    let input = bench.write("lines.txt", "00123;c;2024-01-01;1\n123;c;2024-01-01;1\n");
    let set = [
        "input.format=csv",
        "input.csv={ header = false, delimiter = \";\" }",
        "input.columns.order_id=column_1",
        "input.columns.customer_id=column_2",
        "input.columns.order_ts=column_3",
        "input.columns.amount=column_4",
    ];
    assert_eq!(customers(&bench, &input, &set).await.unwrap(), ["c 2024-01-01 2024-01-01 2 2.0000"]);
}

#[tokio::test]
async fn returns_and_money_below_zero_are_refused_where_that_is_asked() {
    let bench = Bench::new();
    let input = bench.write(
        "lines.csv",
        "order_id,customer_id,order_ts,quantity,unit_price\n1,ann,2024-01-01,1,5\n2,ann,2024-02-01,-3,5\n3,bob,2023-05-01,1,7\n",
    );
    let rfm = |set: &[&str]| Arguments { select: vec!["rfm".to_owned()], ..bench.arguments(&input, set) };
    for (set, expected) in [
        (&["clean.returns=error"][..], "1 lines are returns, which clean.returns = \"error\" refuses"),
        (&["clean.returns=net", "rfm.negative=error"], "1 customers have less money than nothing"),
    ] {
        let error = run(&rfm(set)).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind().exit_code(), 2);
    }
    let money = "SELECT customer_id, monetary FROM customer_rfm ORDER BY customer_id";
    for (set, expected) in [
        (&["clean.returns=net"][..], &["ann -10.0000", "bob 7.0000"][..]),
        (&["clean.returns=net", "rfm.negative=zero"], &["ann 0.0000", "bob 7.0000"]),
        (&["rfm.window=366 days"], &["ann 5.0000"]),
        (&["rfm.window=365 days"], &[]),
    ] {
        let arguments = rfm(set);
        run(&arguments).await.unwrap();
        assert_eq!(lines(&arguments, money).await, expected, "{set:?}");
    }
}
