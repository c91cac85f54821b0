//! What a commit says: which objects belong together, what they were made from, and by whom.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::tables::GroupColumn;

/// A commit; also, once it is promoted, the manifest of what is published for its run date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub generation: u64,
    pub run_date: NaiveDate,
    pub attempt: String,
    /// The generation that a rollback took it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<u64>,
    /// The version of regulars that computed it.
    pub version: String,
    pub started_at: DateTime<Utc>,
    pub committed_at: DateTime<Utc>,
    /// The names that this run computed; tables of other names are carried over from the commit before.
    pub selected: Vec<String>,
    /// The fingerprint of what the tables of each name were computed from.
    pub fingerprints: BTreeMap<String, String>,
    /// What the tables of each name mean: the keys that decided them, as configured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, serde_json::Value>,
    pub tables: BTreeMap<String, TableObjects>,
    /// Whether they are Delta Lake tables, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_delta: bool,
}

/// A table's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableObjects {
    pub rows: u64,
    /// The columns that `rules.by` led it with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupColumn>,
    pub parts: Vec<Part>,
}

/// One object of a table. Paths are relative to the output's location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub staged: String,
    pub published: String,
    pub bytes: u64,
    #[serde(default)]
    pub rows: u64,
    pub sha256: String,
    /// As the store told after promotion; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
}

impl TableObjects {
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

impl Commit {
    /// Whether it holds each of these names as computed from these fingerprints.
    #[must_use]
    pub fn holds(&self, fingerprints: &BTreeMap<String, String>) -> bool {
        fingerprints.iter().all(|(name, fingerprint)| self.fingerprints.get(name) == Some(fingerprint))
    }

    /// Whether it computed one of these names from something else.
    #[must_use]
    pub fn contradicts(&self, fingerprints: &BTreeMap<String, String>) -> bool {
        self.selected.iter().any(|name| {
            fingerprints.get(name).is_some_and(|fingerprint| self.fingerprints.get(name) != Some(fingerprint))
        })
    }

    /// The attempts whose staged objects it names.
    pub fn attempts(&self) -> impl Iterator<Item = &str> + '_ {
        let of_parts = self.tables.values().flat_map(|table| &table.parts).filter_map(|part| {
            let (_, rest) = part.staged.split_once("/attempts/")?;
            rest.split('/').next()
        });
        of_parts.chain([self.attempt.as_str()])
    }

    /// Seconds from the start of the run to its commit.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.committed_at - self.started_at).as_seconds_f64()
    }
}
