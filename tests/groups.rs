//! Baskets mined by group are mined as if each group were all there is.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write;

use regulars::config::Arguments;
use regulars::error::ErrorKind;
use regulars::sample;
use support::{Bench, lines, run};

/// Orders of three stores, one of them unnamed; every fourth order has lines of two stores.
fn shop(bench: &Bench) -> String {
    let mut csv = String::from("order_id,item_id,store,open\n");
    let mut state = 7_u64;
    let mut random = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for order in 0..300 {
        let store = ["North", "South", ""][random(3) as usize];
        let other = if order % 4 == 0 { "North" } else { store };
        for _ in 0..=random(6) {
            writeln!(csv, "{order},i{},{store},{}", random(7), order % 2 == 0).unwrap();
        }
        writeln!(csv, "{order},i{},{other},{}", random(3), order % 2 == 0).unwrap();
    }
    bench.write("lines.csv", &csv)
}

const SET: &[&str] =
    &["rules.min_support=0.1", "rules.min_confidence=0.2", "rules.min_lift=0", "rules.adjust=bh"];

fn rules_only(bench: &Bench, input: &str, set: &[&str]) -> Arguments {
    let set = [SET, set].concat();
    Arguments { select: vec!["rules".to_owned()], ..bench.arguments(input, &set) }
}

const QUERIES: [&str; 3] = [
    "SELECT * FROM frequent_itemsets ORDER BY support_count DESC, itemset",
    "SELECT * FROM association_rules ORDER BY rule_id",
    "SELECT * FROM rule_items ORDER BY item_id, side, rule_id",
];

#[tokio::test]
async fn each_group_has_the_tables_that_its_lines_alone_have() {
    let bench = Bench::new();
    let input = shop(&bench);
    let by = "rules.by=[\"store AS shop\", \"open\"]";
    let grouped = rules_only(&bench, &input, &[by]);
    run(&grouped).await.unwrap();
    let mut rows = 0;
    for (shop, filter) in
        [("'North'", "store = 'North'"), ("'South'", "store = 'South'"), ("NULL", "store IS NULL")]
    {
        for open in ["true", "false"] {
            let alone = Bench::new();
            let filter = format!("input.filter={filter} AND open = '{open}'");
            let filtered = rules_only(&alone, &input, &[&filter]);
            run(&filtered).await.unwrap();
            for query in QUERIES {
                let of_group = query.replace("SELECT *", "SELECT * EXCEPT (shop, open)").replace(
                    " ORDER BY",
                    &format!(" WHERE (shop IS NOT DISTINCT FROM {shop}) AND open = '{open}' ORDER BY"),
                );
                let expected = lines(&filtered, query).await;
                assert!(!expected.is_empty(), "{query} of {filter}");
                assert_eq!(lines(&grouped, &of_group).await, expected, "{of_group}");
                rows += expected.len();
            }
        }
    }
    let mut all = 0;
    for query in QUERIES {
        all += lines(&grouped, query).await.len();
    }
    assert_eq!(all, rows, "no row is of another group");
    let groups = "SELECT value FROM run_summary WHERE measure = 'groups'";
    assert_eq!(lines(&grouped, groups).await, ["6"]);
}

#[tokio::test]
async fn customers_are_grouped_by_the_scores_of_the_same_run() {
    let bench = Bench::new();
    sample::write(&bench.path("shop"), 1500).unwrap();
    let set = ["rules.by=[\"segment\"]", "rules.min_support_count=5"];
    let grouped = bench.arguments(&bench.text("shop"), &set);
    run(&grouped).await.unwrap();
    let customers = lines(
        &grouped,
        "SELECT concat('''', customer_id, '''') FROM customer_rfm WHERE segment = 'champions'",
    )
    .await;

    let alone = Bench::new();
    let filter = format!("input.filter=customer_id IN ({})", customers.join(", "));
    let filtered = Arguments {
        select: vec!["rules".to_owned()],
        ..alone.arguments(&bench.text("shop"), &[&filter, "rules.min_support_count=5"])
    };
    run(&filtered).await.unwrap();
    for query in QUERIES {
        let of_group = query
            .replace("SELECT *", "SELECT * EXCEPT (segment)")
            .replace(" ORDER BY", " WHERE segment = 'champions' ORDER BY");
        assert_eq!(lines(&grouped, &of_group).await, lines(&filtered, query).await, "{of_group}");
    }
    let anonymous = "SELECT count(*) > 0 FROM frequent_itemsets WHERE segment IS NULL";
    assert_eq!(lines(&grouped, anonymous).await, ["true"], "lines without a customer are a group");

    let without = Arguments { select: vec!["rules".to_owned()], ..grouped.clone() };
    let error = run(&without).await.unwrap_err();
    assert!(error.to_string().contains("so --select must name rfm, too"), "{error}");
}

#[tokio::test]
async fn groups_lead_tables_in_their_order_and_bytes_do_not_depend_on_the_engine() {
    let bench = Bench::new();
    let input = shop(&bench);
    let by = "rules.by=[\"store AS shop\", \"CAST(order_id AS INT) % 2 = 1 AS odd\"]";
    let first = rules_only(&bench, &input, &[by, "output.rows_per_part=100"]);
    run(&first).await.unwrap();
    let expected = bench.published();
    for set in [
        ["engine.target_partitions=1", "engine.batch_size=7"],
        ["engine.target_partitions=5", "rules.algorithm=apriori"],
    ] {
        let other = Bench::new();
        let mut arguments = Arguments { output: Some(other.text("out")), ..first.clone() };
        arguments.set.extend(set.map(str::to_owned));
        run(&arguments).await.unwrap();
        assert!(other.published() == expected, "{set:?}");
    }
    let described = lines(&first, "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'rule_items' ORDER BY ordinal_position").await;
    assert_eq!(described, ["shop Utf8", "odd Boolean", "item_id Utf8", "side Utf8", "rule_id Utf8"]);

    let whole = rules_only(&Bench::new(), &input, &[by]);
    let whole = Arguments { output: Some(bench.text("whole")), ..whole };
    run(&whole).await.unwrap();
    let mut groups = lines(&whole, "SELECT shop, odd FROM frequent_itemsets").await;
    groups.dedup();
    let expected = ["North false", "North true", "South false", "South true", "NULL false", "NULL true"];
    assert_eq!(groups, expected);
}

#[tokio::test]
async fn wrong_groups_are_refused_with_the_key() {
    let bench = Bench::new();
    let input = shop(&bench);
    for (by, expected) in [
        (
            "['nowhere']",
            "rules.by is no expression over the columns; there are: order_id, item_id, store, open",
        ),
        ("['upper(store)']", "needs a name for an expression"),
        ("['store AS support']", "rename it with AS"),
        ("['store', 'open AS store']", "rename it with AS"),
        ("['CAST(1 AS DOUBLE) AS r']", "not Float64; cast it"),
        ("['count(*) AS n']", "not an aggregate"),
    ] {
        let error = run(&rules_only(&bench, &input, &[&format!("rules.by={by}")])).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{by}: {error}");
        assert_eq!(error.kind().exit_code(), 2, "{by}");
    }
    let many = rules_only(&bench, &input, &["rules.by=['order_id']", "rules.max_groups=10"]);
    let error = run(&many).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(
        error.to_string().contains("rules.by makes 300 groups, more than rules.max_groups = 10"),
        "{error}"
    );
    let full = rules_only(&bench, &input, &["rules.by=['store']", "rules.max_rules=100"]);
    let error = run(&full).await.unwrap_err();
    assert!(
        error.to_string().contains("rules.max_rules = 100") && error.to_string().contains("group: store ="),
        "{error}"
    );
}

#[tokio::test]
async fn whatever_decides_the_itemsets_makes_another_run() {
    let bench = Bench::new();
    let input = shop(&bench);
    let mut before = rules_only(&bench, &input, &[]);
    before.select = vec!["itemsets".to_owned()];
    before.set.retain(|set| !set.contains("adjust"));
    assert_eq!(run(&before).await.unwrap().status, "published");
    for set in [
        "rules.target=closed",
        "rules.min_length=2",
        "rules.max_length=2",
        "rules.items=item_id <> 'i1'",
        "rules.by=['store']",
    ] {
        let mut other = before.clone();
        other.set.push(set.to_owned());
        assert_eq!(run(&other).await.unwrap().status, "published", "{set}");
        assert_eq!(run(&other).await.unwrap().status, "unchanged", "{set}");
    }
}
