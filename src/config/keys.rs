//! Every configuration key with its type, default and meaning: the one list that files, `--set` and errors go by.

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    TextList,
    /// A list, or one string that is a SQL predicate.
    TextOrList,
    NumberList,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::TextList => "a list of strings",
            Self::TextOrList => "a list of strings, or a string",
            Self::NumberList => "a list of numbers",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
        }
    }
}

#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// The default as TOML; none where absence means something of its own.
    pub default: Option<&'static str>,
    pub meaning: &'static str,
}

macro_rules! keys {
    ($($name:literal, $kind:ident, $default:expr, $meaning:literal;)*) => {
        pub const KEYS: &[Key] = &[$(Key { name: $name, kind: Kind::$kind, default: $default, meaning: $meaning },)*];
    };
}

keys! {
    "input.location", Text, None, "where the order lines stand: a folder, a file or a glob; a path, file://, s3://, gs://, az://, http(s)://";
    "input.format", Text, None, "parquet or csv; inferred from the file names";
    "input.csv.header", Boolean, Some("true"), "whether CSV files begin with column names";
    "input.csv.delimiter", Text, Some("\",\""), "the CSV delimiter, one character";
    "input.partitions", TextList, None, "hive partition columns; inferred from the folders";
    "input.filter", Text, None, "a SQL predicate on the raw columns";
    "input.timezone", Text, Some("\"UTC\""), "zoned timestamps become local to it";
    "input.columns.order_id", Text, None, "the order's id: a column's name or a SQL expression";
    "input.columns.item_id", Text, None, "the item's id";
    "input.columns.customer_id", Text, None, "the customer's id; needed by rfm";
    "input.columns.order_ts", Text, None, "when the order was placed; needed by rfm";
    "input.columns.quantity", Text, None, "how many; 1 without it";
    "input.columns.unit_price", Text, None, "the price of one; this or amount is needed by rfm";
    "input.columns.amount", Text, None, "the line's money; quantity times unit_price without it";
    "clean.returns", Text, Some("\"exclude\""), "exclude, net, keep or refuse (error) the lines for which returns_when is true";
    "clean.returns_when", Text, Some("\"quantity < 0 or amount < 0\""), "a SQL predicate on our columns";
    "clean.unpriced", Text, Some("\"keep\""), "keep or exclude lines whose price is zero or missing";
    "clean.duplicates", Text, Some("\"keep\""), "keep or drop lines equal in all raw columns";
    "clean.invalid", Text, Some("\"error\""), "error or drop: no order id, no date where dates are mapped, a value that does not cast";
    "rfm.as_of", Text, Some("\"run_date\""), "the date recency is measured from: run_date, \"run_date + 1 day\", or a date not before it";
    "rfm.window", Text, None, "how far back orders count, such as 365 days up to the run date; all without it";
    "rfm.negative", Text, Some("\"keep\""), "keep, zero or error: customers whose money is below zero, after refunds";
    "rfm.summary", Text, Some("\"none\""), "none, day, week or month: publish customer_summary, what models of lifetime value take, by that period";
    "rfm.compare_to", Text, None, "a date, or such as 90 days before the run date: publish segment_migration from then to now";
    "rfm.cohorts", Boolean, Some("false"), "whether to publish cohort_retention";
    "rfm.metrics", Text, Some("\"none\""), "none, week, month, quarter or year: publish loyalty_metrics by that period";
    "rfm.lifecycle.by", Text, Some("\"none\""), "none, thresholds or rhythm (the customer's own): publish customer_lifecycle";
    "rfm.lifecycle.new", Text, Some("\"30 days\""), "how long after the first order a customer is new";
    "rfm.lifecycle.lapsing", Text, Some("\"90 days\""), "after so long without an order a customer is lapsing";
    "rfm.lifecycle.lapsed", Text, Some("\"180 days\""), "after so long lapsed, and reactivated when back";
    "rfm.lifecycle.lapsing_gaps", Number, Some("2.0"), "by rhythm: after so many of the customer's mean gaps between days with orders";
    "rfm.lifecycle.lapsed_gaps", Number, Some("3.0"), "likewise";
    "rfm.bins", Integer, Some("5"), "scores go from 1 to this";
    "rfm.bins.recency", Integer, None, "the scores of recency alone";
    "rfm.bins.frequency", Integer, None, "the scores of frequency alone";
    "rfm.bins.monetary", Integer, None, "the scores of monetary alone";
    "rfm.frequency", Text, Some("\"orders\""), "orders, days, lines, or repeats: orders after the first";
    "rfm.monetary", Text, Some("\"sum\""), "sum, or mean: an order's";
    "rfm.binning", Text, Some("\"quantile\""), "quantile, ntile, percent_rank or fixed; or one for each dimension";
    "rfm.binning.recency", Text, None, "the binning of recency alone";
    "rfm.binning.frequency", Text, None, "the binning of frequency alone";
    "rfm.binning.monetary", Text, None, "the binning of monetary alone";
    "rfm.cuts.recency", NumberList, None, "where fixed bins of recency in days end, ascending, but for the last";
    "rfm.cuts.frequency", NumberList, None, "the same of frequency";
    "rfm.cuts.monetary", NumberList, None, "the same of monetary";
    "rfm.nested", Boolean, Some("false"), "bin frequency within each recency score, and monetary within both";
    "rfm.scaling", Text, Some("\"min_max\""), "min_max, z_score, rank or log: how values become shares of the loyalty score; or one for each dimension";
    "rfm.scaling.recency", Text, None, "the scaling of recency alone";
    "rfm.scaling.frequency", Text, None, "the scaling of frequency alone";
    "rfm.scaling.monetary", Text, None, "the scaling of monetary alone";
    "rfm.weights.recency", Number, Some("0.3"), "recency's share of the loyalty score";
    "rfm.weights.frequency", Number, Some("0.3"), "frequency's share";
    "rfm.weights.monetary", Number, Some("0.4"), "monetary's share; the three sum to 1";
    "rfm.groups", TextList, Some("[\"Low\", \"Medium\", \"High\", \"Very High\"]"), "loyalty groups by quantile, the lowest first";
    "rfm.segments", Text, Some("\"grid\""), "the segment map: grid, rfm_r, braze, pymc_marketing, a TOML file, or a table in Parquet or CSV: rule, segment, recency_from, recency_to, ...";
    "rfm.incomplete_segments", Text, Some("\"error\""), "error or allow: cells without a segment (they become other), rules that never match";
    "rules.algorithm", Text, Some("\"fp_growth\""), "fp_growth or apriori; both give the same tables";
    "rules.min_support", Number, Some("0.01"), "the least share of baskets of a frequent itemset, in (0, 1]";
    "rules.min_support_count", Integer, None, "the least number of baskets, in place of min_support";
    "rules.min_confidence", Number, Some("0.3"), "the least confidence of a rule, in [0, 1]";
    "rules.min_lift", Number, Some("1.0"), "the least lift of a rule";
    "rules.max_length", Integer, Some("5"), "items in an itemset; 0 for no limit";
    "rules.max_consequent_length", Integer, Some("1"), "items in a rule's consequent";
    "rules.target", Text, Some("\"frequent\""), "frequent, closed or maximal itemsets; rules need frequent ones";
    "rules.min_length", Integer, Some("1"), "items in an itemset, at least";
    "rules.items", TextOrList, None, "the items to mine: a list, or a SQL predicate on item_id";
    "rules.antecedents", TextOrList, None, "the items that may stand in an antecedent, likewise";
    "rules.consequents", TextOrList, None, "the items that may stand in a consequent, likewise";
    "rules.by", TextList, Some("[]"), "columns or expressions of the lines, or segment, loyalty_group or another of customer_rfm: baskets are mined for each of their values apart";
    "rules.max_groups", Integer, Some("1000"), "groups of rules.by; more is an error";
    "rules.hierarchy.location", Text, None, "a table of items and their categories, Parquet or CSV: a basket holds the categories of its items, too";
    "rules.hierarchy.item_id", Text, None, "the table's column of items, or of categories that have categories of their own";
    "rules.hierarchy.category", Text, None, "the table's column of categories";
    "rules.hierarchy.items", Text, Some("\"keep\""), "keep or drop the items that have categories: baskets hold these alone";
    "rules.where", Text, None, "a SQL predicate on the measures of a rule";
    "rules.redundant", Text, Some("\"keep\""), "keep or drop rules when a more general one has at least their confidence";
    "rules.top", Integer, Some("0"), "publish so many rules, the first by top_by; 0 for all";
    "rules.top_by", Text, Some("\"lift\""), "a measure of a rule; the highest come first, of p-values the lowest";
    "rules.adjust", Text, Some("\"none\""), "none, bonferroni, holm or bh: p-values adjusted for the number of tests";
    "rules.max_itemsets", Integer, Some("10_000_000"), "more is an error";
    "rules.max_rules", Integer, Some("10_000_000"), "more is an error";
    "output.location", Text, None, "where the tables are published";
    "output.format", Text, Some("\"parquet\""), "parquet, or delta: the tables are Delta Lake tables, too, a transaction each";
    "output.rows_per_part", Integer, Some("20_000_000"), "rows of a table in one file";
    "output.keep_generations", Integer, Some("2"), "generations of a run date whose files are kept";
    "output.orphan_age", Text, Some("\"24h\""), "after which the files of a run that died are removed";
    "output.pseudonymise.customer_id", Text, Some("\"none\""), "none or hmac-sha256: customers are published by pseudonym; the key stands in the environment variable REGULARS_PSEUDONYM_KEY";
    "output.minimum_group_size", Integer, Some("1"), "customers behind a row of a summary table; rows of fewer are withheld, and so is the next smallest, which would tell of them";
    "engine.kind", Text, Some("\"embedded\""), "embedded, or ballista: on a cluster";
    "engine.scheduler", Text, None, "the Ballista scheduler, such as df://host:50050; without one a cluster of one starts in the process";
    "engine.local_limit", Text, Some("\"32MiB\""), "on a cluster: what reads no more runs where the job runs; 0B to run all on the cluster";
    "engine.target_partitions", Integer, Some("0"), "partitions worked on side by side; 0 for the number of cores, on a cluster of its executors'";
    "engine.batch_size", Integer, Some("8192"), "rows in a batch";
    "engine.memory_limit", Text, Some("\"8GiB\""), "beyond it the engine spills";
    "engine.spill_dir", Text, Some("\"/var/tmp\""), "where it spills to";
}

/// The key of that name.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether a name is a table of keys, such as `rules` or `input.csv`.
#[must_use]
pub fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The table of keys that a mistaken name most resembles, if any is close.
#[must_use]
pub fn nearest_table(name: &str) -> Option<&'static str> {
    KEYS.iter()
        .filter_map(|key| key.name.rsplit_once('.').map(|(table, _)| table))
        .map(|table| (table, strsim::normalized_damerau_levenshtein(table, name)))
        .filter(|(_, similarity)| *similarity > 0.6)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(table, _)| table)
}

/// The valid key that a mistaken name most resembles, if any is close.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    KEYS.iter()
        .map(|key| {
            // a right name in the wrong table is near, too
            let whole = strsim::normalized_damerau_levenshtein(key.name, name);
            let leaf = strsim::normalized_damerau_levenshtein(&last(key.name), &last(name));
            (key.name, whole.max(0.95 * leaf))
        })
        .filter(|(_, similarity)| *similarity > 0.6)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(nearest("rules.min_suport"), Some("rules.min_support"));
        assert_eq!(nearest("rule.min_support"), Some("rules.min_support"));
        assert_eq!(nearest("min_confidence"), Some("rules.min_confidence"));
        assert_eq!(nearest("xyzzy"), None);
    }

    #[test]
    fn defaults_are_of_their_kind() {
        for key in KEYS.iter().filter(|key| key.default.is_some()) {
            let table: toml::Table = format!("value = {}", key.default.unwrap()).parse().unwrap();
            let kind = match &table["value"] {
                toml::Value::String(_) => Kind::Text,
                toml::Value::Integer(_) => Kind::Integer,
                toml::Value::Float(_) => Kind::Number,
                toml::Value::Boolean(_) => Kind::Boolean,
                _ => Kind::TextList,
            };
            assert_eq!(kind, key.kind, "{}", key.name);
        }
    }
}
