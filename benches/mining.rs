//! Mining alone: baskets in memory, two threads, itemsets counted. `REGULARS_SHARED=folder cargo bench --bench mining`, where
//! the folder has the data sets; `benches/pyfim.py` times the miners of `PyFIM` on the same.

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::cmp::Reverse;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use regulars::mining::{Count, Exclusions, Thresholds, Transactions, mine};
use tokio::runtime::Runtime;

const THREADS: usize = 2;
const RANGES: usize = 16;

/// A data set, its order and item columns, the minimum count, and how many itemsets are frequent.
const DATA: &[(&str, &str, &str, u32, u64)] = &[
    ("belgian_retail", "order_id", "item_id", 88, 7_712),
    ("t10i4d100k", "order_id", "item_id", 10, 411_365),
    ("online_retail", "InvoiceNo", "StockCode", 52, 678_020),
    ("kosarak_first100k", "order_id", "item_id", 100, 496_674),
    ("chess", "order_id", "item_id", 1_598, 1_272_932),
];

/// Each basket as a list of item codes in no order.
fn baskets(path: &str, order: &str, item: &str) -> Vec<Vec<u32>> {
    let context = SessionContext::new();
    let runtime = Runtime::new().unwrap();
    let rows = runtime.block_on(async {
        context.register_parquet("lines", path, ParquetReadOptions::default()).await.unwrap();
        let sql = format!(
            "SELECT dense_rank() OVER (ORDER BY \"{order}\"), dense_rank() OVER (ORDER BY \"{item}\") \
             FROM (SELECT DISTINCT \"{order}\", \"{item}\" FROM lines)"
        );
        context.sql(&sql).await.unwrap().collect().await.unwrap()
    });
    let mut baskets: Vec<Vec<u32>> = Vec::new();
    for batch in rows {
        let [orders, items] = [0, 1].map(|column| batch.column(column).as_primitive::<UInt64Type>().clone());
        for (order, item) in orders.values().iter().zip(items.values()) {
            let order = usize::try_from(*order).unwrap();
            baskets.resize(baskets.len().max(order), Vec::new());
            baskets[order - 1].push(u32::try_from(*item).unwrap());
        }
    }
    baskets
}

/// The baskets' frequent items by rank, and ranges of ranks of about the same cost.
fn ranked(baskets: &[Vec<u32>], min_count: u32) -> (Transactions, Vec<Range<u32>>) {
    let items = baskets.iter().flatten().max().map_or(0, |item| *item as usize + 1);
    let mut counts = vec![0_u32; items];
    baskets.iter().flatten().for_each(|item| counts[*item as usize] += 1);
    let mut order: Vec<usize> = (0..items).filter(|item| counts[*item] >= min_count).collect();
    order.sort_by_key(|item| Reverse(counts[*item]));
    let mut ranks = vec![u32::MAX; items];
    (0..).zip(&order).for_each(|(rank, item)| ranks[*item] = rank);

    let mut transactions = Transactions::default();
    let mut costs = vec![0_u64; order.len()];
    for basket in baskets {
        let mut items: Vec<u32> =
            basket.iter().map(|item| ranks[*item as usize]).filter(|rank| *rank < u32::MAX).collect();
        items.sort_unstable();
        (1..).zip(&items).for_each(|(place, item)| costs[*item as usize] += place);
        if !items.is_empty() {
            transactions.push(&items, 1);
        }
    }
    let total: u64 = costs.iter().sum();
    let mut bounds = vec![0];
    let mut so_far = 0;
    for (rank, cost) in (1_u32..).zip(&costs) {
        so_far += cost;
        if so_far * RANGES as u64 >= total * bounds.len() as u64 {
            bounds.push(rank);
        }
    }
    (transactions, bounds.windows(2).map(|bounds| bounds[0]..bounds[1]).collect())
}

fn count(baskets: &[Vec<u32>], min_count: u32) -> u64 {
    let (transactions, ranges) = ranked(baskets, min_count);
    let (next, found) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || {
        while let Some(range) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut prefixes = Transactions::default();
            for (items, weight) in transactions.iter() {
                let prefix = &items[..items.partition_point(|item| *item < range.end)];
                if prefix.last().is_some_and(|last| *last >= range.start) {
                    prefixes.push(prefix, weight);
                }
            }
            let mut count = Count::default();
            let thresholds = Thresholds { min_count, max_length: usize::MAX };
            assert!(
                mine(&prefixes, range.clone(), thresholds, &Exclusions::default(), &mut count).is_continue()
            );
            found.fetch_add(count.itemsets, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    found.into_inner()
}

fn mining(criterion: &mut Criterion) {
    let Some(shared) = std::env::var_os("REGULARS_SHARED").map(PathBuf::from) else { return };
    let mut group = criterion.benchmark_group("mining");
    group.sample_size(10);
    for (name, order, item, min_count, itemsets) in DATA {
        let path = shared.join(format!("data/{name}.parquet")).display().to_string();
        let baskets = baskets(&path, order, item);
        assert_eq!(count(&baskets, *min_count), *itemsets, "{name}");
        group.bench_function(format!("{name} at {min_count}"), |bencher| {
            bencher.iter(|| count(&baskets, *min_count));
        });
    }
    group.finish();
}

criterion_group!(benches, mining);
criterion_main!(benches);
