//! From lines to frequent itemsets: baskets, then the algorithm that was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, UInt32Type};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;

use super::{Counts, add, rows_of};
use crate::chunk::Chunked;
use crate::config::{Algorithm, Rules, Target};
use crate::error::{Error, Result};
use crate::kept::Kept;
use crate::rows::Rows;
use crate::steps::Steps;
use crate::udaf::{Candidates, too_many_itemsets};

/// Ranges of ranks for each partition: enough that each partition gets about the same work.
const GROUPS_OF_FEW_BASKETS: usize = 8;

/// The same where there are so many baskets that their number tells the work, and each range keeps much of all of them.
const GROUPS_OF_MANY_BASKETS: usize = 1;
const MANY_BASKETS: u64 = 1_000_000;

/// Finds the frequent itemsets of some baskets and registers them as `itemset_support`.
pub(super) async fn mine(
    steps: &mut Steps<'_>,
    rules: &Rules,
    basket_count: i64,
    baskets: &Kept,
    counts: &mut Counts,
) -> Result<()> {
    steps.register("basket", Arc::clone(&baskets.relation))?;
    steps.parameters.set("basket_count", basket_count);
    steps.parameters.set("min_support_count", rules.min_support.count_of(basket_count));
    let mined = mined_length(rules);
    steps.parameters.set("max_length", i64::try_from(mined).unwrap_or(i64::MAX));
    let longest = if rules.max_length == 0 { usize::MAX } else { rules.max_length };
    steps.parameters.set("longest_itemset", i64::try_from(longest).unwrap_or(i64::MAX));
    steps.parameters.set("min_length", i64::try_from(rules.min_length).unwrap_or(i64::MAX));
    steps.parameters.set("max_itemsets", i64::try_from(rules.max_itemsets).unwrap_or(i64::MAX));
    add(counts, "baskets", basket_count);

    steps.rows("item_count").await?;
    match rules.algorithm {
        Algorithm::FpGrowth => grow(steps, baskets).await?,
        Algorithm::Apriori => level_by_level(steps, rules).await?,
    }
    let itemsets = steps.keep("itemset_support").await?.rows as i64;
    add(counts, "itemsets", itemsets);
    let by_length = lengths(&steps.rows("itemset_length").await?);
    let so_far = counts.get(&("rules", "itemsets".to_owned())).copied().unwrap_or_default();
    if so_far.unsigned_abs() > rules.max_itemsets {
        return Err(too_many_itemsets(rules.max_itemsets, &by_length));
    }
    add(counts, "frequent_items", 0);
    for (length, itemsets) in by_length {
        if length > longest {
            continue;
        }
        let measure =
            if length == 1 { "frequent_items".to_owned() } else { format!("itemsets_of_length_{length}") };
        add(counts, &measure, itemsets as i64);
    }
    register_wanted(steps, rules.target).await
}

/// How long itemsets are mined: an itemset is closed or maximal by what it is one item longer.
fn mined_length(rules: &Rules) -> usize {
    let longer = usize::from(rules.max_length > 0 && rules.target != Target::Frequent);
    rules.max_length + longer
}

/// Registers the itemsets to publish as `wanted_itemset`.
async fn register_wanted(steps: &mut Steps<'_>, target: Target) -> Result<()> {
    let relation = match target {
        Target::Frequent => "itemset_support",
        Target::Closed => "closed_itemset",
        Target::Maximal => "maximal_itemset",
    };
    steps.parameters.set("target", if target == Target::Frequent { "frequent" } else { "others" });
    if target != Target::Frequent {
        steps.view("closed_itemset").await?;
    }
    if target == Target::Maximal {
        steps.view("maximal_itemset").await?;
    }
    let wanted = steps.context.table_provider(relation).await?;
    steps.register("wanted_itemset", wanted)
}

/// How many itemsets there are of each length.
fn lengths(rows: &Rows) -> BTreeMap<usize, u64> {
    let column =
        |batch: &RecordBatch, column: usize| batch.column(column).as_primitive::<Int64Type>().clone();
    let pairs = rows.batches.iter().flat_map(|batch| {
        let (lengths, itemsets) = (column(batch, 0), column(batch, 1));
        (0..batch.num_rows()).map(move |row| (lengths.value(row) as usize, itemsets.value(row) as u64))
    });
    pairs.collect()
}

/// FP-growth, by ranges of ranks side by side (Li et al. 2008).
async fn grow(steps: &mut Steps<'_>, baskets: &Kept) -> Result<()> {
    steps.register("basket_chunk", Arc::new(Chunked::new(Arc::clone(&baskets.relation))))?;
    let partitions = steps.context.copied_config().target_partitions();
    let per_partition =
        if baskets.rows < MANY_BASKETS { GROUPS_OF_FEW_BASKETS } else { GROUPS_OF_MANY_BASKETS };
    let keys = exchange_keys(per_partition * partitions, partitions)?;
    steps.parameters.set("item_groups", keys.len() as i64);
    steps.register_rows("exchange_key", &keys_by_group(keys)?).await?;
    steps.rows("item_group").await?;
    steps.view("grown_itemset").await?;
    let found = steps.context.table_provider("grown_itemset").await?;
    steps.register("found_itemset", found)
}

/// Keys for groups of about the same work, such that the exchange gives each partition its share: it goes by a hash of the
/// key, which would leave some partitions idle where groups are few.
fn exchange_keys(groups: usize, partitions: usize) -> Result<Vec<i64>> {
    let candidates = RecordBatch::try_from_iter([(
        "key",
        Arc::new((0..groups as i64 * 16).map(Some).collect::<Int64Array>()) as ArrayRef,
    )])?;
    let key = Arc::new(Column::new("key", 0));
    let mut exchange = BatchPartitioner::new_hash_partitioner(vec![key], partitions, Time::default())?;
    let mut by_partition = vec![Vec::new(); partitions];
    exchange.partition(candidates, |partition, keys| {
        by_partition[partition] = keys.column(0).as_primitive::<Int64Type>().values().to_vec();
        Ok(())
    })?;
    // there and back again, since the work rises or falls with the ranks
    let partition = |group: usize| match (group / partitions % 2, group % partitions) {
        (0, place) => place,
        (_, place) => partitions - 1 - place,
    };
    (0..groups)
        .map(|group| {
            by_partition[partition(group)].pop().ok_or_else(|| Error::internal("the exchange is uneven"))
        })
        .collect()
}

fn keys_by_group(keys: Vec<i64>) -> Result<Rows> {
    let groups: Int64Array = (0..keys.len() as i64).map(Some).collect();
    rows_of(vec![("item_group", Arc::new(groups)), ("exchange_key", Arc::new(Int64Array::from(keys)))])
}

/// Apriori, level by level (Agrawal and Srikant 1994).
async fn level_by_level(steps: &mut Steps<'_>, rules: &Rules) -> Result<()> {
    let mut level = steps.rows("frequent_item").await?;
    let mut all = level.clone();
    let mut by_length = BTreeMap::new();
    for length in 2.. {
        by_length.insert(length - 1, level.count() as u64);
        if all.count() as u64 > rules.max_itemsets {
            return Err(too_many_itemsets(rules.max_itemsets, &by_length));
        }
        // an itemset's parts are all frequent, so that many must be in the level before
        if (rules.max_length > 0 && length > mined_length(rules))
            || (level.count() < length && !steps.explains_only())
        {
            break;
        }
        steps.register_rows("frequent_level", &level).await?;
        level = if length == 2 {
            steps.rows("frequent_pair").await?
        } else {
            count_candidates(steps, length).await?
        };
        all.batches.extend(level.batches.iter().cloned());
        if steps.explains_only() && length == 3 {
            break;
        }
    }
    steps.register_rows("found_itemset", &all).await
}

/// The next level: candidates from the one before, their counts, and those that are frequent.
async fn count_candidates(steps: &mut Steps<'_>, length: usize) -> Result<Rows> {
    steps.parameters.set("length", length as i64);
    let candidates = steps.rows("candidate").await?;
    if candidates.count() == 0 && !steps.explains_only() {
        return Ok(candidates);
    }
    let mut codes = Vec::with_capacity(candidates.count() * length);
    for batch in &candidates.batches {
        let items =
            batch.column_by_name("items").ok_or_else(|| Error::internal("candidates have no items"))?;
        codes.extend_from_slice(flat_items(items));
    }
    steps.parameters.set("candidates", Candidates::try_new(length, codes)?.to_literal());
    steps.rows("candidate_count").await?;
    steps.rows("frequent_candidate").await
}

/// The items of all lists of a column, one after the other.
fn flat_items(lists: &ArrayRef) -> &[u32] {
    let lists = lists.as_list::<i32>();
    let (first, last) = (lists.value_offsets()[0], lists.value_offsets()[lists.value_offsets().len() - 1]);
    &lists.values().as_primitive::<UInt32Type>().values()[first as usize..last as usize]
}
