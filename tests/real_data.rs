//! Numbers that others computed, on the data behind `REGULARS_SHARED`; without it there is nothing to compare.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write;

use regulars::config::Arguments;
use support::{Bench, lines, run, shared};

const ONLINE_RETAIL: [&str; 6] = [
    "input.columns.order_id=InvoiceNo",
    "input.columns.item_id=StockCode",
    "input.columns.customer_id=CustomerID",
    "input.columns.order_ts=InvoiceDate",
    "input.columns.quantity=Quantity",
    "input.columns.unit_price=UnitPrice",
];

fn online_retail(bench: &Bench, select: &str, set: &[&str]) -> Option<Arguments> {
    let input = shared()?.join("data/online_retail.parquet").display().to_string();
    let arguments = bench.arguments(&input, &[&ONLINE_RETAIL, set].concat());
    Some(Arguments { run_date: Some("2011-12-09".to_owned()), select: vec![select.to_owned()], ..arguments })
}

async fn segments(set: &[&str]) -> Option<Vec<String>> {
    let bench = Bench::new();
    let clean = ["input.filter=InvoiceNo NOT LIKE 'C%' AND UnitPrice > 0", "rfm.as_of=run_date + 1 day"];
    let arguments = online_retail(&bench, "rfm", &[&clean, set].concat())?;
    run(&arguments).await.unwrap();
    assert_eq!(
        lines(&arguments, "SELECT sum(customers), sum(orders), sum(revenue) FROM rfm_segments").await,
        ["4338 18532 8911407.9040"]
    );
    if set[0].contains("quantile") {
        let edges = "SELECT array_agg(upper ORDER BY upper) FROM rfm_thresholds WHERE dimension = ";
        assert_eq!(
            lines(&arguments, &format!("{edges}'recency'")).await,
            ["[13.8, 33.0, 72.0, 180.0, 374.0]"]
        );
        assert_eq!(
            lines(&arguments, &format!("{edges}'monetary'")).await,
            ["[250.194, 490.096, 942.276, 2058.426, 280206.02]"]
        );
        assert_eq!(
            lines(&arguments, "SELECT min(lower) FROM rfm_thresholds GROUP BY dimension ORDER BY dimension")
                .await,
            ["1.0", "3.75", "1.0"]
        );
    }
    let top_fifth = "SELECT round(cumulative_revenue_share * 100, 3) FROM rfm_concentration WHERE decile = 2";
    assert_eq!(lines(&arguments, top_fifth).await, ["74.617"]);
    Some(lines(&arguments, "SELECT segment, customers FROM rfm_segments ORDER BY customers DESC").await)
}

#[tokio::test]
async fn online_retail_segments_with_recency_by_quantile_and_frequency_by_ntile() {
    let binning = "rfm.binning={ recency = \"quantile\", frequency = \"ntile\", monetary = \"quantile\" }";
    let Some(segments) = segments(&[binning]).await else { return };
    assert_eq!(
        segments,
        [
            "hibernating 1071",
            "loyal_customers 819",
            "champions 633",
            "at_risk 593",
            "potential_loyalists 484",
            "about_to_sleep 352",
            "need_attention 187",
            "promising 94",
            "cant_lose 63",
            "new_customers 42",
        ]
    );
}

#[tokio::test]
async fn online_retails_customers_moved_between_segments_in_half_a_year() {
    let bench = Bench::new();
    let set = [
        "input.filter=InvoiceNo NOT LIKE 'C%' AND UnitPrice > 0",
        "rfm.as_of=run_date + 1 day",
        "rfm.binning.frequency=ntile",
        "rfm.compare_to=2011-06-30",
    ];
    let Some(arguments) = online_retail(&bench, "rfm", &set) else { return };
    run(&arguments).await.unwrap();
    let totals = "SELECT sum(customers) FILTER (WHERE segment_before IS NOT NULL), \
                  sum(customers) FILTER (WHERE segment_before = segment_after), \
                  sum(customers) FILTER (WHERE segment_before IS NULL) FROM segment_migration";
    assert_eq!(lines(&arguments, totals).await, ["2960 1061 1378"]);
    let champions = "SELECT segment_after, customers FROM segment_migration WHERE segment_before = 'champions' \
                     ORDER BY customers DESC LIMIT 4";
    let expected = ["champions 192", "loyal_customers 139", "at_risk 43", "cant_lose 24"];
    assert_eq!(lines(&arguments, champions).await, expected);
}

#[tokio::test]
async fn online_retail_segments_with_ntile_for_all() {
    let Some(segments) = segments(&["rfm.binning=ntile"]).await else { return };
    assert_eq!(
        segments,
        [
            "hibernating 1077",
            "loyal_customers 819",
            "champions 632",
            "at_risk 596",
            "potential_loyalists 480",
            "about_to_sleep 350",
            "need_attention 188",
            "promising 91",
            "cant_lose 63",
            "new_customers 42",
        ]
    );
}

#[tokio::test]
async fn r_rfm_thresholds_less_their_one_unit() {
    let Some(shared) = shared() else { return };
    let bench = Bench::new();
    let input = shared.join("data/rfm_r_orders.csv").display().to_string();
    let columns = [
        // the file has no order ids: an order is a line
        "input.columns.order_id=concat(customer_id, ' ', order_date, ' ', revenue)",
        "input.columns.order_ts=order_date",
        "input.columns.amount=revenue",
    ];
    let arguments = Arguments {
        run_date: Some("2006-12-31".to_owned()),
        select: vec!["rfm".to_owned()],
        ..bench.arguments(&input, &columns)
    };
    run(&arguments).await.unwrap();
    let edges = |dimension: &str| {
        format!(
            "SELECT array_agg(upper ORDER BY upper) FROM \
             (SELECT * FROM rfm_thresholds WHERE dimension = '{dimension}' ORDER BY upper LIMIT 4)"
        )
    };
    assert_eq!(lines(&arguments, &edges("recency")).await, ["[114.0, 180.0, 296.4, 481.0]"]);
    assert_eq!(lines(&arguments, &edges("frequency")).await, ["[3.0, 4.0, 5.0, 7.0]"]);
    assert_eq!(lines(&arguments, &edges("monetary")).await, ["[254.8, 381.0, 505.4, 665.0]"]);
    assert_eq!(
        lines(&arguments, "SELECT count(*), sum(monetary) FROM customer_rfm").await,
        ["995 464158.0000"]
    );
    let mut with_its_segments = arguments.clone();
    // its bins are [lower, upper) with the edges above and one more unit; days, orders and money are whole numbers
    let cuts = "recency = [114, 180, 297, 481], frequency = [3, 4, 5, 7], monetary = [255, 381, 506, 665]";
    with_its_segments.set.extend([
        "rfm.segments=rfm_r".to_owned(),
        "rfm.binning=fixed".to_owned(),
        format!("rfm.cuts={{ {cuts} }}"),
    ]);
    run(&with_its_segments).await.unwrap();
    let segments = "SELECT segment, customers FROM rfm_segments ORDER BY customers DESC";
    assert_eq!(
        lines(&with_its_segments, segments).await,
        [
            "Potential Loyalist 342",
            "Loyal Customers 170",
            "Lost 148",
            "New Customers 104",
            "About To Sleep 102",
            "Can't Lose Them 47",
            "Champions 35",
            "At Risk 28",
            "Need Attention 10",
            "Promising 9",
        ]
    );
}

#[tokio::test]
async fn lifetimes_summary_of_cdnow_by_day_and_by_week() {
    let Some(shared) = shared() else { return };
    let bench = Bench::new();
    let text = std::fs::read_to_string(shared.join("data/cdnow_sample.txt")).unwrap();
    let mut csv = String::from("order_id,customer_id,order_ts,amount\n");
    for (number, line) in text.lines().enumerate() {
        let [_, customer, date, _, amount] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            continue;
        };
        let date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
        writeln!(csv, "{number},{customer},{date},{amount}").unwrap();
    }
    let input = bench.write("cdnow.csv", &csv);
    let golden =
        std::fs::read_to_string(shared.join("data/golden/cdnow_sample_summary_lifetimes.csv")).unwrap();
    // lifetimes reads the week of the 30th of September to its end
    for (period, run_date) in [("day", "1997-09-30"), ("week", "1997-10-05")] {
        let arguments = Arguments {
            run_date: Some(run_date.to_owned()),
            select: vec!["rfm".to_owned()],
            ..bench.arguments(&input, &[&format!("rfm.summary={period}")])
        };
        run(&arguments).await.unwrap();
        let found = lines(&arguments, "SELECT * FROM customer_summary ORDER BY customer_id").await;
        let expected: Vec<Vec<&str>> = golden
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect::<Vec<_>>())
            .filter(|cells| cells[1] == period)
            .collect();
        assert!(expected.len() > 2000);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let found: Vec<&str> = found.split(' ').collect();
            assert_eq!(
                [found[0], found[1], found[2], found[3]],
                [expected[0], expected[2], expected[3], expected[4]]
            );
            let [found, expected] = [found[4], expected[5]].map(|value| value.parse::<f64>().unwrap());
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}

#[tokio::test]
async fn online_retails_rule_of_the_regency_teacups() {
    let bench = Bench::new();
    let set = [
        "input.filter=InvoiceNo NOT LIKE 'C%'",
        "clean.returns=keep",
        "rules.min_support_count=700",
        "rules.min_confidence=0.7",
    ];
    let Some(arguments) = online_retail(&bench, "rules", &set) else { return };
    run(&arguments).await.unwrap();
    let rule = lines(
        &arguments,
        "SELECT basket_count, antecedent_count, consequent_count, support_count, round(support, 9), round(confidence, 9), \
         round(lift, 9), round(conviction, 9) FROM association_rules WHERE antecedents = make_array('22697') AND \
         consequents = make_array('22699')",
    )
    .await;
    assert_eq!(rule, ["22064 1015 1066 768 0.034807832 0.756650246 15.661098531 3.910774471"]);
}

/// Mines a data set; the number of itemsets.
async fn itemsets(bench: &Bench, name: &str, min_support_count: u32, more: &[&str]) -> Option<u64> {
    let mut set =
        vec![format!("rules.min_support_count={min_support_count}"), "rules.max_length=0".to_owned()];
    set.extend(more.iter().map(ToString::to_string));
    if name == "online_retail" {
        set.extend(ONLINE_RETAIL.map(str::to_owned));
        set.push("clean.returns=keep".to_owned());
    }
    let input = shared()?.join(format!("data/{name}.parquet")).display().to_string();
    let arguments = bench.arguments(&input, &set.iter().map(String::as_str).collect::<Vec<_>>());
    let report = run(&Arguments { select: vec!["itemsets".to_owned()], ..arguments }).await.unwrap();
    Some(report.tables["frequent_itemsets"].rows)
}

#[tokio::test]
async fn itemset_counts_of_other_tools() {
    // PyFIM, mlxtend, efficient-apriori and others: see the shared reference
    for (name, min_support_count, expected) in [
        ("belgian_retail", 882, 159),
        ("belgian_retail", 441, 580),
        ("t10i4d100k", 1000, 385),
        ("t10i4d100k", 500, 1073),
        ("mushroom", 2438, 2735),
        ("chess", 2557, 8227),
        ("kosarak_first100k", 1000, 383),
        ("online_retail", 259, 1087),
        ("online_retail", 130, 7538),
    ] {
        let Some(found) = itemsets(&Bench::new(), name, min_support_count, &[]).await else { return };
        assert_eq!(found, expected, "{name} at {min_support_count}");
    }
}

#[tokio::test]
async fn closed_and_maximal_itemset_counts_of_other_tools() {
    for (name, min_support_count, closed, maximal) in [
        ("belgian_retail", 441, 580, 284),
        ("t10i4d100k", 1000, 385, 370),
        ("mushroom", 2438, 427, 63),
        ("chess", 2557, 5083, 226),
        ("online_retail", 259, 1087, 824),
    ] {
        for (target, expected) in [("closed", closed), ("maximal", maximal)] {
            let target = format!("rules.target={target}");
            let algorithm = if name == "chess" { "fp_growth" } else { "apriori" };
            let more = [target.as_str(), &format!("rules.algorithm={algorithm}")];
            let Some(found) = itemsets(&Bench::new(), name, min_support_count, &more).await else { return };
            assert_eq!(found, expected, "{name} at {min_support_count} by {algorithm}: {target}");
        }
    }
}

#[tokio::test]
async fn all_rules_of_mushroom_at_30_percent() {
    // an itemset of k items has 2^k - 2 splits
    let Some(shared) = shared() else { return };
    let bench = Bench::new();
    let input = shared.join("data/mushroom.parquet").display().to_string();
    let set = [
        "rules.min_support=0.3",
        "rules.min_confidence=0.5",
        "rules.min_lift=0",
        "rules.max_length=0",
        "rules.max_consequent_length=30",
    ];
    let arguments = Arguments { select: vec!["rules".to_owned()], ..bench.arguments(&input, &set) };
    let report = run(&arguments).await.unwrap();
    assert_eq!(report.tables["frequent_itemsets"].rows, 2735);
    assert_eq!(report.tables["association_rules"].rows, 79_437);
}

#[tokio::test]
async fn belgian_retails_itemsets_one_by_one() {
    let Some(shared) = shared() else { return };
    let bench = Bench::new();
    itemsets(&bench, "belgian_retail", 100, &[]).await.unwrap();
    let arguments = bench.arguments("", &[]);
    let mut found =
        lines(&arguments, "SELECT array_to_string(itemset, ' '), support_count FROM frequent_itemsets").await;
    let golden =
        std::fs::read_to_string(shared.join("data/golden/belgian_retail_itemsets_count100.tsv")).unwrap();
    let normal = |items: &str, count: &str| {
        let mut items: Vec<&str> = items.split([' ', ',']).collect();
        items.sort_unstable();
        format!("{} {count}", items.join(" "))
    };
    let mut expected: Vec<String> = golden
        .lines()
        .map(|line| line.rsplit_once('\t').unwrap())
        .map(|(items, count)| normal(items, count))
        .collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found.len(), 6451);
    assert_eq!(found, expected);
}
