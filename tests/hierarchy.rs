//! Items and their categories, mined together: against every itemset of small baskets, counted one by one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use regulars::config::Arguments;
use support::{Bench, lines, run};

const CATEGORIES: &[(&str, &str)] = &[
    ("ale", "beer"),
    ("stout", "beer"),
    ("beer", "drinks"),
    ("milk", "drinks"),
    ("ale", "local"),
    ("bread", "bakery"),
];

const ITEMS: [&str; 6] = ["ale", "stout", "milk", "bread", "eggs", "beer"];

/// Categories of an item at every level.
fn ancestors(item: &str) -> BTreeSet<String> {
    let parents = CATEGORIES.iter().filter(|(child, _)| *child == item).map(|(_, parent)| *parent);
    parents.flat_map(|parent| ancestors(parent).into_iter().chain([parent.to_owned()])).collect()
}

struct Shop {
    bench: Bench,
    input: String,
    categories: String,
    baskets: Vec<BTreeSet<String>>,
}

/// Baskets of items; `beer` is sold as such, too, beside being the category of two items.
fn shop() -> Shop {
    let bench = Bench::new();
    let mut csv = String::from("order_id,item_id,store\n");
    let mut baskets = Vec::new();
    let mut state = 11_u64;
    for order in 0..120 {
        let mut basket = BTreeSet::new();
        for item in ITEMS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (state >> 33) % 5 < 2 {
                writeln!(csv, "{order},{item},{}", order % 2).unwrap();
                basket.insert(item.to_owned());
            }
        }
        baskets.push(basket);
    }
    baskets.retain(|basket| !basket.is_empty());
    let mut table = String::from("item_id,category\n");
    for (item, category) in CATEGORIES {
        writeln!(table, "{item},{category}").unwrap();
    }
    let categories = bench.write("categories.csv", &table);
    let input = bench.write("lines.csv", &csv);
    Shop { bench, input, categories, baskets }
}

impl Shop {
    fn arguments(&self, set: &[&str]) -> Arguments {
        let location = format!("rules.hierarchy.location={}", self.categories);
        let set = [&[location.as_str(), "rules.min_support_count=6", "rules.max_length=0"], set].concat();
        Arguments { select: vec!["rules".to_owned()], ..self.bench.arguments(&self.input, &set) }
    }
}

/// Every itemset of at least six baskets without an item beside a category of its.
fn brute_force(baskets: &[BTreeSet<String>]) -> BTreeMap<String, usize> {
    let nodes: Vec<&String> = baskets.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    let mut found = BTreeMap::new();
    for mask in 1_u32..1 << nodes.len() {
        let itemset: BTreeSet<String> =
            (0..nodes.len()).filter(|bit| mask >> bit & 1 == 1).map(|bit| nodes[bit].clone()).collect();
        let count = baskets.iter().filter(|basket| itemset.is_subset(basket)).count();
        if count >= 6 && itemset.iter().all(|item| ancestors(item).is_disjoint(&itemset)) {
            found.insert(itemset.into_iter().collect::<Vec<_>>().join("+"), count);
        }
    }
    found
}

async fn found(arguments: &Arguments, table: &str) -> BTreeMap<String, usize> {
    let query = format!("SELECT array_to_string(itemset, '+'), support_count FROM {table}");
    let rows = lines(arguments, &query).await;
    rows.iter()
        .filter_map(|row| row.split_once(' '))
        .map(|(itemset, count)| (itemset.to_owned(), count.parse().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_basket_holds_the_categories_of_its_items_once() {
    let shop = shop();
    let extended: Vec<BTreeSet<String>> = shop
        .baskets
        .iter()
        .map(|basket| {
            basket.iter().flat_map(|item| ancestors(item).into_iter().chain([item.clone()])).collect()
        })
        .collect();
    let expected = brute_force(&extended);
    assert!(expected.len() > 50 && expected.contains_key("beer+eggs") && expected.contains_key("drinks"));
    for algorithm in ["rules.algorithm=fp_growth", "rules.algorithm=apriori"] {
        let arguments = shop.arguments(&[algorithm]);
        run(&arguments).await.unwrap();
        assert_eq!(found(&arguments, "frequent_itemsets").await, expected, "{algorithm}");
        let own_ancestor = "SELECT count(*) FROM association_rules WHERE \
                            (array_has_any(antecedents, ['beer', 'drinks']) AND array_has_any(consequents, ['ale', 'stout'])) \
                            OR (array_has_any(antecedents, ['ale', 'stout']) AND array_has_any(consequents, ['beer', 'drinks']))";
        assert_eq!(lines(&arguments, own_ancestor).await, ["0"]);
        let baskets = "SELECT max(basket_count), count(*) > 50 FROM association_rules";
        assert_eq!(lines(&arguments, baskets).await, [format!("{} true", extended.len())]);
    }
}

#[tokio::test]
async fn categories_may_stand_in_place_of_their_items() {
    let shop = shop();
    let rolled_up: Vec<BTreeSet<String>> = shop
        .baskets
        .iter()
        .map(|basket| {
            let node = |item: &String| {
                let categories = ancestors(item);
                if categories.is_empty() { BTreeSet::from([item.clone()]) } else { categories }
            };
            basket.iter().flat_map(node).collect()
        })
        .collect();
    let arguments = shop.arguments(&["rules.hierarchy.items=drop"]);
    run(&arguments).await.unwrap();
    let expected = brute_force(&rolled_up);
    assert!(
        expected.contains_key("bakery+eggs") && !expected.keys().any(|itemset| itemset.contains("stout"))
    );
    assert_eq!(found(&arguments, "frequent_itemsets").await, expected);
}

#[tokio::test]
async fn groups_count_categories_apart_even_of_items_that_are_rare_there() {
    let shop = shop();
    let grouped =
        shop.arguments(&["rules.by=['store']", "rules.min_support_count=30", "rules.min_confidence=0.1"]);
    let mut grouped = grouped;
    grouped.set.retain(|set| set != "rules.min_support_count=6");
    run(&grouped).await.unwrap();
    let alone = Bench::new();
    let mut filtered = Arguments { output: Some(alone.text("out")), ..grouped.clone() };
    filtered.set.retain(|set| !set.starts_with("rules.by"));
    filtered.set.push("input.filter=store = '1'".to_owned());
    run(&filtered).await.unwrap();
    let expected = found(&filtered, "frequent_itemsets").await;
    assert!(expected.contains_key("drinks") && !expected.contains_key("stout"), "{expected:?}");
    assert_eq!(found(&grouped, "(SELECT * FROM frequent_itemsets WHERE store = '1')").await, expected);
}

#[tokio::test]
async fn another_table_makes_another_run_and_a_wrong_one_is_told() {
    let shop = shop();
    let arguments = shop.arguments(&[]);
    assert_eq!(run(&arguments).await.unwrap().status, "published");
    assert_eq!(run(&arguments).await.unwrap().status, "unchanged");
    for (table, expected) in [
        ("item_id,category\nale,beer\n", ""),
        ("item_id,category\nale,beer\nbeer,ale\n", "among its own categories [item: ale; table: "),
        ("item_id,category\nale,\n", "has no category [row: 'ale'; table: "),
        (
            "item,category\nale,beer\n",
            "there is no column item_id, which rules.hierarchy needs; map it with rules.hierarchy.item_id",
        ),
    ] {
        shop.bench.write("categories.csv", table);
        match run(&arguments).await {
            Ok(report) => assert_eq!((report.status, expected), ("published", "")),
            Err(error) => {
                assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}");
                assert_eq!(error.kind().exit_code(), 2);
            }
        }
    }
    let missing = shop.arguments(&["rules.hierarchy.location=/nowhere/at/all.csv"]);
    assert_eq!(run(&missing).await.unwrap_err().kind().exit_code(), 2);
}
