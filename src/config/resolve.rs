//! From what was written to what is meant: each table of keys, checked value by value.

use chrono::NaiveDate;
use datafusion::sql::parser::DFParserBuilder;

use super::settings::Settings;
use super::{
    Algorithm, CUSTOMER_GROUPS, Categories, Clean, Columns, Format, GroupBy, Input, Items, MinSupport,
    Output, Rules, Select, Target,
};
use crate::error::{Error, Result};
use crate::expression::endless;
use crate::tables;
use crate::udf::pseudonym::Pseudonyms;

pub(super) fn parse_run_date(text: &str) -> Result<NaiveDate> {
    if text.trim().is_empty() {
        return Err(Error::config(
            "--run-date is empty: give a date as YYYY-MM-DD (a scheduler's template may have had no date to fill in)",
        ));
    }
    parse_date(text).ok_or_else(|| Error::config("--run-date must be a date, YYYY-MM-DD").with("value", text))
}

pub(super) fn parse_date(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    // chrono also takes 2011-1-9
    (text.len() == 10).then_some(date)
}

impl Select {
    pub(super) fn parse(names: &[String]) -> Result<Self> {
        if names.is_empty() {
            return Ok(Self { rfm: true, itemsets: true, rules: true });
        }
        let mut select = Self { rfm: false, itemsets: false, rules: false };
        for name in names {
            match name.trim() {
                "rfm" => select.rfm = true,
                "itemsets" => select.itemsets = true,
                "rules" => (select.itemsets, select.rules) = (true, true),
                other => {
                    return Err(Error::config("--select takes rfm, itemsets and rules").with("value", other));
                }
            }
        }
        Ok(select)
    }

    /// The names that are selected, `rules` for itemsets with their rules.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [("rfm", self.rfm), ("itemsets", self.itemsets && !self.rules), ("rules", self.rules)]
            .into_iter()
            .filter_map(|(name, selected)| selected.then_some(name))
            .collect()
    }
}

impl Input {
    pub(super) fn resolve(settings: &Settings) -> Result<Option<Self>> {
        let format = match settings.text("input.format").as_deref() {
            None => None,
            Some("parquet") => Some(Format::Parquet),
            Some("csv") => Some(Format::Csv),
            Some(_) => return Err(settings.error("input.format", "must be parquet or csv")),
        };
        let delimiter = required(settings.text("input.csv.delimiter"), "input.csv.delimiter")?;
        let csv_delimiter = match delimiter.as_bytes() {
            &[delimiter] if !matches!(delimiter, b'\n' | b'\r' | b'"' | 0) => delimiter,
            _ => {
                let message = "must be one ASCII character, and no line break, quote or NUL";
                return Err(settings.error("input.csv.delimiter", message));
            }
        };
        let filter = settings.text("input.filter");
        if filter.is_some() {
            check_syntax(settings, "input.filter")?;
        }
        let timezone = required(settings.text("input.timezone"), "input.timezone")?;
        if timezone.parse::<datafusion::arrow::array::timezone::Tz>().is_err() {
            return Err(
                settings.error("input.timezone", "is no time zone; write it as Europe/London or +01:00")
            );
        }
        let column = |name: &str| settings.text(&format!("input.columns.{name}"));
        let input = Self {
            location: settings.text("input.location").unwrap_or_default(),
            format,
            csv_header: settings.boolean("input.csv.header").unwrap_or(true),
            csv_delimiter,
            partitions: settings.list("input.partitions"),
            filter,
            timezone,
            columns: Columns {
                order_id: column("order_id"),
                item_id: column("item_id"),
                customer_id: column("customer_id"),
                order_ts: column("order_ts"),
                quantity: column("quantity"),
                unit_price: column("unit_price"),
                amount: column("amount"),
            },
        };
        Ok((!input.location.is_empty()).then_some(input))
    }
}

impl Clean {
    pub(super) fn resolve(settings: &Settings) -> Result<Self> {
        check_syntax(settings, "clean.returns_when")?;
        Ok(Self {
            returns: one_of(settings, "clean.returns", &["exclude", "net", "keep", "error"])?,
            returns_when: required(settings.text("clean.returns_when"), "clean.returns_when")?,
            unpriced: one_of(settings, "clean.unpriced", &["keep", "exclude"])?,
            drop_duplicates: one_of(settings, "clean.duplicates", &["keep", "drop"])? == "drop",
            drop_invalid: one_of(settings, "clean.invalid", &["error", "drop"])? == "drop",
        })
    }
}

impl Rules {
    pub(super) fn resolve(settings: &Settings, select: Select) -> Result<Self> {
        let algorithm = match one_of(settings, "rules.algorithm", &["fp_growth", "apriori"])?.as_str() {
            "apriori" => Algorithm::Apriori,
            _ => Algorithm::FpGrowth,
        };
        let min_support =
            match (settings.is_written("rules.min_support"), settings.integer("rules.min_support_count")) {
                (true, Some(_)) => {
                    return Err(settings
                        .error("rules.min_support_count", "replaces rules.min_support: write one of them"));
                }
                (false, Some(count)) if count >= 1 => MinSupport::Count(count),
                (false, Some(_)) => {
                    return Err(settings.error("rules.min_support_count", "must be at least 1"));
                }
                (_, None) => {
                    let share = required(settings.number("rules.min_support"), "rules.min_support")?;
                    if !(share > 0.0 && share <= 1.0) {
                        return Err(settings.error("rules.min_support", "must be in (0, 1]"));
                    }
                    MinSupport::Share(share)
                }
            };
        let max_length = usize_in(settings, "rules.max_length", 0)?;
        let max_consequent_length = usize_in(settings, "rules.max_consequent_length", 1)?;
        if max_length > 0 && max_consequent_length >= max_length.max(2) {
            return Err(settings.error("rules.max_consequent_length", "must be less than rules.max_length"));
        }
        let target = match one_of(settings, "rules.target", &["frequent", "closed", "maximal"])?.as_str() {
            "closed" => Target::Closed,
            "maximal" => Target::Maximal,
            _ => Target::Frequent,
        };
        if target != Target::Frequent && select.rules {
            return Err(settings.error(
                "rules.target",
                "must be frequent for rules, which need all frequent itemsets; leave them out with --select itemsets",
            ));
        }
        let min_length = usize_in(settings, "rules.min_length", 1)?;
        if max_length > 0 && min_length > max_length {
            return Err(settings.error("rules.min_length", "must be at most rules.max_length"));
        }
        let predicate = settings.text("rules.where");
        if predicate.is_some() {
            check_syntax(settings, "rules.where")?;
        }
        let top_by = required(settings.text("rules.top_by"), "rules.top_by")?;
        if !tables::table("association_rules").is_some_and(|rules| rules.has_column(&top_by)) {
            return Err(settings.error("rules.top_by", "is no measure of association_rules"));
        }
        let adjust = one_of(settings, "rules.adjust", &["none", "bonferroni", "holm", "bh"])?;
        Ok(Self {
            target,
            min_length,
            items: items(settings, "rules.items")?,
            antecedents: items(settings, "rules.antecedents")?,
            consequents: items(settings, "rules.consequents")?,
            by: group_by(settings, select)?,
            hierarchy: categories(settings)?,
            max_groups: usize_in(settings, "rules.max_groups", 1)? as u64,
            predicate,
            drop_redundant: one_of(settings, "rules.redundant", &["keep", "drop"])? == "drop",
            top: usize_in(settings, "rules.top", 0)?,
            top_by,
            adjust: (adjust != "none").then_some(adjust),
            algorithm,
            min_support,
            min_confidence: number_in(settings, "rules.min_confidence", 0.0, 1.0)?,
            min_lift: number_in(settings, "rules.min_lift", 0.0, f64::MAX)?,
            max_length,
            max_consequent_length,
            max_itemsets: usize_in(settings, "rules.max_itemsets", 1)? as u64,
            max_rules: usize_in(settings, "rules.max_rules", 1)? as u64,
        })
    }
}

fn items(settings: &Settings, key: &str) -> Result<Items> {
    if let Some(list) = settings.list(key) {
        return Ok(Items::List(list));
    }
    let Some(predicate) = settings.text(key) else { return Ok(Items::All) };
    check_syntax(settings, key)?;
    Ok(Items::Predicate(predicate))
}

fn categories(settings: &Settings) -> Result<Option<Categories>> {
    let Some(location) = settings.text("rules.hierarchy.location") else {
        let others = ["rules.hierarchy.item_id", "rules.hierarchy.category", "rules.hierarchy.items"];
        return match others.into_iter().find(|key| settings.is_written(key)) {
            Some(key) => Err(settings.error(key, "belongs to rules.hierarchy.location, which is not there")),
            None => Ok(None),
        };
    };
    Ok(Some(Categories {
        location,
        item_id: settings.text("rules.hierarchy.item_id"),
        category: settings.text("rules.hierarchy.category"),
        drop_items: one_of(settings, "rules.hierarchy.items", &["keep", "drop"])? == "drop",
    }))
}

fn group_by(settings: &Settings, select: Select) -> Result<Vec<GroupBy>> {
    let entry = |text: String| {
        if !CUSTOMER_GROUPS.contains(&text.as_str()) {
            return Ok(GroupBy::Line(text));
        }
        if select.rfm {
            return Ok(GroupBy::Customer(text));
        }
        let message = format!(
            "names {text} of this run's customer_rfm, so --select must name rfm, too; the input's column of that name is \
             \"{text}\", in double quotes"
        );
        Err(settings.error("rules.by", &message))
    };
    settings.list("rules.by").unwrap_or_default().into_iter().map(entry).collect()
}

/// Whether customers are published by pseudonym, for which there must be a key.
fn pseudonymise_customers(settings: &Settings) -> Result<bool> {
    let key = "output.pseudonymise.customer_id";
    if one_of(settings, key, &["none", "hmac-sha256"])? == "none" {
        return Ok(false);
    }
    Pseudonyms::from_environment().map_err(|message| Error::config(message).with("key", key))?;
    Ok(true)
}

impl Output {
    pub(super) fn resolve(settings: &Settings) -> Result<Option<Self>> {
        let orphan_age = required(settings.text("output.orphan_age"), "output.orphan_age")?;
        let output = Self {
            location: settings.text("output.location").unwrap_or_default(),
            as_delta: one_of(settings, "output.format", &["parquet", "delta"])? == "delta",
            rows_per_part: usize_in(settings, "output.rows_per_part", 1)?,
            keep_generations: usize_in(settings, "output.keep_generations", 1)?,
            orphan_age: humantime::parse_duration(&orphan_age).map_err(|_| {
                settings.error("output.orphan_age", "must be a duration, such as 24h or 7days")
            })?,
            pseudonymise_customers: pseudonymise_customers(settings)?,
            minimum_group_size: usize_in(settings, "output.minimum_group_size", 1)? as i64,
        };
        Ok((!output.location.is_empty()).then_some(output))
    }
}

pub(super) fn required<T>(value: Option<T>, key: &str) -> Result<T> {
    value.ok_or_else(|| Error::internal(format!("{key} has no default")))
}

pub(super) fn one_of(settings: &Settings, key: &str, choices: &[&str]) -> Result<String> {
    let value = required(settings.text(key), key)?;
    if choices.contains(&value.as_str()) {
        return Ok(value);
    }
    Err(settings.error(key, &format!("must be {}, not {value}", choices.join(" or "))))
}

pub(super) fn integer_in(settings: &Settings, key: &str, least: i64, most: i64) -> Result<i64> {
    let value = required(settings.integer(key), key)?;
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(settings.error(key, &format!("must be from {least} to {most}")))
}

fn usize_in(settings: &Settings, key: &str, least: usize) -> Result<usize> {
    let value = required(settings.integer(key), key)?;
    usize::try_from(value)
        .ok()
        .filter(|value| *value >= least)
        .ok_or_else(|| settings.error(key, &format!("must be at least {least}")))
}

pub(super) fn number_in(settings: &Settings, key: &str, least: f64, most: f64) -> Result<f64> {
    let value = required(settings.number(key), key)?;
    if value >= least && value <= most {
        return Ok(value);
    }
    let bounds =
        if most >= f64::MAX { format!("at least {least}") } else { format!("from {least} to {most}") };
    Err(settings.error(key, &format!("must be {bounds}")))
}

/// Whether a predicate is one SQL expression; what its names mean is known once there is a schema.
fn check_syntax(settings: &Settings, key: &str) -> Result<()> {
    let text = settings.text(key).unwrap_or_default();
    if let Some(endless) = endless(&text) {
        return Err(settings.error(key, endless));
    }
    let parse = || {
        let mut parser = DFParserBuilder::new(text.as_str()).build()?;
        parser.parse_into_expr()
    };
    parse()
        .map(|_| ())
        .map_err(|error| settings.error(key, "is no SQL expression").caused_by(error.strip_backtrace()))
}
