//! What is tried on random input: it is taken or refused, and anything else is a panic. Run by the tests with input made at random, and
//! by cargo-fuzz with input that grows by what it reaches.

#![allow(dead_code, reason = "each target tries one of it")]

use std::path::Path;
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
use rand::Rng;
use regulars::config::{Arguments, Config};
use regulars::error::ErrorKind;
use regulars::{source, udaf};

/// Keys with values, and a run date.
pub fn configuration(set: Vec<String>, date: Option<String>) {
    load(&Arguments { run_date: date, set, ..Arguments::default() });
}

/// A file's bytes, written to a file of the caller's.
pub fn configuration_file(bytes: &[u8], file: &Path) {
    std::fs::write(file, bytes).unwrap();
    load(&Arguments { config: Some(file.to_owned()), ..Arguments::default() });
}

fn load(arguments: &Arguments) {
    if let Err(error) = Config::load(arguments) {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
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

/// A predicate over one line.
pub fn expression(text: &str) {
    let (runtime, frame) = &*FRAME;
    if let Ok(predicate) = source::predicate(frame, text, "input.filter") {
        assert!(!reads_elsewhere(&predicate), "{text} became {predicate}");
        // it may fail, but neither break nor hang
        let filtered = frame.clone().filter(predicate);
        let _ = filtered.map(|filtered| runtime.block_on(filtered.collect()));
    }
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

/// A state that no accumulator gave, of an aggregate.
pub fn state(random: &mut impl Rng) {
    let aggregates = aggregates();
    let (name, types, literals) = &aggregates[random.random_range(0..aggregates.len())];
    let expr = expression_of(name, types, literals);
    let rows = random.random_range(0..6);
    let fields = expr.state_fields().unwrap();
    let state: Vec<ArrayRef> = fields.iter().map(|field| array(field, rows, random)).collect();
    let mut single = expr.create_accumulator().unwrap();
    if single.merge_batch(&state).is_ok() {
        let _ = single.evaluate();
    }
    if expr.groups_accumulator_supported() {
        let groups: Vec<usize> = (0..rows).map(|_| random.random_range(0..3)).collect();
        let mut grouped = expr.create_groups_accumulator().unwrap();
        if grouped.merge_batch(&state, &groups, 3).is_ok() {
            assert!(grouped.size() > 0);
            let _ = grouped.evaluate(EmitTo::First(1)).and_then(|_| grouped.state(EmitTo::All));
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
        ("customer_orders", vec![DataType::Int64, time.clone(), money.clone(), DataType::Int64], vec![]),
        ("customer_orders", vec![DataType::Utf8View, DataType::Date32, money.clone()], vec![]),
        ("distinct_count", vec![DataType::Int64], vec![]),
        ("distinct_count", vec![DataType::Utf8View], vec![]),
        ("value_counts", vec![DataType::Int64], vec![]),
        ("value_counts", vec![DataType::Utf8View], vec![]),
        ("item_counts", vec![items.clone()], vec![]),
        ("part_pair_counts", vec![items.clone()], vec![]),
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
fn array(field: &Field, rows: usize, random: &mut impl Rng) -> ArrayRef {
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
