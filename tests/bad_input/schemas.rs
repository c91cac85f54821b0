//! Columns and partitions that do not fit.

use super::*;

const SCHEMAS: &[Case] = &[
    works(
        "a column more in a later file",
        |bench| two(bench, lines(), with("note", Int32Array::from_value(1, 3))),
        &[],
    ),
    works(
        "a column less in a later file",
        |bench| two(bench, with("note", Int32Array::from_value(1, 3)), lines()),
        &[],
    ),
    works(
        "columns in another order in a later file",
        |bench| two(bench, lines(), lines().into_iter().rev().collect()),
        &[],
    ),
    refused(
        "a column of another type in a later file",
        |bench| two(bench, lines(), with("quantity", StringArray::from_iter_values(["1", "2", "3"]))),
        &[],
        &["quantity", "in/a.parquet", "in/b.parquet", "Int32", "Utf8"],
    ),
    refused(
        "times with a zone in a later file",
        |bench| {
            let zoned = TimestampMicrosecondArray::from_value(day(0), 3).with_timezone("UTC");
            two(bench, lines(), with("order_ts", zoned))
        },
        &[],
        &["order_ts", "in/a.parquet", "in/b.parquet"],
    ),
    refused(
        "no order ids in a later file",
        |bench| two(bench, lines(), without("order_id")),
        &[],
        &["3 lines have values that cannot be used (order_id: 3 lines, such as missing)"],
    ),
    refused(
        "a number as time",
        |bench| column(bench, "order_ts", Int64Array::from_value(1_704_067_200, 3)),
        &[],
        &["a time cannot be made from Int64", "map a SQL expression", "key: input.columns.order_ts"],
    ),
    refused(
        "a truth value as time",
        |bench| column(bench, "order_ts", BooleanArray::from(vec![true; 3])),
        &[],
        &["a time cannot be made from Boolean", "key: input.columns.order_ts"],
    ),
    refused(
        "a time of day as time",
        |bench| column(bench, "order_ts", Time64MicrosecondArray::from_value(1, 3)),
        &[],
        &["a time cannot be made from Time64", "key: input.columns.order_ts"],
    ),
    refused(
        "a truth value as money",
        |bench| column(bench, "amount", BooleanArray::from(vec![true; 3])),
        &[],
        &["a number cannot be made from Boolean", "key: input.columns.amount"],
    ),
    refused(
        "a date as quantity",
        |bench| column(bench, "quantity", Date32Array::from_value(19_724, 3)),
        &[],
        &["a number cannot be made from Date32", "key: input.columns.quantity"],
    ),
    refused(
        "bytes as price",
        |bench| column(bench, "unit_price", BinaryArray::from_iter_values(["1", "2", "3"])),
        &[],
        &["a number cannot be made from Binary", "key: input.columns.unit_price"],
    ),
    refused(
        "a struct as id",
        |bench| {
            let field = Arc::new(Field::new("number", DataType::Int32, true));
            let number: ArrayRef = Arc::new(Int32Array::from_value(1, 3));
            column(bench, "order_id", StructArray::from(vec![(field, number)]))
        },
        &[],
        &["an id cannot be made from Struct", "key: input.columns.order_id"],
    ),
    refused(
        "a list as id",
        |bench| {
            let lists =
                ListArray::from_iter_primitive::<Int32Type, _, _>((0..3).map(|id| Some(vec![Some(id)])));
            column(bench, "customer_id", lists)
        },
        &[],
        &["an id cannot be made from List", "key: input.columns.customer_id"],
    ),
    refused(
        "a list as item",
        |bench| {
            let lists =
                ListArray::from_iter_primitive::<Int32Type, _, _>((0..3).map(|id| Some(vec![Some(id)])));
            column(bench, "item_id", lists)
        },
        &["--select", "rules"],
        &["an id cannot be made from List", "key: input.columns.item_id"],
    ),
    refused(
        "sixteen bytes as id",
        |bench| {
            column(
                bench,
                "order_id",
                FixedSizeBinaryArray::try_from_iter(["0123456789abcdef"; 3].iter()).unwrap(),
            )
        },
        &[],
        &["an id cannot be made from FixedSizeBinary(16)", "key: input.columns.order_id"],
    ),
    refused(
        "a dictionary of numbers as id",
        |bench| {
            let keys = Int32Array::from_iter_values([0, 1, 2]);
            let numbers = Arc::new(Int64Array::from_iter_values([7, 8, 9]));
            column(bench, "order_id", DictionaryArray::<Int32Type>::new(keys, numbers))
        },
        &[],
        &["an id cannot be made from Dictionary", "key: input.columns.order_id"],
    ),
    refused(
        "a column of ours twice",
        |bench| {
            let again = ("order_id", strings(["7", "8", "9"]));
            parquet(bench, "in.parquet", lines().into_iter().chain([again]).collect())
        },
        &[],
        &["two columns have the same name", "order_id", "BENCH/in.parquet"],
    ),
    refused(
        "a column in another case",
        |bench| {
            let mut columns = lines();
            columns[0].0 = "Order_ID";
            parquet(bench, "in.parquet", columns)
        },
        &[],
        &[
            "there is no column order_id",
            "map it with input.columns.order_id",
            "there are: Order_ID, item_id",
        ],
    ),
    refused(
        "no customers",
        |bench| parquet(bench, "in.parquet", without("customer_id")),
        &[],
        &[
            "there is no column customer_id, which rfm needs",
            "--select rules",
            "there are: order_id, item_id, order_ts",
        ],
    ),
    refused(
        "no prices",
        |bench| parquet(bench, "in.parquet", without("unit_price")),
        &[],
        &["there is no column unit_price or amount, which rfm needs", "input.columns.unit_price"],
    ),
    refused(
        "a partition that is named as a column",
        |bench| {
            parquet(bench, "in/order_id=1/a.parquet", lines());
            bench.text("in")
        },
        &[],
        &["two columns have the same name", "order_id", "BENCH/in"],
    ),
    refused(
        "a partition within one of its name",
        |bench| {
            parquet(bench, "in/year=2023/year=2024/a.parquet", lines());
            bench.text("in")
        },
        &[],
        &["two columns have the same name", "year", "BENCH/in"],
    ),
    refused(
        "partitions of other keys",
        |bench| {
            parquet(bench, "in/month=1/a.parquet", lines());
            parquet(bench, "in/year=2024/a.parquet", lines());
            bench.text("in")
        },
        &[],
        &["a file lies outside the partitions by month", "in/year=2024/a.parquet", "key: input.partitions"],
    ),
    refused(
        "partitions of another depth",
        |bench| {
            parquet(bench, "in/year=2023/a.parquet", lines());
            parquet(bench, "in/year=2024/month=1/a.parquet", lines());
            bench.text("in")
        },
        &[],
        &["in/year=2024/month=1/a.parquet", "key: input.partitions"],
    ),
    refused(
        "a file beside the partitions",
        |bench| {
            parquet(bench, "in/a.parquet", lines());
            parquet(bench, "in/year=2024/a.parquet", lines());
            bench.text("in")
        },
        &[],
        &["in/year=2024/a.parquet", "key: input.partitions"],
    ),
    refused(
        "partitions that there are not",
        |bench| {
            parquet(bench, "in/year=2024/a.parquet", lines());
            bench.text("in")
        },
        &["--set", "input.partitions=[\"month\"]"],
        &["a file lies outside the partitions by month", "in/year=2024/a.parquet", "key: input.partitions"],
    ),
    refused(
        "a partition whose value is no date",
        |bench| {
            parquet(bench, "in/day=yesterday/a.parquet", lines());
            bench.text("in")
        },
        &["--set", "input.columns.order_ts=day"],
        &["3 lines have values that cannot be used (order_ts: 3 lines, such as 'yesterday')"],
    ),
    refused(
        "a partition of lines without a date",
        |bench| {
            parquet(bench, "in/day=__HIVE_DEFAULT_PARTITION__/a.parquet", lines());
            bench.text("in")
        },
        &["--set", "input.columns.order_ts=day"],
        &["3 lines have values that cannot be used (order_ts: 3 lines, such as missing)"],
    ),
];

#[test]
fn columns_and_partitions_that_do_not_fit_are_named() {
    all_hold(SCHEMAS);
}
