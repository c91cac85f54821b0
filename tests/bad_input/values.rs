//! Values that cannot be used.

use super::*;

/// A price that cannot be used among two that can.
fn price(bench: &Bench, price: f64) -> String {
    column(bench, "unit_price", Float64Array::from_iter_values([1.0, price, 2.0]))
}

/// A time among two good ones.
fn time(bench: &Bench, time: i64) -> String {
    column(bench, "order_ts", TimestampMicrosecondArray::from_iter_values([day(0), time, day(1)]))
}

fn zoned(bench: &Bench, time: i64) -> String {
    let times = TimestampMicrosecondArray::from_iter_values([day(0), time, day(1)]).with_timezone("UTC");
    column(bench, "order_ts", times)
}

fn nothing(bench: &Bench) -> String {
    let empty = lines().into_iter().map(|(name, values)| (name, values.slice(0, 0))).collect();
    parquet(bench, "in.parquet", empty)
}

const ORDER_TS: &str = "1 lines have values that cannot be used (order_ts: 1 lines, such as '";
const UNIT_PRICE: &str = "1 lines have values that cannot be used (unit_price: 1 lines, such as '";
const NO_LINE: &[&str] = &["no line is left up to 2024-12-31, of 3 read", "input.filter"];

const VALUES: &[Case] = &[
    refused(
        "no order id",
        |bench| column(bench, "order_id", StringArray::from(vec![Some("1"), None, Some("3")])),
        &[],
        &[
            "1 lines have values that cannot be used (order_id: 1 lines, such as missing)",
            "clean.invalid = \"drop\"",
        ],
    ),
    refused(
        "no date",
        |bench| {
            column(bench, "order_ts", TimestampMicrosecondArray::from(vec![Some(day(0)), None, Some(day(1))]))
        },
        &[],
        &["1 lines have values that cannot be used (order_ts: 1 lines, such as missing)"],
    ),
    works(
        "no customer",
        |bench| column(bench, "customer_id", StringArray::from(vec![Some("ann"), None, Some("bob")])),
        &[],
    ),
    works(
        "no price",
        |bench| column(bench, "unit_price", Float64Array::from(vec![Some(1.0), None, Some(2.0)])),
        &[],
    ),
    refused("a price that is no number", |bench| price(bench, f64::NAN), &[], &[UNIT_PRICE]),
    works(
        "a price that is no number, left out",
        |bench| price(bench, f64::NAN),
        &["--set", "clean.invalid=drop"],
    ),
    refused("an infinite price", |bench| price(bench, f64::INFINITY), &[], &[UNIT_PRICE]),
    refused("an infinite refund", |bench| price(bench, f64::NEG_INFINITY), &[], &[UNIT_PRICE]),
    refused("a price of fifteen digits", |bench| price(bench, 1e14), &[], &[UNIT_PRICE, "100000000000000"]),
    refused("a price of three hundred digits", |bench| price(bench, 1e300), &[], &[UNIT_PRICE, "1e300"]),
    refused(
        "a whole price of fifteen digits",
        |bench| column(bench, "unit_price", Int64Array::from_iter_values([1, 100_000_000_000_000, 2])),
        &[],
        &[UNIT_PRICE, "'100000000000000'"],
    ),
    refused(
        "a written price of fifteen digits",
        |bench| column(bench, "unit_price", StringArray::from_iter_values(["1", "100000000000000", "2"])),
        &[],
        &[UNIT_PRICE, "'100000000000000'"],
    ),
    refused(
        "a decimal price of twenty-one digits",
        |bench| {
            let prices = Decimal128Array::from_iter_values([1, 100_000_000_000_000_000_000, 2]);
            column(bench, "unit_price", prices.with_precision_and_scale(38, 0).unwrap())
        },
        &[],
        &[UNIT_PRICE, "'100000000000000000000'"],
    ),
    refused(
        "a quantity beyond all bounds",
        |bench| column(bench, "quantity", UInt64Array::from_iter_values([1, u64::MAX, 2])),
        &[],
        &["(quantity: 1 lines, such as '18446744073709551615')"],
    ),
    refused(
        "an amount that is no number",
        |bench| column(bench, "amount", Float64Array::from_iter_values([1.0, f64::NAN, 2.0])),
        &[],
        &["(amount: 1 lines, such as 'NaN')"],
    ),
    refused(
        "an amount of thirty-six digits",
        |bench| column(bench, "amount", Float64Array::from_iter_values([1.0, 1e35, 2.0])),
        &[],
        &["(amount: 1 lines, such as '1e35')"],
    ),
    refused(
        "an order's amounts that are too large together",
        |bench| {
            let mut columns = with("amount", Float64Array::from_value(9.9e33, 3));
            columns[0].1 = strings(["1", "1", "1"]);
            parquet(bench, "in.parquet", columns)
        },
        &[],
        &["values add up to more than decimal(38,4) holds"],
    ),
    refused(
        "a customer's amounts that are too large together",
        |bench| {
            let mut columns = with("amount", Float64Array::from_value(9.9e33, 3));
            columns[0].1 = strings(["1", "2", "3"]);
            parquet(bench, "in.parquet", columns)
        },
        &[],
        &["a customer's amounts add up to more than decimal(38,4) holds"],
    ),
    refused(
        "amounts that are too large to be ranked",
        |bench| {
            let mut columns = with("amount", Float64Array::from_value(9e33, 3));
            columns[2].1 = strings(["ann", "bob", "cat"]);
            parquet(bench, "in.parquet", columns)
        },
        &[],
        &["too large", "monetary", "!quantile_edges"],
    ),
    refused(
        "bytes as id that are no text",
        |bench| column(bench, "order_id", BinaryArray::from_iter_values([&b"1"[..], b"\xff\xfe", b"2"])),
        &[],
        &["1 lines have values that cannot be used (order_id: 1 lines", "!missing"],
    ),
    works("the year 1", |bench| time(bench, -62_135_596_800_000_000), &[]),
    works("the year 9999, after the run date", |bench| time(bench, 253_402_214_400_000_000), &[]),
    works("the year 294247, after the run date", |bench| time(bench, i64::MAX), &[]),
    refused("the year 290308 before our era", |bench| time(bench, i64::MIN), &[], &[ORDER_TS]),
    refused("the year 294247 of a zone", |bench| zoned(bench, i64::MAX), &[], &[ORDER_TS]),
    refused("the year 290308 before our era, of a zone", |bench| zoned(bench, i64::MIN), &[], &[ORDER_TS]),
    refused(
        "a time in milliseconds beyond all bounds",
        |bench| column(bench, "order_ts", TimestampMillisecondArray::from_iter_values([0, i64::MAX / 2, 1])),
        &[],
        &[ORDER_TS],
    ),
    refused(
        "a time in milliseconds before all bounds",
        |bench| column(bench, "order_ts", TimestampMillisecondArray::from_iter_values([0, i64::MIN / 2, 1])),
        &[],
        &[ORDER_TS],
    ),
    refused(
        "a date beyond all bounds",
        |bench| column(bench, "order_ts", Date32Array::from_iter_values([0, i32::MAX, 1])),
        &[],
        &[ORDER_TS],
    ),
    refused(
        "a date before all bounds",
        |bench| column(bench, "order_ts", Date32Array::from_iter_values([0, i32::MIN, 1])),
        &[],
        &[ORDER_TS],
    ),
    refused(
        "a date in milliseconds beyond all bounds",
        |bench| column(bench, "order_ts", Date64Array::from_iter_values([0, i64::MAX / 2, 86_400_000])),
        &[],
        &[ORDER_TS],
    ),
    case(
        "the year 9999 in 96 bits, after the run date",
        1,
        times_in_96_bits,
        &[],
        &["no line is left up to 2024-12-31, of 1 read"],
    ),
    refused(
        "the year 294247, written",
        |bench| csv(bench, "3,bread,ann,294247-01-01,1,1\n"),
        &[],
        &[ORDER_TS, "'294247-01-01'"],
    ),
    refused(
        "the thirtieth of February",
        |bench| csv(bench, "3,bread,ann,2024-02-30,1,1\n"),
        &[],
        &[ORDER_TS, "'2024-02-30'"],
    ),
    refused(
        "a date in another order",
        |bench| csv(bench, "3,bread,ann,31/12/2024,1,1\n"),
        &[],
        &[ORDER_TS, "'31/12/2024'"],
    ),
    refused(
        "a value with line breaks and colours",
        |bench| csv(bench, "3,bread,ann,2024-12-01,1,\"1\n\u{1b}[31m2\"\n"),
        &[],
        &[UNIT_PRICE, "!\u{1b}"],
    ),
    refused(
        "a very long value",
        |bench| csv(bench, &format!("3,bread,ann,2024-12-01,1,{}\n", "x".repeat(100_000))),
        &[],
        &[UNIT_PRICE, "xxxxx"],
    ),
    works(
        "an id of ten million letters",
        |bench| csv(bench, &format!("3,bread,{},2024-12-01,1,1\n", "x".repeat(10_000_000))),
        &[],
    ),
    works(
        "an id that holds a zero",
        |bench| column(bench, "customer_id", StringArray::from_iter_values(["ann", "a\0n", "bob"])),
        &[],
    ),
    case("no lines", 1, nothing, &[], &["no line is left up to 2024-12-31, of 0 read"]),
    case("no lines, which may be", 99, nothing, &["--skip-if-empty"], &["of 0 read"]),
    case(
        "no line that passes the filter",
        1,
        |bench| parquet(bench, "in.parquet", lines()),
        &["--set", "input.filter=quantity > 99"],
        NO_LINE,
    ),
    case(
        "no line that passes the filter, which may be",
        99,
        |bench| parquet(bench, "in.parquet", lines()),
        &["--set", "input.filter=quantity > 99", "--skip-if-empty"],
        NO_LINE,
    ),
    case("returns alone", 1, |bench| column(bench, "quantity", Int32Array::from_value(-1, 3)), &[], NO_LINE),
    case(
        "lines after the run date alone",
        1,
        good,
        &["--run-date", "2023-12-31"],
        &["no line is left up to 2023-12-31, of 4 read"],
    ),
    works("a run date to come", good, &["--run-date", "2999-12-31"]),
];

#[test]
fn values_that_cannot_be_used_are_counted_by_column_with_an_example() {
    all_hold(VALUES);
}
