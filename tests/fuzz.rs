//! What nobody would write on purpose: configuration, expressions and states of aggregates at random are refused or work, and never
//! break the process.
//!
//! `REGULARS_FUZZ_CASES=1000000 cargo test --release --test fuzz` tries as many of each; a few hundred without it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Int64Array, ListArray, StructArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{AggregateUDF, EmitTo, Expr};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{col, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::scalar::ScalarValue;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regulars::config::keys::KEYS;
use regulars::config::{Arguments, Config};
use regulars::error::ErrorKind;
use regulars::{source, udaf};

fn cases() -> ProptestConfig {
    let cases = std::env::var("REGULARS_FUZZ_CASES").map_or(300, |cases| cases.parse().unwrap());
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 1000, ..ProptestConfig::default() }
}

/// Texts that a key may be given: what some key takes, and what none does.
fn value() -> impl Strategy<Value = String> {
    let known = vec![
        "true",
        "0",
        "1",
        "-1",
        "0.3",
        "1e400",
        "nan",
        "inf",
        "9223372036854775807",
        "\"\"",
        "[]",
        "['a', '']",
        "[1, 2.5]",
        "[3, 1]",
        "{ recency = 1 }",
        "{ recency = \"fixed\", frequency = 2 }",
        "run_date + 1 day",
        "run_date + 99999999999 days",
        "2024-02-30",
        "2024-02-29",
        "365 days",
        "0 days",
        "quantile",
        "fixed",
        "ntile",
        "grid",
        "braze",
        "x.toml",
        "x.parquet",
        "24h",
        "8GiB",
        "99999999999GiB",
        "Europe/London",
        "Mars/Olympus",
        "s3://bucket/x",
        "ftp://x",
        "ballista",
        "delta",
        "zstd",
        "bh",
        "maximal",
        "hmac-sha256",
    ];
    prop_oneof![
        prop::sample::select(known).prop_map(str::to_owned),
        ".{0,20}",
        "[\\[\\]{}'\",=0-9a-z. ]{0,20}"
    ]
}

fn assignment() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        8 => (0..KEYS.len()).prop_map(|place| KEYS[place].name.to_owned()),
        1 => "[a-z_.]{0,16}",
    ];
    (name, value()).prop_map(|(name, value)| format!("{name}={value}"))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_configuration_is_taken_or_refused(set in prop::collection::vec(assignment(), 0..6), date in prop::option::of("[0-9-]{8,12}")) {
        let arguments = Arguments { run_date: date, set, ..Arguments::default() };
        if let Err(error) = Config::load(&arguments) {
            prop_assert_eq!(error.kind(), ErrorKind::Config, "{}", error);
        }
    }
}

/// A configuration file as the README has it, with some of its bytes changed.
static EXAMPLE: LazyLock<String> = LazyLock::new(|| {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
});

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_configuration_file_is_taken_or_refused(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = EXAMPLE.clone().into_bytes();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let arguments = Arguments { config: Some(file.path().to_owned()), ..Arguments::default() };
        if let Err(error) = Config::load(&arguments) {
            prop_assert_eq!(error.kind(), ErrorKind::Config, "{}", error);
        }
    }
}

/// Columns for expressions, over no rows.
static FRAME: LazyLock<(tokio::runtime::Runtime, DataFrame)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Config::load(&Arguments::default()).unwrap().engine;
    let context: SessionContext = regulars::session::embedded(&engine).unwrap();
    let lines = "SELECT 1 AS order_id, 'a' AS item_id, 2.5 AS amount, now() AS order_ts WHERE false";
    let frame = runtime.block_on(context.sql(lines)).unwrap();
    (runtime, frame)
});

fn expression() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "order_id",
        "item_id",
        "amount",
        "order_ts",
        "'a'",
        "1",
        "-1",
        "2.5",
        "NULL",
        "true",
        "(",
        ")",
        ",",
        "=",
        "<",
        ">=",
        "+",
        "*",
        "/",
        "%",
        "||",
        "AND",
        "OR",
        "NOT",
        "IS",
        "IN",
        "LIKE",
        "BETWEEN",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "CAST(",
        "AS INT)",
        "DATE '2024-01-01'",
        "INTERVAL '1' DAY",
        "sum(",
        "count(*)",
        "max(",
        "OVER",
        "(SELECT 1)",
        "EXISTS",
        "(SELECT",
        "FROM",
        "input",
        "'/etc/passwd'",
        ";",
        "DROP TABLE",
        "--",
        "/*",
        "*/",
        "lower(",
        "row_number()",
        "[1]",
        "{",
        "}",
        "$1",
        "$x",
        "@",
        "\\",
        "\"",
        "'",
        "unnest(",
        "random()",
        "::",
        "::int",
        "[",
    ]);
    prop_oneof![prop::collection::vec(word, 1..9).prop_map(|words| words.join(" ")), ".{0,24}"]
}

fn reads_elsewhere(expr: &Expr) -> bool {
    let mut found = false;
    expr.apply(|part| {
        let elsewhere = matches!(
            part,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::Exists(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
        );
        found |= elsewhere;
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    found
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_expression_is_over_one_line_or_refused(text in expression()) {
        let (runtime, frame) = &*FRAME;
        if let Ok(predicate) = source::predicate(frame, &text, "input.filter") {
            prop_assert!(!reads_elsewhere(&predicate), "{text} became {predicate}");
            // it may fail, but neither break nor hang
            let filtered = frame.clone().filter(predicate);
            let _ = filtered.map(|filtered| runtime.block_on(filtered.collect()));
        }
    }
}

/// An aggregate, the types of its arguments and the literals that come last.
fn aggregates() -> Vec<(&'static str, Vec<DataType>, Vec<ScalarValue>)> {
    let money = DataType::Decimal128(38, 4);
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let items = DataType::List(Arc::new(Field::new_list_field(DataType::UInt32, true)));
    let bins = || vec![ScalarValue::Int64(Some(4))];
    vec![
        ("basket", vec![DataType::UInt32], vec![]),
        ("customer_orders", vec![DataType::Int64, time.clone(), money.clone()], vec![]),
        ("customer_orders", vec![DataType::Utf8View, DataType::Date32, money.clone()], vec![]),
        ("distinct_count", vec![DataType::Int64], vec![]),
        ("distinct_count", vec![DataType::Utf8View], vec![]),
        ("value_counts", vec![DataType::Int64], vec![]),
        ("value_counts", vec![DataType::Utf8View], vec![]),
        ("item_counts", vec![items.clone()], vec![]),
        ("pair_counts", vec![items.clone()], bins()),
        ("maximal_sets", vec![items, DataType::Int64], vec![]),
        ("part_sum", vec![DataType::Int64], vec![]),
        ("part_sum", vec![money.clone()], vec![]),
        ("quantile_edges", vec![DataType::Int64], bins()),
        ("quantile_edges", vec![DataType::Float64], bins()),
        ("quantile_edges", vec![money], bins()),
    ]
}

fn expression_of(name: &str, types: &[DataType], literals: &[ScalarValue]) -> AggregateFunctionExpr {
    let function: Arc<AggregateUDF> =
        udaf::all().into_iter().find(|function| function.name() == name).unwrap().into();
    let all = types.iter().cloned().chain(literals.iter().map(ScalarValue::data_type));
    let fields: Vec<Field> =
        all.enumerate().map(|(place, data_type)| Field::new(format!("a{place}"), data_type, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = (0..types.len()).map(|place| col(&format!("a{place}"), &schema).unwrap());
    let arguments = columns.chain(literals.iter().map(|literal| lit(literal.clone()))).collect();
    AggregateExprBuilder::new(function, arguments).schema(schema).alias(name).build().unwrap()
}

/// An array for a field with values at random, mostly small ones, and nulls where it may have them.
fn array(field: &Field, rows: usize, random: &mut ChaCha8Rng) -> ArrayRef {
    let nulls = (0..rows).map(|_| !field.is_nullable() || random.random_bool(0.9)).collect::<Vec<_>>();
    match field.data_type() {
        DataType::List(item) => {
            let mut offsets = vec![0_i32];
            for _ in 0..rows {
                offsets.push(offsets[offsets.len() - 1] + random.random_range(0..4));
            }
            let values = array(item, offsets[rows] as usize, random);
            let nulls = Some(NullBuffer::from(nulls));
            Arc::new(ListArray::new(Arc::clone(item), OffsetBuffer::new(offsets.into()), values, nulls))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| array(field, rows, random)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, Some(NullBuffer::from(nulls))))
        }
        other => {
            let numbers: Int64Array = nulls
                .iter()
                .map(|is_valid| {
                    let number = match random.random_range(0..8) {
                        // more than any count will be, though their sum is a number
                        0 => 1 << 50,
                        1 => -(1 << 50),
                        2 => -1,
                        _ => random.random_range(0..6),
                    };
                    is_valid.then_some(number)
                })
                .collect();
            let cast = |numbers| cast(numbers, other).unwrap();
            let fitting = cast(&numbers);
            // what does not fit became null
            if fitting.null_count() == 0 || field.is_nullable() {
                fitting
            } else {
                cast(&Int64Array::from(vec![1; rows]))
            }
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_state_is_merged_or_refused(which in any::<prop::sample::Index>(), seed in any::<u64>()) {
        let aggregates = aggregates();
        let (name, types, literals) = &aggregates[which.index(aggregates.len())];
        let expr = expression_of(name, types, literals);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let rows = random.random_range(0..6);
        let fields = expr.state_fields().unwrap();
        let state: Vec<ArrayRef> = fields.iter().map(|field| array(field, rows, &mut random)).collect();
        let mut single = expr.create_accumulator().unwrap();
        if single.merge_batch(&state).is_ok() {
            let _ = single.evaluate();
        }
        if expr.groups_accumulator_supported() {
            let groups: Vec<usize> = (0..rows).map(|_| random.random_range(0..3)).collect();
            let mut grouped = expr.create_groups_accumulator().unwrap();
            if grouped.merge_batch(&state, &groups, 3).is_ok() {
                prop_assert!(grouped.size() > 0);
                let _ = grouped.evaluate(EmitTo::First(1)).and_then(|_| grouped.state(EmitTo::All));
            }
        }
    }
}
