//! The aggregates give the same answer however their input is split, ordered, converted, emitted and merged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, StringViewArray, UInt32Array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, Schema, UInt32Type,
};
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{col, lit};
use datafusion::scalar::ScalarValue;
use proptest::prelude::*;
use regulars::udaf::{self, Candidates};

fn aggregate(name: &str, arguments: &[ArrayRef]) -> AggregateFunctionExpr {
    with_literals(name, arguments, &[])
}

/// An aggregate over columns, the last of which are literals.
fn with_literals(name: &str, arguments: &[ArrayRef], literals: &[ScalarValue]) -> AggregateFunctionExpr {
    let function: Arc<AggregateUDF> =
        udaf::all().into_iter().find(|function| function.name() == name).unwrap().into();
    let fields: Vec<Field> = arguments
        .iter()
        .enumerate()
        .map(|(index, array)| Field::new(format!("a{index}"), array.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let columns =
        (0..arguments.len() - literals.len()).map(|index| col(&format!("a{index}"), &schema).unwrap());
    let columns = columns.chain(literals.iter().map(|value| lit(value.clone()))).collect();
    AggregateExprBuilder::new(function, columns).schema(schema).alias(name).build().unwrap()
}

/// One row of input for the grouped aggregates.
#[derive(Debug, Clone)]
struct Row {
    group: usize,
    item: Option<u32>,
    order: Option<u8>,
    day: Option<i32>,
    amount: Option<i64>,
    passes: Option<bool>,
}

fn row() -> impl Strategy<Value = Row> {
    let maybe = |range| prop::option::weighted(0.85, range);
    (
        0usize..5,
        maybe(0u32..6),
        prop::option::weighted(0.85, 0u8..6),
        prop::option::weighted(0.85, -3i32..4),
        prop::option::weighted(0.85, -900i64..900),
        prop::option::weighted(0.9, prop::bool::weighted(0.8)),
    )
        .prop_map(|(group, item, order, day, amount, passes)| Row {
            group,
            item,
            order,
            day,
            amount,
            passes,
        })
}

/// How one part of the input becomes state.
#[derive(Debug, Clone)]
struct Part {
    rows: Vec<Row>,
    converted: bool,
    emitted_first: usize,
    batch: usize,
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let part = (prop::collection::vec(row(), 0..40), any::<bool>(), 0usize..4, 1usize..9)
        .prop_map(|(rows, converted, emitted_first, batch)| Part { rows, converted, emitted_first, batch });
    prop::collection::vec(part, 1..5)
}

type MakeArguments = fn(&[Row]) -> Vec<ArrayRef>;

fn filter_of(rows: &[Row]) -> BooleanArray {
    rows.iter().map(|row| row.passes).collect()
}

/// Numbers groups in the order of their appearance, as the engine does.
fn number(groups: &mut Vec<usize>, group: usize) -> usize {
    groups.iter().position(|known| *known == group).unwrap_or_else(|| {
        groups.push(group);
        groups.len() - 1
    })
}

/// The states of a part's groups, in pieces: the arrays, and the group of each row of theirs.
fn states(
    expr: &AggregateFunctionExpr,
    part: &Part,
    arguments: MakeArguments,
) -> Vec<(Vec<ArrayRef>, Vec<usize>)> {
    let mut accumulator = expr.create_groups_accumulator().unwrap();
    if part.converted {
        let state =
            accumulator.convert_to_state(&arguments(&part.rows), Some(&filter_of(&part.rows))).unwrap();
        return vec![(state, part.rows.iter().map(|row| row.group).collect())];
    }
    let mut groups = Vec::new();
    for rows in part.rows.chunks(part.batch) {
        let numbers: Vec<usize> = rows.iter().map(|row| number(&mut groups, row.group)).collect();
        accumulator.update_batch(&arguments(rows), &numbers, Some(&filter_of(rows)), groups.len()).unwrap();
        assert!(accumulator.size() > 0);
    }
    if part.emitted_first == 0 || part.emitted_first >= groups.len() {
        return vec![(accumulator.state(EmitTo::All).unwrap(), groups)];
    }
    let rest = groups.split_off(part.emitted_first);
    let first = accumulator.state(EmitTo::First(part.emitted_first)).unwrap();
    vec![(first, groups), (accumulator.state(EmitTo::All).unwrap(), rest)]
}

/// The result by group, of all parts merged, and of all rows at once.
fn results(name: &str, parts: &[Part], arguments: MakeArguments) -> [BTreeMap<usize, ScalarValue>; 2] {
    results_of(&aggregate(name, &arguments(&[])), parts, arguments)
}

fn results_of(
    expr: &AggregateFunctionExpr,
    parts: &[Part],
    arguments: MakeArguments,
) -> [BTreeMap<usize, ScalarValue>; 2] {
    let evaluate =
        |accumulator: &mut Box<dyn GroupsAccumulator>, groups: &[usize]| -> BTreeMap<usize, ScalarValue> {
            let values = accumulator.evaluate(EmitTo::All).unwrap();
            groups
                .iter()
                .enumerate()
                .map(|(row, group)| (*group, ScalarValue::try_from_array(&values, row).unwrap()))
                .collect()
        };
    let mut merged = expr.create_groups_accumulator().unwrap();
    let mut groups = Vec::new();
    for (state, of_rows) in parts.iter().rev().flat_map(|part| states(expr, part, arguments)) {
        let numbers: Vec<usize> = of_rows.iter().map(|group| number(&mut groups, *group)).collect();
        merged.merge_batch(&state, &numbers, groups.len()).unwrap();
    }
    let merged = evaluate(&mut merged, &groups);

    let all: Vec<Row> = parts.iter().flat_map(|part| part.rows.clone()).collect();
    let mut direct = expr.create_groups_accumulator().unwrap();
    let mut groups = Vec::new();
    let numbers: Vec<usize> = all.iter().map(|row| number(&mut groups, row.group)).collect();
    direct.update_batch(&arguments(&all), &numbers, Some(&filter_of(&all)), groups.len()).unwrap();
    [merged, evaluate(&mut direct, &groups)]
}

/// A basket of up to two items.
fn small_basket(row: &Row) -> BTreeSet<u32> {
    row.item.into_iter().chain(row.order.map(u32::from)).collect()
}

/// The itemsets of a list of structs of items and their supports, the items in order.
fn itemsets(found: &ScalarValue) -> Vec<(Vec<u32>, i64)> {
    let ScalarValue::List(list) = found else { panic!("no list") };
    let itemsets = list.value(0);
    let itemsets = itemsets.as_struct();
    let (items, supports) =
        (itemsets.column(0).as_list::<i32>(), itemsets.column(1).as_primitive::<Int64Type>());
    (0..itemsets.len())
        .map(|row| {
            let mut items = items.value(row).as_primitive::<UInt32Type>().values().to_vec();
            items.sort_unstable();
            (items, supports.value(row))
        })
        .collect()
}

/// What counts of a group's rows.
fn counted(parts: &[Part], group: usize) -> impl Iterator<Item = &Row> {
    let rows = parts.iter().flat_map(|part| &part.rows);
    rows.filter(move |row| row.group == group && row.passes == Some(true))
}

proptest! {
    #[test]
    fn basket_is_the_set_of_its_items(parts in parts()) {
        let arguments: MakeArguments =
            |rows| vec![Arc::new(rows.iter().map(|row| row.item).collect::<UInt32Array>())];
        for results in results("basket", &parts, arguments) {
            for (group, found) in results {
                let ScalarValue::List(list) = found else { panic!("no list") };
                let items = list.value(0);
                let expected: BTreeSet<u32> = counted(&parts, group).filter_map(|row| row.item).collect();
                prop_assert_eq!(
                    items.as_primitive::<UInt32Type>().values().to_vec(),
                    expected.into_iter().collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn ids_are_counted_one_by_one(parts in parts(), texts in any::<bool>()) {
        let numbers: MakeArguments =
            |rows| vec![Arc::new(rows.iter().map(|row| row.order.map(i64::from)).collect::<Int64Array>())];
        let strings: MakeArguments = |rows| {
            let id = |row: &Row| row.order.map(|order| order.to_string());
            vec![Arc::new(rows.iter().map(id).collect::<StringViewArray>())]
        };
        let arguments = if texts { strings } else { numbers };
        let expected = |group: usize| {
            let mut expected: BTreeMap<String, i64> = BTreeMap::new();
            for order in counted(&parts, group).filter_map(|row| row.order) {
                *expected.entry(order.to_string()).or_default() += 1;
            }
            expected
        };
        for results in results("distinct_count", &parts, arguments) {
            for (group, found) in results {
                prop_assert_eq!(found, ScalarValue::Int64(Some(expected(group).len() as i64)));
            }
        }
        for results in results("value_counts", &parts, arguments) {
            for (group, found) in results {
                let ScalarValue::List(list) = found else { panic!("no list") };
                let counted = list.value(0);
                let counted = counted.as_struct();
                let values = cast(counted.column(0), &DataType::Utf8).unwrap();
                let values = values.as_string::<i32>().iter().map(|value| value.unwrap().to_owned());
                let counts = counted.column(1).as_primitive::<Int64Type>().values().iter().copied();
                let found: Vec<(String, i64)> = values.zip(counts).collect();
                prop_assert_eq!(found.len(), expected(group).len());
                prop_assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected(group));
            }
        }
    }

    #[test]
    fn maximal_sets_are_in_no_other(parts in parts()) {
        let arguments: MakeArguments = |rows| {
            let itemsets = rows.iter().map(|row| Some(small_basket(row).into_iter().map(Some)));
            vec![
                Arc::new(ListArray::from_iter_primitive::<UInt32Type, _, _>(itemsets)),
                Arc::new(rows.iter().map(|row| row.amount.unwrap_or(0)).collect::<Int64Array>()),
            ]
        };
        for results in results("maximal_sets", &parts, arguments) {
            for (group, found) in results {
                let rows: Vec<&Row> = counted(&parts, group).collect();
                let sets: Vec<BTreeSet<u32>> = rows.iter().map(|row| small_basket(row)).collect();
                let is_maximal = |set: &&BTreeSet<u32>| !sets.iter().any(|other| other != *set && set.is_subset(other));
                let mut expected: Vec<Vec<u32>> = sets.iter().filter(is_maximal).map(|set| set.iter().copied().collect()).collect();
                expected.sort();
                let mut found: Vec<Vec<u32>> = itemsets(&found).into_iter().map(|(items, _)| items).collect();
                found.sort();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn itemsets_of_ranks_are_those_whose_rarest_item_lies_there(parts in parts(), min_count in 1i64..4, max_length in 0i64..3) {
        // each row is a chunk of two baskets; the range is from item 2 up to, not with, item 5
        let arguments: MakeArguments = |rows| {
            let chunk = ListArray::from_iter_primitive::<UInt32Type, _, _>(
                rows.iter().flat_map(|row| [small_basket(row), BTreeSet::from([1, 3])]).map(|items| Some(items.into_iter().map(Some))),
            );
            let field = Arc::new(Field::new_list_field(chunk.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(2, rows.len()));
            let number = |number: u32| Arc::new(UInt32Array::from(vec![number; rows.len()])) as ArrayRef;
            let unused = Arc::new(Int64Array::from(vec![0; rows.len()])) as ArrayRef;
            let chunks = ListArray::new(field, offsets, Arc::new(chunk), None);
            vec![Arc::new(chunks), number(2), number(5), Arc::clone(&unused), Arc::clone(&unused), unused]
        };
        let literals = [min_count, max_length, 100].map(|value| ScalarValue::Int64(Some(value)));
        let expr = with_literals("itemsets_of_ranks", &arguments(&[]), &literals);
        for results in results_of(&expr, &parts, arguments) {
            for (group, found) in results {
                let baskets: Vec<BTreeSet<u32>> =
                    counted(&parts, group).flat_map(|row| [small_basket(row), BTreeSet::from([1, 3])]).collect();
                let mut expected = BTreeMap::new();
                for mask in 1_u32..1 << 5 {
                    let items: BTreeSet<u32> = (0..5).filter(|item| mask >> item & 1 == 1).collect();
                    let count = baskets.iter().filter(|basket| items.is_subset(basket)).count() as i64;
                    let fits = max_length == 0 || items.len() as i64 <= max_length;
                    if count >= min_count && fits && items.last().is_some_and(|last| *last >= 2) {
                        expected.insert(items.into_iter().collect::<Vec<_>>(), count);
                    }
                }
                prop_assert_eq!(itemsets(&found).into_iter().collect::<BTreeMap<_, _>>(), expected);
            }
        }
    }

    #[test]
    fn customer_orders_are_counted_by_hand(parts in parts(), texts in any::<bool>(), weighed in any::<bool>()) {
        fn with_ids(ids: ArrayRef, rows: &[Row]) -> Vec<ArrayRef> {
            let amounts = rows.iter().map(|row| row.amount.map(i128::from)).collect::<Decimal128Array>();
            vec![
                ids,
                Arc::new(rows.iter().map(|row| row.day).collect::<Date32Array>()),
                Arc::new(amounts.with_precision_and_scale(38, 4).unwrap()),
            ]
        }
        fn strings(rows: &[Row]) -> Vec<ArrayRef> {
            let order = |row: &Row| row.order.map(|order| format!("order with a name longer than a view {order}"));
            with_ids(Arc::new(rows.iter().map(order).collect::<StringViewArray>()), rows)
        }
        fn numbers(rows: &[Row]) -> Vec<ArrayRef> {
            let order = |row: &Row| row.order.map(|order| i64::from(order) - 3);
            with_ids(Arc::new(rows.iter().map(order).collect::<Int64Array>()), rows)
        }
        fn with_lines(mut arguments: Vec<ArrayRef>, rows: &[Row]) -> Vec<ArrayRef> {
            arguments.push(Arc::new(rows.iter().map(|row| row.item.map(i64::from)).collect::<Int64Array>()));
            arguments
        }
        let arguments: MakeArguments = match (texts, weighed) {
            (true, false) => strings,
            (false, false) => numbers,
            (true, true) => |rows| with_lines(strings(rows), rows),
            (false, true) => |rows| with_lines(numbers(rows), rows),
        };
        for results in results("customer_orders", &parts, arguments) {
            for (group, found) in results {
                let ScalarValue::Struct(found) = found else { panic!("no struct") };
                let days: BTreeSet<i32> = counted(&parts, group).filter_map(|row| row.day).collect();
                let orders: BTreeSet<u8> = counted(&parts, group).filter_map(|row| row.order).collect();
                let amounts: i64 = counted(&parts, group).filter_map(|row| row.amount).sum();
                let date = |column: usize| {
                    let dates = found.column(column).as_primitive::<Date32Type>();
                    dates.is_valid(0).then(|| dates.value(0))
                };
                let count = |column: usize| found.column(column).as_primitive::<Int64Type>().value(0);
                prop_assert_eq!(date(0), days.first().copied());
                prop_assert_eq!(date(1), days.last().copied());
                prop_assert_eq!(count(2), orders.len() as i64);
                prop_assert_eq!(count(3), days.len() as i64);
                let of_orders = counted(&parts, group).filter(|row| row.order.is_some());
                let lines: u32 = of_orders.map(|row| if weighed { row.item.unwrap_or(0) } else { 1 }).sum();
                prop_assert_eq!(count(4), i64::from(lines));
                prop_assert_eq!(found.column(5).as_primitive::<Decimal128Type>().value(0), i128::from(amounts));
            }
        }
    }

    #[test]
    fn part_sums_are_sums_where_they_are_merged(parts in parts()) {
        let wholes: MakeArguments = |rows| vec![Arc::new(rows.iter().map(|row| row.amount).collect::<Int64Array>())];
        let money: MakeArguments = |rows| {
            let amounts = rows.iter().map(|row| row.amount.map(i128::from)).collect::<Decimal128Array>();
            vec![Arc::new(amounts.with_precision_and_scale(38, 2).unwrap())]
        };
        let expected = |group| counted(&parts, group).filter_map(|row| row.amount).reduce(|a, b| a + b);
        for (group, found) in results("part_sum", &parts, wholes).into_iter().flatten() {
            prop_assert_eq!(found, ScalarValue::Int64(expected(group)));
        }
        for (group, found) in results("part_sum", &parts, money).into_iter().flatten() {
            prop_assert_eq!(found, ScalarValue::Decimal128(expected(group).map(i128::from), 38, 2));
        }
    }

    #[test]
    fn quantile_edges_are_those_of_the_sorted_values(
        parts in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, prop_oneof![-20i64..20, 4090i64..4102]), 0..40), 1..5),
        bins in 1i64..8,
    ) {
        type Make<'a> = &'a dyn Fn(&[Option<i64>]) -> ArrayRef;
        let mut sorted: Vec<i64> = parts.iter().flatten().flatten().copied().collect();
        sorted.sort_unstable();
        let steps = (0..=bins).map(|k| k as usize * sorted.len().saturating_sub(1));
        let neighbours: Vec<(i64, i64, i64)> = steps
            .filter(|_| !sorted.is_empty())
            .map(|step| {
                let (place, rest) = (step / bins as usize, step as i64 % bins);
                (sorted[place], sorted[(place + 1).min(sorted.len() - 1)], rest)
            })
            .collect();
        let cents = |part: &[Option<i64>]| {
            let cents: Decimal128Array = part.iter().map(|value| value.map(i128::from)).collect();
            Arc::new(cents.with_precision_and_scale(38, 2).unwrap()) as ArrayRef
        };
        let doubles = |part: &[Option<i64>]| {
            Arc::new(part.iter().map(|value| value.map(|value| value as f64 / 100.0)).collect::<Float64Array>()) as ArrayRef
        };
        let wholes = |part: &[Option<i64>]| Arc::new(part.iter().copied().collect::<Int64Array>()) as ArrayRef;
        let makers: [(Make<'_>, f64); 3] = [(&cents, 100.0), (&doubles, 100.0), (&wholes, 1.0)];
        for (make, unit) in makers {
            let unused = Arc::new(Int64Array::from(Vec::<i64>::new())) as ArrayRef;
            let expr = with_literals("quantile_edges", &[make(&[]), unused], &[ScalarValue::Int64(Some(bins))]);
            let mut total = expr.create_accumulator().unwrap();
            for part in &parts {
                let mut accumulator = expr.create_accumulator().unwrap();
                accumulator.update_batch(&[make(part)]).unwrap();
                let state: Vec<ArrayRef> =
                    accumulator.state().unwrap().iter().map(|value| value.to_array().unwrap()).collect();
                total.merge_batch(&state).unwrap();
            }
            let ScalarValue::Struct(found) = total.evaluate().unwrap() else { panic!("no struct") };
            let values = cast(&found.column(0).as_list::<i32>().value(0), &DataType::Float64).unwrap();
            let edges = found.column(1).as_list::<i32>().value(0);
            let edges = edges.as_primitive::<Float64Type>().values();
            let lower: Vec<f64> = neighbours.iter().map(|(lower, _, _)| *lower as f64 / unit).collect();
            prop_assert_eq!(values.as_primitive::<Float64Type>().values().to_vec(), lower);
            prop_assert_eq!(edges.len(), neighbours.len());
            for (edge, (lower, upper, rest)) in edges.iter().zip(&neighbours) {
                let expected = ((bins - rest) * lower + rest * upper) as f64 / (bins as f64 * unit);
                prop_assert!((edge - expected).abs() < 1e-12, "{edge} {expected}");
            }
        }
    }

    #[test]
    fn counts_over_baskets_add_up_from_any_parts(
        parts in prop::collection::vec(prop::collection::vec(prop::collection::btree_set(0u32..8, 0..6), 0..12), 1..5),
    ) {
        let candidates: Vec<u32> = (0..8).flat_map(|a| (a + 1..8).flat_map(move |b| [a, b])).collect();
        let literal = Candidates::try_new(2, candidates.clone()).unwrap().to_literal();
        let baskets = |part: &[BTreeSet<u32>]| -> ArrayRef {
            Arc::new(ListArray::from_iter_primitive::<UInt32Type, _, _>(
                part.iter().map(|basket| Some(basket.iter().copied().map(Some))),
            ))
        };
        let merged = |name: &str, argument: Option<&ScalarValue>| {
            let arrays = |part: &[BTreeSet<u32>]| {
                let argument = argument.map(|argument| argument.to_array_of_size(part.len()).unwrap());
                [baskets(part)].into_iter().chain(argument).collect::<Vec<_>>()
            };
            let expr = aggregate(name, &arrays(&[]));
            let mut total = expr.create_accumulator().unwrap();
            for part in &parts {
                let mut accumulator = expr.create_accumulator().unwrap();
                for baskets in part.chunks(3) {
                    accumulator.update_batch(&arrays(baskets)).unwrap();
                }
                let state: Vec<ArrayRef> =
                    accumulator.state().unwrap().iter().map(|value| value.to_array().unwrap()).collect();
                total.merge_batch(&state).unwrap();
            }
            let ScalarValue::List(list) = total.evaluate().unwrap() else { panic!("no list") };
            list.value(0)
        };
        let all: Vec<&BTreeSet<u32>> = parts.iter().flatten().collect();
        let count = |pair: &[u32]| all.iter().filter(|basket| pair.iter().all(|item| basket.contains(item))).count() as i64;
        let expected: Vec<(u32, u32, i64)> = candidates.chunks(2).map(|pair| (pair[0], pair[1], count(pair))).collect();

        let counts = merged("candidate_counts", Some(&literal));
        if !all.is_empty() {
            let expected: Vec<i64> = expected.iter().map(|(_, _, count)| *count).collect();
            prop_assert_eq!(counts.as_primitive::<Int64Type>().values().to_vec(), expected);
        }
        let singles = merged("item_counts", None);
        let singles = singles.as_struct();
        let number = |column: usize, row: usize| singles.column(column).as_primitive::<Int64Type>().value(row);
        let found: Vec<(u32, i64, i64)> = (0..singles.len())
            .map(|row| (singles.column(0).as_primitive::<UInt32Type>().value(row), number(1, row), number(2, row)))
            .collect();
        let holding = |item: u32| all.iter().filter(move |basket| basket.contains(&item));
        let of_item = |item: u32| {
            let preceding: usize = holding(item).map(|basket| basket.range(..item).count()).sum();
            (item, holding(item).count() as i64, preceding as i64)
        };
        prop_assert_eq!(found, (0..8).map(of_item).filter(|(_, count, _)| *count > 0).collect::<Vec<_>>());

        let pairs = merged("part_pair_counts", None);
        let pairs = pairs.as_struct();
        let item = |column: usize, row: usize| pairs.column(column).as_primitive::<UInt32Type>().value(row);
        let found: BTreeSet<(u32, u32, i64)> = (0..pairs.len())
            .map(|row| (item(0, row), item(1, row), pairs.column(2).as_primitive::<Int64Type>().value(row)))
            .collect();
        prop_assert_eq!(found.len(), pairs.len());
        prop_assert_eq!(found, expected.into_iter().filter(|(_, _, count)| *count > 0).collect());
    }
}

#[test]
fn a_pair_beyond_the_triangle_is_counted_too() {
    let basket = ListArray::from_iter_primitive::<UInt32Type, _, _>([
        Some([Some(5000), Some(4_000_000_000)]),
        Some([Some(5000), Some(4_000_000_000)]),
    ]);
    let arguments: Vec<ArrayRef> = vec![Arc::new(basket)];
    let mut accumulator = aggregate("part_pair_counts", &arguments).create_accumulator().unwrap();
    accumulator.update_batch(&arguments).unwrap();
    assert_eq!(
        accumulator.evaluate().unwrap().to_string(),
        "[{first: 5000, second: 4000000000, support_count: 2}]"
    );
}

#[test]
fn an_overflowing_sum_is_an_error() {
    let amount = Decimal128Array::from(vec![i128::MAX, 1]).with_data_type(DataType::Decimal128(38, 4));
    let arguments: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from(vec!["1", "2"])),
        Arc::new(Date32Array::from(vec![0, 0])),
        Arc::new(amount),
    ];
    let mut accumulator = aggregate("customer_orders", &arguments).create_accumulator().unwrap();
    assert!(accumulator.update_batch(&arguments).unwrap_err().to_string().contains("decimal(38,4)"));
    let lines = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    let no_amount = Decimal128Array::from(vec![None; 2]).with_data_type(DataType::Decimal128(38, 4));
    let arguments = vec![Arc::clone(&arguments[0]), Arc::clone(&arguments[1]), Arc::new(no_amount), lines];
    let mut accumulator = aggregate("customer_orders", &arguments).create_accumulator().unwrap();
    assert!(accumulator.update_batch(&arguments).unwrap_err().to_string().contains("64 bits"));
}
