//! The published tables: their columns, which selection publishes them, and the key of a row.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// A published table. Rows stand in the order of its groups, then in the one that its SQL file ends with.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: &'static str,
    /// What `--select` must name for it to be published; `None` for always.
    pub selection: Option<&'static str>,
    /// What `rules.by` leads it with.
    pub groups: Vec<GroupColumn>,
    /// What the rows of a group are ordered by before their key, and whether the largest come first.
    before_key: &'static [(&'static str, bool)],
    /// The columns that tell the rows of a group apart.
    key: &'static [&'static str],
    /// The columns that count the customers behind a row of a summary: `output.minimum_group_size` is the least they may.
    pub sizes: &'static [&'static str],
    columns: &'static [(&'static str, Column)],
}

/// A column of the groups that baskets are mined in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub group_type: GroupType,
}

/// The type of a group column; null is a group, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupType {
    String,
    Int64,
    Date,
    Boolean,
}

impl GroupType {
    /// The type for values of another; none where those make no groups.
    #[must_use]
    pub fn of(given: &DataType) -> Option<Self> {
        match given {
            DataType::Boolean => Some(Self::Boolean),
            DataType::Date32 | DataType::Date64 => Some(Self::Date),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Some(Self::String),
            DataType::Dictionary(_, values) => Self::of(values),
            whole if whole.is_integer() && *whole != DataType::UInt64 => Some(Self::Int64),
            _ => None,
        }
    }

    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Int64 => DataType::Int64,
            Self::Date => DataType::Date32,
            Self::Boolean => DataType::Boolean,
        }
    }
}

/// A column's type, and whether it may be null.
#[derive(Debug, Clone, Copy)]
enum Column {
    Text,
    /// A string that is null where there is none.
    MaybeText,
    Texts,
    Date,
    Int,
    /// An integer that is null where there is none.
    MaybeInt,
    Count,
    Money,
    Flag,
    Real,
    /// A double that is null where it is not defined.
    MaybeReal,
}

use Column::{Count, Date, Flag, Int, MaybeInt, MaybeReal, MaybeText, Money, Real, Text, Texts};

pub static TABLES: &[Table] = &[
    Table {
        name: "customer_rfm",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[],
        key: &["customer_id"],
        sizes: &[],
        columns: &[
            ("customer_id", Text),
            ("first_order_date", Date),
            ("last_order_date", Date),
            ("recency_days", Int),
            ("tenure_days", Int),
            ("orders", Count),
            ("active_days", Count),
            ("frequency", Count),
            ("monetary", Money),
            ("average_order_value", Real),
            ("recency_score", Int),
            ("frequency_score", Int),
            ("monetary_score", Int),
            ("rfm_cell", Text),
            ("recency_scaled", Real),
            ("frequency_scaled", Real),
            ("monetary_scaled", Real),
            ("loyalty_score", Real),
            ("loyalty_group", Text),
            ("segment", Text),
        ],
    },
    Table {
        name: "rfm_segments",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[("revenue", true)],
        key: &["segment"],
        sizes: &["customers"],
        columns: &[
            ("segment", Text),
            ("customers", Count),
            ("customer_share", Real),
            ("orders", Count),
            ("revenue", Money),
            ("revenue_share", MaybeReal),
            ("median_recency_days", Real),
            ("median_frequency", Real),
            ("median_monetary", Real),
        ],
    },
    Table {
        name: "rfm_thresholds",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[],
        key: &["dimension", "score"],
        sizes: &["customers"],
        columns: &[
            ("dimension", Text),
            ("score", Int),
            ("lower", MaybeReal),
            ("upper", MaybeReal),
            ("customers", Count),
        ],
    },
    Table {
        name: "rfm_concentration",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[],
        key: &["decile"],
        sizes: &["customers"],
        columns: &[
            ("decile", Int),
            ("customers", Count),
            ("revenue", Money),
            ("revenue_share", MaybeReal),
            ("cumulative_customer_share", Real),
            ("cumulative_revenue_share", MaybeReal),
            ("gini", MaybeReal),
        ],
    },
    Table {
        name: "segment_migration",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[],
        key: &["segment_before", "segment_after"],
        sizes: &["customers"],
        columns: &[
            ("segment_before", MaybeText),
            ("segment_after", MaybeText),
            ("customers", Count),
            ("revenue_before", Money),
            ("revenue_after", Money),
        ],
    },
    Table {
        name: "customer_summary",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[],
        key: &["customer_id"],
        sizes: &[],
        columns: &[
            ("customer_id", Text),
            ("frequency", Count),
            ("recency", Count),
            ("t", Count),
            ("monetary_value", Real),
        ],
    },
    Table {
        name: "cohort_retention",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[],
        key: &["cohort_month", "months_since"],
        sizes: &["cohort_customers", "customers"],
        columns: &[
            ("cohort_month", Date),
            ("months_since", Int),
            ("cohort_customers", Count),
            ("customers", Count),
            ("orders", Count),
            ("revenue", Money),
            ("retention", Real),
            ("average_order_value", MaybeReal),
            ("purchase_frequency", MaybeReal),
            ("repeat_purchase_rate", Real),
        ],
    },
    Table {
        name: "customer_lifecycle",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[],
        key: &["customer_id"],
        sizes: &[],
        columns: &[
            ("customer_id", Text),
            ("lifecycle_stage", Text),
            ("recency_days", Int),
            ("tenure_days", Int),
            ("active_days", Count),
            ("last_gap_days", MaybeInt),
            ("mean_gap_days", MaybeReal),
            ("lapsing_after_days", Real),
            ("lapsed_after_days", Real),
        ],
    },
    Table {
        name: "loyalty_metrics",
        selection: Some("rfm"),
        groups: Vec::new(),
        before_key: &[],
        key: &["period_start"],
        sizes: &["customers", "new_customers", "returning_customers", "retained_customers"],
        columns: &[
            ("period_start", Date),
            ("customers", Count),
            ("new_customers", Count),
            ("returning_customers", Count),
            ("retained_customers", Count),
            ("orders", Count),
            ("revenue", Money),
            ("average_order_value", MaybeReal),
            ("purchase_frequency", MaybeReal),
            ("repeat_customer_rate", MaybeReal),
            ("retention_rate", MaybeReal),
        ],
    },
    Table {
        name: "frequent_itemsets",
        selection: Some("itemsets"),
        groups: Vec::new(),
        before_key: &[("support_count", true)],
        key: &["itemset"],
        sizes: &[],
        columns: &[("itemset", Texts), ("length", Int), ("support_count", Count), ("support", Real)],
    },
    Table {
        name: "association_rules",
        selection: Some("rules"),
        groups: Vec::new(),
        before_key: &[
            ("lift", true),
            ("support_count", true),
            ("antecedents", false),
            ("consequents", false),
        ],
        key: &["rule_id"],
        sizes: &[],
        columns: &[
            ("rule_id", Text),
            ("antecedents", Texts),
            ("consequents", Texts),
            ("basket_count", Count),
            ("antecedent_count", Count),
            ("consequent_count", Count),
            ("support_count", Count),
            ("antecedent_support", Real),
            ("consequent_support", Real),
            ("support", Real),
            ("confidence", Real),
            ("lift", Real),
            ("leverage", Real),
            ("conviction", MaybeReal),
            ("zhangs_metric", Real),
            ("jaccard", Real),
            ("cosine", Real),
            ("kulczynski", Real),
            ("imbalance_ratio", Real),
            ("certainty", Real),
            ("added_value", Real),
            ("odds_ratio", MaybeReal),
            ("phi", MaybeReal),
            ("chi_squared", MaybeReal),
            ("chi_squared_p", MaybeReal),
            ("fishers_exact_p", Real),
            ("fishers_exact_log10_p", Real),
            ("fishers_exact_q", MaybeReal),
            ("is_redundant", Flag),
        ],
    },
    Table {
        name: "rule_items",
        selection: Some("rules"),
        groups: Vec::new(),
        before_key: &[],
        key: &["item_id", "side", "rule_id"],
        sizes: &[],
        columns: &[("item_id", Text), ("side", Text), ("rule_id", Text)],
    },
    Table {
        name: "run_summary",
        selection: None,
        groups: Vec::new(),
        before_key: &[],
        key: &["stage", "measure"],
        sizes: &[],
        columns: &[("stage", Text), ("measure", Text), ("value", Count)],
    },
];

/// The name of a table's part.
#[must_use]
pub fn part_name(number: usize) -> String {
    format!("part-{number:05}.parquet")
}

/// The table of that name.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

impl Table {
    /// Whether `rules.by` leads it with columns.
    #[must_use]
    pub fn is_grouped(&self) -> bool {
        matches!(self.selection, Some("itemsets" | "rules"))
    }

    /// The table as `rules.by` makes it.
    #[must_use]
    pub fn led_by(&self, groups: &[GroupColumn]) -> Self {
        let groups = if self.is_grouped() { groups.to_vec() } else { Vec::new() };
        Self { groups, ..self.clone() }
    }

    /// The columns that tell its rows apart: a table in several parts is split by their hash.
    pub fn key(&self) -> impl Iterator<Item = &str> + '_ {
        self.groups.iter().map(|group| group.name.as_str()).chain(self.key.iter().copied())
    }

    /// What its rows are ordered by: columns that tell them all apart.
    pub fn order(&self) -> impl Iterator<Item = (&str, SortOptions)> + '_ {
        let groups = self.groups.iter().map(|group| (group.name.as_str(), false));
        let own = self.before_key.iter().copied().chain(self.key.iter().map(|name| (*name, false)));
        // as SQL has it where it does not say
        groups
            .chain(own)
            .map(|(name, descending)| (name, SortOptions { descending, nulls_first: descending }))
    }

    /// Whether it has a column of that name beside its groups.
    #[must_use]
    pub fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|(column, _)| *column == name)
    }

    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let groups =
            self.groups.iter().map(|group| Field::new(&group.name, group.group_type.data_type(), true));
        let fields = self.columns.iter().map(|(name, column)| {
            let (data_type, nullable) = match column {
                Text => (DataType::Utf8, false),
                MaybeText => (DataType::Utf8, true),
                Texts => (DataType::List(Arc::new(Field::new("item", DataType::Utf8, false))), false),
                Date => (DataType::Date32, false),
                Int => (DataType::Int32, false),
                MaybeInt => (DataType::Int32, true),
                Count => (DataType::Int64, false),
                Money => (DataType::Decimal128(38, 4), false),
                Flag => (DataType::Boolean, false),
                Real => (DataType::Float64, false),
                MaybeReal => (DataType::Float64, true),
            };
            Field::new(*name, data_type, nullable)
        });
        Arc::new(Schema::new(groups.chain(fields).collect::<Vec<_>>()))
    }
}
