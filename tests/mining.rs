//! The whole job against a brute-force Apriori that looks at every itemset and every rule of small random baskets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;
use proptest::test_runner::Config as Cases;
use regulars::config::Arguments;
use support::{Bench, rows, run};

type Items = Vec<String>;

/// Every frequent itemset of up to `max_length` items with the number of baskets that hold it.
fn brute_force(baskets: &[BTreeSet<String>], min_count: usize, max_length: usize) -> BTreeMap<Items, usize> {
    let items: Vec<&String> = baskets.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    (1_u32..1 << items.len())
        .map(|mask| {
            (0..items.len())
                .filter(|bit| mask >> bit & 1 == 1)
                .map(|bit| items[bit].clone())
                .collect::<Items>()
        })
        .filter(|itemset| max_length == 0 || itemset.len() <= max_length)
        .map(|itemset| {
            let count =
                baskets.iter().filter(|basket| itemset.iter().all(|item| basket.contains(item))).count();
            (itemset, count)
        })
        .filter(|(_, count)| *count >= min_count)
        .collect()
}

/// The counts that a rule is measured by.
#[derive(Debug, PartialEq)]
struct Counted {
    antecedent: usize,
    consequent: usize,
    both: usize,
}

fn brute_force_rules(
    itemsets: &BTreeMap<Items, usize>,
    baskets: usize,
    min_confidence: f64,
    min_lift: f64,
    max_consequent: usize,
) -> BTreeMap<(Items, Items), Counted> {
    let mut rules = BTreeMap::new();
    for (itemset, both) in itemsets {
        for mask in 1_u32..(1 << itemset.len()) - 1 {
            let side = |wanted: u32| -> Items {
                (0..itemset.len())
                    .filter(|bit| mask >> bit & 1 == wanted)
                    .map(|bit| itemset[bit].clone())
                    .collect()
            };
            let (antecedents, consequents) = (side(0), side(1));
            let (antecedent, consequent) = (itemsets[&antecedents], itemsets[&consequents]);
            let confidence = *both as f64 / antecedent as f64;
            let lift = (baskets * both) as f64 / (antecedent * consequent) as f64;
            if consequents.len() <= max_consequent && confidence >= min_confidence && lift >= min_lift {
                rules.insert((antecedents, consequents), Counted { antecedent, consequent, both: *both });
            }
        }
    }
    rules
}

fn list(batch: &RecordBatch, column: &str, row: usize) -> Items {
    let strings = batch.column_by_name(column).unwrap().as_list::<i32>().value(row);
    datafusion::arrow::compute::cast(&strings, &datafusion::arrow::datatypes::DataType::Utf8)
        .unwrap()
        .as_string::<i32>()
        .iter()
        .map(|item| item.unwrap().to_owned())
        .collect()
}

fn count(batch: &RecordBatch, column: &str, row: usize) -> usize {
    usize::try_from(batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().value(row)).unwrap()
}

/// A measure, or none where it is null.
fn real(batch: &RecordBatch, column: &str, row: usize) -> Option<f64> {
    let values = batch.column_by_name(column).unwrap().as_primitive::<Float64Type>();
    values.is_valid(row).then(|| values.value(row))
}

fn nearly(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) if expected.is_infinite() => found.is_infinite(),
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-12 * expected.abs().max(1e-3),
        (found, expected) => found.is_none() && expected.is_none(),
    }
}

/// Every measure by its textbook formula, from shares or a table of four cells.
fn expected_measures(n: usize, counted: &Counted) -> Vec<(&'static str, Option<f64>)> {
    let n = n as f64;
    let (n1x, nx1, n11) = (counted.antecedent as f64, counted.consequent as f64, counted.both as f64);
    let (n10, n01, n0x, nx0) = (n1x - n11, nx1 - n11, n - n1x, n - nx1);
    let n00 = n - n1x - n01;
    let (a, b, both, confidence) = (n1x / n, nx1 / n, n11 / n, n11 / n1x);
    let ratio = |top: f64, bottom: f64| match (top > 0.0, bottom > 0.0) {
        (_, true) => Some(top / bottom),
        (true, false) => Some(f64::INFINITY),
        (false, false) => None,
    };
    let margins = n1x * n0x * nx1 * nx0;
    let leverage = (n * n11 - n1x * nx1) / (n * n);
    let zhang = (both * (1.0 - a)).max(a * (b - both));
    let chi_squared = (margins > 0.0).then(|| n * (n11 * n00 - n10 * n01).powi(2) / margins);
    let certainty = match confidence.total_cmp(&b) {
        _ if leverage == 0.0 => 0.0,
        std::cmp::Ordering::Greater => (confidence - b) / (1.0 - b),
        _ => (confidence - b) / b,
    };
    let choose = |n: usize, k: usize| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
    let (rows, of_a, of_b) = (n as usize, counted.antecedent, counted.consequent);
    let fisher: f64 = (counted.both..=of_a.min(of_b))
        .map(|both| choose(of_b, both) * choose(rows - of_b, of_a - both) / choose(rows, of_a))
        .sum();
    vec![
        ("antecedent_support", Some(a)),
        ("consequent_support", Some(b)),
        ("support", Some(both)),
        ("confidence", Some(confidence)),
        ("lift", Some(confidence / b)),
        ("leverage", Some(leverage)),
        ("conviction", ratio(n1x * nx0, n * n10)),
        ("zhangs_metric", Some(if zhang == 0.0 { 0.0 } else { (both - a * b) / zhang })),
        ("jaccard", Some(n11 / (n1x + nx1 - n11))),
        ("cosine", Some(both / (a * b).sqrt())),
        ("kulczynski", Some(f64::midpoint(n11 / n1x, n11 / nx1))),
        ("imbalance_ratio", Some((a - b).abs() / (a + b - both))),
        ("certainty", Some(certainty)),
        ("added_value", Some(confidence - b)),
        ("odds_ratio", ratio(n11 * n00, n10 * n01)),
        ("phi", (margins > 0.0).then(|| (n11 * n00 - n10 * n01) / margins.sqrt())),
        ("chi_squared", chi_squared),
        ("fishers_exact_p", Some(fisher)),
    ]
}

fn baskets() -> impl Strategy<Value = Vec<BTreeSet<String>>> {
    let item =
        prop::sample::select(vec!["a", "b", "c, \"d\"", "é", "f\\", "10", "9"]).prop_map(str::to_owned);
    prop::collection::vec(prop::collection::btree_set(item, 1..6), 1..25)
}

/// The baskets as CSV, some items repeated.
fn csv(baskets: &[BTreeSet<String>]) -> String {
    let mut text = "order_id,item_id\n".to_owned();
    for (order, basket) in baskets.iter().enumerate() {
        for (place, item) in basket.iter().enumerate() {
            for _ in 0..=(order + place) % 2 {
                writeln!(text, "{order},\"{}\"", item.replace('"', "\"\"")).unwrap();
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(Cases { cases: 20, failure_persistence: None, ..Cases::default() })]

    #[test]
    fn itemsets_and_rules_are_those_of_brute_force(
        baskets in baskets(),
        min_support in prop::sample::select(vec![0.05, 0.1, 0.28, 0.5, 1.0]),
        max_length in prop::sample::select(vec![0_usize, 2, 3]),
        max_consequent in 1_usize..3,
        min_confidence in prop::sample::select(vec![0.0, 0.3, 0.75, 1.0]),
        min_lift in prop::sample::select(vec![0.0, 1.0, 1.2]),
        partitions in 1_usize..4,
        algorithm in prop::sample::select(vec!["fp_growth", "apriori"]),
        adjust in prop::sample::select(vec!["none", "bonferroni", "holm", "bh"]),
    ) {
        let max_consequent = if max_length == 2 { 1 } else { max_consequent };
        let bench = Bench::new();
        let input = bench.write("baskets.csv", &csv(&baskets));
        let set = [
            format!("rules.min_support={min_support}"),
            format!("rules.max_length={max_length}"),
            format!("rules.max_consequent_length={max_consequent}"),
            format!("rules.min_confidence={min_confidence}"),
            format!("rules.min_lift={min_lift}"),
            format!("engine.target_partitions={partitions}"),
            "engine.batch_size=3".to_owned(),
            format!("rules.algorithm={algorithm}"),
            format!("rules.adjust={adjust}"),
        ];
        let arguments = bench.arguments(&input, &set.iter().map(String::as_str).collect::<Vec<_>>());
        let arguments = Arguments { select: vec!["rules".to_owned()], ..arguments };
        let min_count = (1..=baskets.len()).find(|count| *count as f64 / baskets.len() as f64 >= min_support).unwrap();
        let itemsets = brute_force(&baskets, min_count, max_length);
        let rules = brute_force_rules(&itemsets, baskets.len(), min_confidence, min_lift, max_consequent);

        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (found_itemsets, found_rules) = runtime.block_on(async {
            run(&arguments).await.unwrap();
            (rows(&arguments, "SELECT * FROM frequent_itemsets").await, rows(&arguments, "SELECT * FROM association_rules").await)
        });
        let mut found = BTreeMap::new();
        for batch in &found_itemsets {
            for row in 0..batch.num_rows() {
                found.insert(list(batch, "itemset", row), count(batch, "support_count", row));
            }
        }
        prop_assert_eq!(&found, &itemsets);

        let mut found = BTreeSet::new();
        let mut p_values = Vec::new();
        for batch in &found_rules {
            for row in 0..batch.num_rows() {
                let rule = (list(batch, "antecedents", row), list(batch, "consequents", row));
                let Some(expected) = rules.get(&rule) else { return Err(TestCaseError::fail(format!("{rule:?} is no rule"))) };
                let counted = Counted {
                    antecedent: count(batch, "antecedent_count", row),
                    consequent: count(batch, "consequent_count", row),
                    both: count(batch, "support_count", row),
                };
                prop_assert_eq!(&counted, expected);
                prop_assert_eq!(count(batch, "basket_count", row), baskets.len());
                for (measure, expected) in expected_measures(baskets.len(), expected) {
                    let found = real(batch, measure, row);
                    prop_assert!(nearly(found, expected), "{} of {:?}: {:?}, not {:?}", measure, rule, found, expected);
                }
                let p = real(batch, "fishers_exact_p", row).unwrap();
                let log = real(batch, "fishers_exact_log10_p", row);
                prop_assert!(nearly(log, Some(p.log10())), "the logarithm of {:?}", rule);
                p_values.push((p, real(batch, "fishers_exact_q", row)));
                let redundant = batch.column_by_name("is_redundant").unwrap().as_boolean().value(row);
                prop_assert_eq!(redundant, is_redundant(&baskets, &rule), "redundancy of {:?}", rule);
                found.insert(rule);
            }
        }
        prop_assert_eq!(found, rules.into_keys().collect::<BTreeSet<_>>());

        let splits = |length: usize| (1..length).filter(|k| *k <= max_consequent).map(|k| choose(length, k)).sum::<f64>();
        let tested: f64 = itemsets.keys().map(|itemset| splits(itemset.len())).sum();
        for (found, expected) in p_values.iter().map(|(_, q)| *q).zip(adjusted(&p_values, adjust, tested)) {
            prop_assert!(nearly(found, expected), "{} of {:?}: {:?}, not {:?}", adjust, p_values, found, expected);
        }
    }

    #[test]
    fn wanted_itemsets_and_rules_are_those_of_brute_force(
        baskets in baskets(),
        min_support in prop::sample::select(vec![0.05, 0.1, 0.28, 0.5]),
        max_length in prop::sample::select(vec![0_usize, 2, 3]),
        min_length in 1_usize..3,
        target in prop::sample::select(vec!["closed", "maximal", "frequent"]),
        algorithm in prop::sample::select(vec!["fp_growth", "apriori"]),
    ) {
        let bench = Bench::new();
        let input = bench.write("baskets.csv", &csv(&baskets));
        let itemsets_alone = target != "frequent";
        let set = [
            format!("rules.min_support={min_support}"),
            format!("rules.max_length={max_length}"),
            format!("rules.min_length={min_length}"),
            format!("rules.target={target}"),
            format!("rules.algorithm={algorithm}"),
            "rules.items=item_id <> '10'".to_owned(),
            "rules.antecedents=['a', '9', 'f\\', 'z']".to_owned(),
            "rules.consequents=item_id <> 'a'".to_owned(),
            "rules.min_confidence=0".to_owned(),
            "rules.min_lift=0".to_owned(),
            "rules.max_consequent_length=1".to_owned(),
            "rules.redundant=drop".to_owned(),
            "rules.where=confidence > 0.2 and support_count > 1".to_owned(),
        ];
        let arguments = bench.arguments(&input, &set.iter().map(String::as_str).collect::<Vec<_>>());
        let select = if itemsets_alone { "itemsets" } else { "rules" };
        let arguments = Arguments { select: vec![select.to_owned()], ..arguments };

        let min_count = (1..=baskets.len()).find(|count| *count as f64 / baskets.len() as f64 >= min_support).unwrap();
        let wanted: Vec<BTreeSet<String>> =
            baskets.iter().map(|basket| basket.iter().filter(|item| *item != "10").cloned().collect()).collect();
        let all = brute_force(&wanted, min_count, 0);
        let is_in = |small: &Items, large: &Items| small != large && small.iter().all(|item| large.contains(item));
        let expected: BTreeMap<Items, usize> = all
            .iter()
            .filter(|(itemset, count)| match target {
                "closed" => !all.iter().any(|(other, support)| support == *count && is_in(itemset, other)),
                "maximal" => !all.keys().any(|other| is_in(itemset, other)),
                _ => true,
            })
            .filter(|(itemset, _)| itemset.len() >= min_length && (max_length == 0 || itemset.len() <= max_length))
            .map(|(itemset, count)| (itemset.clone(), *count))
            .collect();

        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (found_itemsets, found_rules) = runtime.block_on(async {
            run(&arguments).await.unwrap();
            let rules = if itemsets_alone { vec![] } else { rows(&arguments, "SELECT * FROM association_rules").await };
            (rows(&arguments, "SELECT * FROM frequent_itemsets").await, rules)
        });
        let mut found = BTreeMap::new();
        for batch in &found_itemsets {
            for row in 0..batch.num_rows() {
                found.insert(list(batch, "itemset", row), count(batch, "support_count", row));
            }
        }
        prop_assert_eq!(&found, &expected);
        if itemsets_alone {
            return Ok(());
        }

        let within_length: BTreeMap<Items, usize> = all
            .into_iter()
            .filter(|(itemset, _)| max_length == 0 || itemset.len() <= max_length)
            .collect();
        let expected: BTreeSet<(Items, Items)> = brute_force_rules(&within_length, baskets.len(), 0.0, 0.0, 1)
            .into_iter()
            .filter(|((antecedent, consequent), counted)| {
                antecedent.len() + consequent.len() >= min_length
                    && antecedent.iter().all(|item| ["a", "9", "f\\"].contains(&item.as_str()))
                    && consequent.iter().all(|item| item != "a")
                    && counted.both as f64 / counted.antecedent as f64 > 0.2
                    && counted.both > 1
            })
            .map(|(rule, _)| rule)
            .filter(|rule| !is_redundant(&wanted, rule))
            .collect();
        let mut found = BTreeSet::new();
        for batch in &found_rules {
            for row in 0..batch.num_rows() {
                found.insert((list(batch, "antecedents", row), list(batch, "consequents", row)));
            }
        }
        prop_assert_eq!(found, expected);
    }
}

fn choose(n: usize, k: usize) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

/// Whether a rule with fewer items in the antecedent, or none, has at least the confidence, by counting baskets.
fn is_redundant(baskets: &[BTreeSet<String>], (antecedent, consequent): &(Items, Items)) -> bool {
    let count = |items: &[&String]| {
        baskets.iter().filter(|basket| items.iter().all(|item| basket.contains(*item))).count()
    };
    let confidence = |mask: u32| {
        let general: Vec<&String> =
            (0..antecedent.len()).filter(|bit| mask >> bit & 1 == 1).map(|bit| &antecedent[bit]).collect();
        let both: Vec<&String> = general.iter().copied().chain(consequent).collect();
        (count(&both), count(&general))
    };
    let whole = (1 << antecedent.len()) - 1;
    let (both, alone) = confidence(whole);
    (0..whole).map(confidence).any(|(n, d)| n * alone >= both * d)
}

/// p-values adjusted as the textbook says, in the order given.
fn adjusted(p_values: &[(f64, Option<f64>)], adjust: &str, tested: f64) -> Vec<Option<f64>> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].0.total_cmp(&p_values[*b].0));
    let mut adjusted = vec![None; p_values.len()];
    for (rank, &place) in order.iter().enumerate() {
        let bound = |rank: usize| {
            let p = p_values[order[rank]].0;
            match adjust {
                "bonferroni" => tested * p,
                "holm" => (tested - rank as f64) * p,
                _ => tested * p / (rank + 1) as f64,
            }
        };
        adjusted[place] = match adjust {
            "none" => None,
            "bonferroni" => Some(bound(rank)),
            "holm" => (0..=rank).map(bound).reduce(f64::max),
            _ => (rank..order.len()).map(bound).reduce(f64::min),
        }
        .map(|q| q.min(1.0));
    }
    adjusted
}
