//! The published tables: their columns, which selection publishes them, and the key of a row.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// A published table. Rows stand in the order that its SQL file ends with.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub name: &'static str,
    /// What `--select` must name for it to be published; `None` for always.
    pub selection: Option<&'static str>,
    /// The columns that tell its rows apart: a table in several parts is split by their hash.
    pub key: &'static [&'static str],
    columns: &'static [(&'static str, Column)],
}

/// A column's type, and whether it may be null.
#[derive(Debug, Clone, Copy)]
enum Column {
    Text,
    Texts,
    Date,
    Int,
    Count,
    Money,
    Flag,
    Real,
    /// A double that is null where it is not defined.
    MaybeReal,
}

use Column::{Count, Date, Flag, Int, MaybeReal, Money, Real, Text, Texts};

pub const TABLES: &[Table] = &[
    Table {
        name: "customer_rfm",
        selection: Some("rfm"),
        key: &["customer_id"],
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
        key: &["segment"],
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
        key: &["dimension", "score"],
        columns: &[
            ("dimension", Text),
            ("score", Int),
            ("lower", MaybeReal),
            ("upper", MaybeReal),
            ("customers", Count),
        ],
    },
    Table {
        name: "frequent_itemsets",
        selection: Some("itemsets"),
        key: &["itemset"],
        columns: &[("itemset", Texts), ("length", Int), ("support_count", Count), ("support", Real)],
    },
    Table {
        name: "association_rules",
        selection: Some("rules"),
        key: &["rule_id"],
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
        key: &["item_id", "side", "rule_id"],
        columns: &[("item_id", Text), ("side", Text), ("rule_id", Text)],
    },
    Table {
        name: "run_summary",
        selection: None,
        key: &["stage", "measure"],
        columns: &[("stage", Text), ("measure", Text), ("value", Count)],
    },
];

/// The table of that name.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

impl Table {
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|(name, column)| {
            let (data_type, nullable) = match column {
                Text => (DataType::Utf8, false),
                Texts => (DataType::List(Arc::new(Field::new("item", DataType::Utf8, false))), false),
                Date => (DataType::Date32, false),
                Int => (DataType::Int32, false),
                Count => (DataType::Int64, false),
                Money => (DataType::Decimal128(38, 4), false),
                Flag => (DataType::Boolean, false),
                Real => (DataType::Float64, false),
                MaybeReal => (DataType::Float64, true),
            };
            Field::new(*name, data_type, nullable)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}
