//! The keys of `rfm`, checked value by value.

use chrono::{Days, NaiveDate};

use super::resolve::{integer_in, number_in, one_of, parse_date, required};
use super::settings::Settings;
use super::{Binning, CompareTo, Dimension, Lifecycle, Rfm};
use crate::error::Result;

impl Rfm {
    pub(super) fn resolve(settings: &Settings, run_date: Option<NaiveDate>) -> Result<Self> {
        let weight = |dimension: &str| number_in(settings, &format!("rfm.weights.{dimension}"), 0.0, 1.0);
        let weights = [weight("recency")?, weight("frequency")?, weight("monetary")?];
        if (weights.iter().sum::<f64>() - 1.0).abs() > 1e-9 {
            let written = ["recency", "frequency", "monetary"].map(|name| format!("rfm.weights.{name}"));
            let key = written.iter().find(|key| settings.is_written(key)).unwrap_or(&written[0]);
            let sum = weights.iter().sum::<f64>();
            return Err(settings.error(key, &format!("and the other two weights must sum to 1, not {sum}")));
        }
        let groups = settings.list("rfm.groups").unwrap_or_default();
        if groups.is_empty() || groups.iter().any(String::is_empty) {
            return Err(settings.error("rfm.groups", "must name at least one group, none of them empty"));
        }
        if groups.iter().enumerate().any(|(place, group)| groups[..place].contains(group)) {
            return Err(settings.error("rfm.groups", "must not name a group twice"));
        }
        Ok(Self {
            as_of: as_of(settings, run_date)?,
            frequency: one_of(settings, "rfm.frequency", &["orders", "days", "lines", "repeats"])?,
            monetary: one_of(settings, "rfm.monetary", &["sum", "mean"])?,
            window_days: window_days(settings)?,
            negative: one_of(settings, "rfm.negative", &["keep", "zero", "error"])?,
            summary: Some(one_of(settings, "rfm.summary", &["none", "day", "week", "month"])?)
                .filter(|summary| summary != "none"),
            compare_to: compare_to(settings)?,
            metrics: Some(one_of(settings, "rfm.metrics", &["none", "week", "month", "quarter", "year"])?)
                .filter(|metrics| metrics != "none"),
            lifecycle: lifecycle(settings)?,
            cohorts: settings.boolean("rfm.cohorts").unwrap_or_default(),
            by_recency: dimension(settings, "recency")?,
            by_frequency: dimension(settings, "frequency")?,
            by_monetary: dimension(settings, "monetary")?,
            nested: settings.boolean("rfm.nested").unwrap_or_default(),
            recency_weight: weights[0],
            frequency_weight: weights[1],
            monetary_weight: weights[2],
            groups,
            segments: required(settings.text("rfm.segments"), "rfm.segments")?,
            allow_incomplete_segments: one_of(settings, "rfm.incomplete_segments", &["error", "allow"])?
                == "allow",
        })
    }
}

/// `N days`: the run date is the last of them.
fn window_days(settings: &Settings) -> Result<Option<u32>> {
    let Some(text) = settings.text("rfm.window") else { return Ok(None) };
    let days = number_of_days(&text);
    days.map(Some).ok_or_else(|| settings.error("rfm.window", "must be a number of days, such as 365 days"))
}

/// A date, or `N days` before the run date.
fn compare_to(settings: &Settings) -> Result<Option<CompareTo>> {
    let Some(text) = settings.text("rfm.compare_to") else { return Ok(None) };
    let day = number_of_days(&text).map(CompareTo::DaysBefore).or(parse_date(&text).map(CompareTo::Date));
    let wrong = || settings.error("rfm.compare_to", "must be a date, or a number of days such as 90 days");
    day.map(Some).ok_or_else(wrong)
}

/// Stages by thresholds that follow one another.
fn lifecycle(settings: &Settings) -> Result<Option<Lifecycle>> {
    let by = one_of(settings, "rfm.lifecycle.by", &["none", "thresholds", "rhythm"])?;
    let days = |key: &str| {
        let days = settings.text(key).as_deref().and_then(number_of_days);
        days.ok_or_else(|| settings.error(key, "must be a number of days, such as 90 days"))
    };
    let gaps = |key: &str| number_in(settings, key, 0.0, 1e6);
    let lifecycle = Lifecycle {
        by,
        new_days: days("rfm.lifecycle.new")?,
        lapsing_days: days("rfm.lifecycle.lapsing")?,
        lapsed_days: days("rfm.lifecycle.lapsed")?,
        lapsing_gaps: gaps("rfm.lifecycle.lapsing_gaps")?,
        lapsed_gaps: gaps("rfm.lifecycle.lapsed_gaps")?,
    };
    if lifecycle.lapsing_days > lifecycle.lapsed_days {
        return Err(settings.error("rfm.lifecycle.lapsing", "must be at most rfm.lifecycle.lapsed"));
    }
    if lifecycle.lapsing_gaps > lifecycle.lapsed_gaps {
        return Err(settings.error("rfm.lifecycle.lapsing_gaps", "must be at most rfm.lifecycle.lapsed_gaps"));
    }
    Ok((lifecycle.by != "none").then_some(lifecycle))
}

fn number_of_days(text: &str) -> Option<u32> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [days, "day" | "days"] => days.parse().ok().filter(|days| (1..1_000_000).contains(days)),
        _ => None,
    }
}

/// How a dimension is binned and scaled: by its own keys, else by those for all.
fn dimension(settings: &Settings, name: &str) -> Result<Dimension> {
    let key_of = |table: &str, is_written: &dyn Fn(&str) -> bool| {
        let own = format!("{table}.{name}");
        if is_written(&own) { own } else { table.to_owned() }
    };
    let binning_key = key_of("rfm.binning", &|key| settings.text(key).is_some());
    let cuts_key = format!("rfm.cuts.{name}");
    let cuts = settings.numbers(&cuts_key);
    let binning =
        match one_of(settings, &binning_key, &["quantile", "ntile", "percent_rank", "fixed"])?.as_str() {
            "ntile" => Binning::Ntile,
            "percent_rank" => Binning::PercentRank,
            "fixed" => Binning::Fixed,
            _ => Binning::Quantile,
        };
    match (binning, &cuts) {
        (Binning::Fixed, None) => {
            return Err(settings.error(&binning_key, &format!("is fixed, and {cuts_key} does not say where")));
        }
        (Binning::Fixed, Some(cuts)) => {
            // written so that what is no number is out of range, too
            let in_range = cuts.iter().all(|cut| cut.abs() < 1e14);
            if cuts.is_empty() || !cuts.is_sorted_by(|a, b| a < b) || !in_range {
                return Err(settings.error(&cuts_key, "must be ascending numbers, at least one"));
            }
        }
        (_, Some(_)) => {
            return Err(
                settings.error(&cuts_key, &format!("belongs to binning fixed, which {binning_key} is not"))
            );
        }
        (_, None) => {}
    }
    let bins_key = key_of("rfm.bins", &|key| settings.integer(key).is_some());
    let bins = match &cuts {
        Some(cuts) => cuts.len() as i64 + 1,
        None => integer_in(settings, &bins_key, 1, 100)?,
    };
    let scaling_key = key_of("rfm.scaling", &|key| settings.text(key).is_some());
    let scaling = one_of(settings, &scaling_key, &["min_max", "z_score", "rank", "log"])?;
    Ok(Dimension { binning, bins, cuts: cuts.unwrap_or_default(), scaling })
}

/// `run_date`, `run_date + 1 day`, `run_date + N days` or a date not before the run date.
fn as_of(settings: &Settings, run_date: Option<NaiveDate>) -> Result<Option<NaiveDate>> {
    let text = required(settings.text("rfm.as_of"), "rfm.as_of")?;
    let wrong = || {
        settings
            .error("rfm.as_of", "must be run_date, \"run_date + 1 day\", or a date not before the run date")
    };
    if let Some(rest) = text.strip_prefix("run_date") {
        let days = match rest.split_whitespace().collect::<Vec<_>>()[..] {
            [] => 0,
            ["+", days, "day" | "days"] => days.parse::<u32>().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        return run_date
            .map(|date| date.checked_add_days(Days::new(days.into())).ok_or_else(wrong))
            .transpose();
    }
    let date = parse_date(&text).ok_or_else(wrong)?;
    if run_date.is_some_and(|run_date| date < run_date) {
        return Err(wrong());
    }
    Ok(Some(date))
}
