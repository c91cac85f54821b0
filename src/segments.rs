//! Segment maps: which name the scores of a customer have, by ordered rules over score ranges.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use datafusion::prelude::SessionContext;

use crate::config::Rfm;
use crate::error::{Error, ErrorKind, Result};

mod table;

/// The maps that come along, by the name that `rfm.segments` has for them.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("grid", include_str!("segments/grid.toml")),
    ("rfm_r", include_str!("segments/rfm_r.toml")),
    ("braze", include_str!("segments/braze.toml")),
    ("pymc_marketing", include_str!("segments/pymc_marketing.toml")),
];

/// Mistakes of a map that an error shows.
const SHOWN: usize = 10;

/// A map as it is written in TOML.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentMap {
    /// Scores go from 1 to this in each dimension, for which the map is made.
    bins: Bins,
    /// The segment of cells that no rule covers.
    otherwise: Option<String>,
    /// The first that matches wins.
    #[serde(rename = "segment", default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
enum Bins {
    All(i64),
    Each { recency: i64, frequency: i64, monetary: i64 },
}

impl Bins {
    fn each(self) -> [i64; 3] {
        match self {
            Self::All(bins) => [bins; 3],
            Self::Each { recency, frequency, monetary } => [recency, frequency, monetary],
        }
    }
}

/// A segment's cells: those whose scores lie in all ranges, or those listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    recency: Option<Scores>,
    frequency: Option<Scores>,
    monetary: Option<Scores>,
    /// Cells as their three scores, such as "543".
    cells: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
enum Scores {
    One(i64),
    Range([i64; 2]),
}

impl Scores {
    fn bounds(self) -> [i64; 2] {
        match self {
            Self::One(score) => [score, score],
            Self::Range(bounds) => bounds,
        }
    }
}

impl Rule {
    fn ranges(&self) -> [Option<[i64; 2]>; 3] {
        [self.recency, self.frequency, self.monetary].map(|scores| scores.map(Scores::bounds))
    }

    fn matches(&self, scores: [i64; 3]) -> bool {
        if let Some(cells) = &self.cells {
            return cells.contains(&name_of(scores));
        }
        self.ranges()
            .iter()
            .zip(scores)
            .all(|(range, score)| range.is_none_or(|[least, most]| (least..=most).contains(&score)))
    }
}

/// The three scores of a customer and the segment that they make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Recency, frequency, monetary.
    pub scores: [i64; 3],
    pub segment: String,
}

impl Cell {
    /// Its scores one after the other, such as "543".
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.scores)
    }
}

impl SegmentMap {
    /// The map that the configuration names: one that comes along, a TOML file, or a table in Parquet or CSV.
    ///
    /// # Errors
    /// When there is none of that name, it cannot be read, or is no map.
    pub async fn load(context: &SessionContext, rfm: &Rfm) -> Result<Self> {
        let is_table = [".parquet", ".csv", ".csv.gz", "/"].iter().any(|end| rfm.segments.ends_with(end));
        if is_table {
            return table::load(context, rfm).await.map_err(|error| error.with("key", "rfm.segments"));
        }
        Self::read(rfm)
    }

    /// The map that comes along under a name, or stands in a TOML file.
    fn read(rfm: &Rfm) -> Result<Self> {
        let wrong =
            |message: String| Error::config(message).with("key", "rfm.segments").with("value", &rfm.segments);
        let built_in = BUILT_IN.iter().find(|(name, _)| *name == rfm.segments);
        let text = match built_in {
            Some((_, text)) => (*text).to_owned(),
            None if Path::new(&rfm.segments).extension().is_some_and(|ending| ending == "toml") => {
                std::fs::read_to_string(&rfm.segments)
                    .map_err(|error| wrong("the segment map cannot be read".to_owned()).caused_by(error))?
            }
            None => {
                let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                return Err(wrong(format!(
                    "rfm.segments must be {}, a .toml file, or a .parquet or .csv table",
                    names.join(", ")
                )));
            }
        };
        toml::from_str(&text).map_err(|error| wrong("the file is no segment map".to_owned()).caused_by(error))
    }

    /// The segment of each cell of scores.
    ///
    /// # Errors
    /// When the map is made for other scores, a rule lies outside them or never matches, or a cell has no segment; the last two
    /// are let pass where the configuration says so.
    pub fn cells(&self, rfm: &Rfm) -> Result<Vec<Cell>> {
        let wrong = |message: String| {
            Error::new(ErrorKind::Config, message).with("key", "rfm.segments").with("value", &rfm.segments)
        };
        let bins = self.bins.each();
        let asked = rfm.dimensions().map(|dimension| dimension.bins);
        if bins != asked {
            return Err(wrong(format!(
                "the segment map is for scores up to {}, {} and {} (recency, frequency, monetary), and rfm.bins says {}, {} and {}",
                bins[0], bins[1], bins[2], asked[0], asked[1], asked[2]
            )));
        }
        self.check_rules(bins).map_err(wrong)?;
        let mut used = BTreeSet::new();
        let mut uncovered = Vec::new();
        let mut cells = Vec::new();
        for scores in all_cells(bins) {
            let rule = self.rules.iter().position(|rule| rule.matches(scores));
            used.extend(rule);
            let segment = match (rule, &self.otherwise) {
                (Some(rule), _) => self.rules[rule].name.clone(),
                (None, Some(otherwise)) => otherwise.clone(),
                (None, None) => {
                    uncovered.push(name_of(scores));
                    "other".to_owned()
                }
            };
            cells.push(Cell { scores, segment });
        }
        let unused: Vec<String> = (0..self.rules.len())
            .filter(|rule| !used.contains(rule))
            .map(|rule| format!("{} (rule {})", self.rules[rule].name, rule + 1))
            .collect();
        let mistakes = [("cells that no rule covers", uncovered), ("rules that can never match", unused)];
        let told: Vec<String> = mistakes
            .iter()
            .filter(|(_, found)| !found.is_empty())
            .map(|(what, found)| {
                let more = if found.len() > SHOWN { ", ..." } else { "" };
                format!("{} {what}: {}{more}", found.len(), found[..found.len().min(SHOWN)].join(", "))
            })
            .collect();
        if told.is_empty() {
            return Ok(cells);
        }
        let told = format!("the segment map has {}", told.join("; "));
        if !rfm.allow_incomplete_segments {
            return Err(wrong(format!("{told}; mend it, or set rfm.incomplete_segments = \"allow\"")));
        }
        tracing::warn!(map = rfm.segments, "{told}");
        Ok(cells)
    }

    /// What is wrong with a rule by itself.
    fn check_rules(&self, bins: [i64; 3]) -> Result<(), String> {
        let all: BTreeSet<String> = all_cells(bins).map(name_of).collect();
        for (number, rule) in (1..).zip(&self.rules) {
            let ranges = rule.ranges();
            if rule.cells.is_some() && ranges.iter().any(Option::is_some) {
                return Err(format!("rule {number} ({}) has both cells and ranges", rule.name));
            }
            if let Some(cell) = rule.cells.iter().flatten().find(|cell| !all.contains(*cell)) {
                return Err(format!("rule {number} ({}) has a cell {cell} that there is not", rule.name));
            }
            let lies_outside = |(range, bins): (&Option<[i64; 2]>, i64)| {
                range.is_some_and(|[least, most]| least < 1 || most > bins || least > most)
            };
            if ranges.iter().zip(bins).any(lies_outside) {
                return Err(format!("rule {number} ({}) has a range outside the scores", rule.name));
            }
        }
        Ok(())
    }
}

fn all_cells(bins: [i64; 3]) -> impl Iterator<Item = [i64; 3]> {
    let [recency, frequency, monetary] = bins.map(|bins| 1..=bins);
    recency.flat_map(move |r| {
        let monetary = monetary.clone();
        frequency.clone().flat_map(move |f| monetary.clone().map(move |m| [r, f, m]))
    })
}

fn name_of(scores: [i64; 3]) -> String {
    scores.map(|score| score.to_string()).concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Arguments, Config};

    fn rfm(set: &[&str]) -> Rfm {
        let set = set.iter().map(ToString::to_string).collect();
        Config::load(&Arguments { set, ..Arguments::default() }).unwrap().rfm
    }

    fn map(text: &str) -> SegmentMap {
        toml::from_str(text).unwrap()
    }

    /// How many cells each segment of a built-in map has.
    fn sizes(name: &str, bins: i64) -> BTreeMap<String, usize> {
        let rfm = rfm(&[&format!("rfm.segments={name}"), &format!("rfm.bins={bins}")]);
        let cells = SegmentMap::read(&rfm).unwrap().cells(&rfm).unwrap();
        assert_eq!(cells.len() as i64, bins.pow(3));
        let mut sizes = BTreeMap::new();
        for cell in cells {
            *sizes.entry(cell.segment).or_default() += 1;
        }
        sizes
    }

    #[test]
    fn the_grid_is_a_partition_and_others_have_what_their_makers_say() {
        assert_eq!(sizes("grid", 5).values().sum::<usize>(), 125);
        assert_eq!(sizes("grid", 5)["hibernating"], 4 * 5);
        let rfm_r = rfm(&["rfm.segments=rfm_r"]);
        let cells = SegmentMap::read(&rfm_r).unwrap().cells(&rfm_r).unwrap();
        let others = cells.iter().filter(|cell| cell.segment == "Others").map(|cell| name_of(cell.scores));
        assert_eq!(others.collect::<Vec<_>>().join(" "), "215 241 251 252 341 351 441 451 541 551");
        let braze = rfm(&["rfm.segments=braze", "rfm.bins=4"]);
        let cells = SegmentMap::read(&braze).unwrap().cells(&braze).unwrap();
        let others: Vec<String> =
            cells.iter().filter(|cell| cell.segment == "Others").map(|cell| name_of(cell.scores)).collect();
        assert_eq!(others, ["141"]);
        assert_eq!(sizes("pymc_marketing", 4)["Other"], 18);
    }

    #[test]
    fn a_map_that_is_not_whole_is_an_error_unless_that_is_allowed() {
        let two = map(
            "bins = { recency = 2, frequency = 1, monetary = 1 }\n[[segment]]\nname = 'a'\nrecency = 1\n[[segment]]\n\
             name = 'b'\nrecency = [1, 1]",
        );
        let bins = "rfm.bins={ recency = 2, frequency = 1, monetary = 1 }";
        let error = two.cells(&rfm(&[bins])).unwrap_err().to_string();
        assert!(
            error.contains("1 cells that no rule covers: 211; 1 rules that can never match: b (rule 2)"),
            "{error}"
        );
        let cells = two.cells(&rfm(&[bins, "rfm.incomplete_segments=allow"])).unwrap();
        assert_eq!(cells.iter().map(|cell| cell.segment.as_str()).collect::<Vec<_>>(), ["a", "other"]);
        let error = two.cells(&rfm(&[])).unwrap_err().to_string();
        assert!(error.contains("is for scores up to 2, 1 and 1"), "{error}");
    }

    #[test]
    fn a_rule_outside_the_scores_is_named() {
        for (rule, expected) in [
            ("recency = 6", "rule 1 (x) has a range outside the scores"),
            ("recency = [3, 2]", "rule 1 (x) has a range outside the scores"),
            ("cells = ['116']", "rule 1 (x) has a cell 116 that there is not"),
            ("cells = ['111']\nmonetary = 1", "rule 1 (x) has both cells and ranges"),
        ] {
            let map = map(&format!("bins = 5\notherwise = 'o'\n[[segment]]\nname = 'x'\n{rule}"));
            let error = map.cells(&rfm(&[])).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
