//! Publishing: staged objects, one deciding commit, and promotion that any later run can finish.
//!
//! ```text
//! <output>/_runs/run_date=D/attempts/<id>/<table>/part-*.parquet   staged, outside every table's prefix
//! <output>/_runs/run_date=D/commits/00000001.json                  created with put-if-absent: the one decision
//! <output>/_runs/run_date=D/published.json                         the last commit promoted, with its objects' etags
//! <output>/<table>/run_date=D/part-*.parquet                       promoted, one atomic object each
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};

use crate::config::Config;
use crate::crash_point::crash_point;
use crate::error::{Error, ErrorKind, Result};

mod delta;
mod fingerprint;
mod garbage;
mod manifest;
pub(crate) mod part_writer;
mod place;
mod promotion;
mod rollback;
mod scratch;
mod spread;
mod stage;

use fingerprint::parameters;

pub use fingerprint::fingerprints;
pub use manifest::{Commit, Part, TableObjects};
pub use place::Place;
pub use rollback::rollback;
pub use scratch::Scratch;
pub use stage::{Stage, relation};

use place::delete_below;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// This run's tables stand.
    Now(Commit),
    /// The same had been published, by an earlier run or by one at the same time.
    Before(Commit),
}

/// One run's way to its publication.
#[derive(Debug, Clone)]
pub struct Attempt {
    place: Place,
    id: String,
    started_at: DateTime<Utc>,
    /// What this run selected, with what it is computed from.
    fingerprints: BTreeMap<String, String>,
    /// What they were computed with, by the same names.
    parameters: BTreeMap<String, serde_json::Value>,
    as_delta: bool,
    keep_generations: usize,
    orphan_age: std::time::Duration,
    may_be_committed: Arc<AtomicBool>,
}

impl Attempt {
    /// # Errors
    /// When the configuration has no output.
    pub fn new(
        place: Place,
        config: &Config,
        fingerprints: BTreeMap<String, String>,
        run_id: uuid::Uuid,
    ) -> Result<Self> {
        let output = config.required_output()?;
        Ok(Self {
            place,
            id: run_id.simple().to_string(),
            started_at: Utc::now(),
            parameters: parameters(config, fingerprints.keys())?,
            fingerprints,
            as_delta: output.as_delta,
            keep_generations: output.keep_generations,
            orphan_age: output.orphan_age,
            may_be_committed: Arc::new(AtomicBool::new(false)),
        })
    }

    /// A stage for its tables.
    #[must_use]
    pub fn stage(&self, rows_per_part: usize) -> Stage {
        Stage::new(self.place.clone(), self.id.clone(), rows_per_part, self.as_delta)
    }

    /// The published commit when it holds all that this run would compute and its objects stand; finishes a promotion that
    /// an earlier run left half done.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn already_published(&self) -> Result<Option<Commit>> {
        let Some(latest) = self.place.latest_commit().await? else { return Ok(None) };
        let mut published = self.place.published().await?;
        if published.as_ref().is_none_or(|published| published.generation != latest.generation) {
            tracing::warn!(generation = latest.generation, "finishing the promotion of an earlier run");
            published = match self.place.promote(latest).await {
                Ok(promoted) => Some(promoted),
                Err(error) => {
                    tracing::warn!(%error, "it cannot be finished; computing anew");
                    return Ok(None);
                }
            };
        }
        match published {
            Some(published)
                if published.holds(&self.fingerprints) && self.place.stands(&published).await? =>
            {
                Ok(Some(published))
            }
            _ => Ok(None),
        }
    }

    /// Commits the staged tables and promotes them. `based_on` is the newest generation when the run began: whoever
    /// committed since then decides whether it may still publish.
    ///
    /// # Errors
    /// `Conflict` when a run of the same date with other inputs committed first; otherwise when the store fails.
    pub async fn publish(&self, tables: BTreeMap<String, TableObjects>, based_on: u64) -> Result<Published> {
        let mut judged = based_on;
        loop {
            let generations = self.place.generations().await?;
            for generation in generations.iter().filter(|generation| **generation > judged) {
                let other = self.place.read(&self.place.commit_path(*generation)).await?;
                if other.as_ref().is_some_and(|other| other.holds(&self.fingerprints)) {
                    self.discard().await?;
                    let latest = self.place.latest_commit().await?;
                    let latest = latest.ok_or_else(|| Error::internal("the commits are gone"))?;
                    return Ok(Published::Before(self.place.promote(latest).await?));
                }
                // one that is gone already was followed by others, and is taken for a conflict
                if other.is_none_or(|other| other.contradicts(&self.fingerprints)) {
                    self.discard().await?;
                    let message = format!(
                        "another run of {} with other inputs was published first, as generation {generation}",
                        self.place.run_date
                    );
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
            }
            judged = generations.last().copied().unwrap_or_default().max(judged);
            let latest = self.place.latest_commit().await?.filter(|latest| latest.generation == judged);
            let latest = match latest {
                Some(latest) => Some(self.place.what_stands_of(latest).await?),
                None => None,
            };
            let mut commit = self.commit_after(latest.as_ref(), &tables);
            if let Some(latest) = &latest {
                self.carry_counts(latest, &mut commit).await?;
            }
            if commit.as_delta {
                self.place.check_delta_types(&commit).await?;
            }
            // from here on the commit may stand although its answer is lost: then nothing that it names may be removed
            self.may_be_committed.store(true, Ordering::SeqCst);
            crash_point("committing");
            if self.place.create(&commit).await? {
                crash_point("committed");
                let published = self.place.promote(commit).await?;
                self.place.tidy_up(self.keep_generations, self.orphan_age).await;
                return Ok(Published::Now(published));
            }
            self.may_be_committed.store(false, Ordering::SeqCst);
        }
    }

    /// Adds to the commit's summary what earlier runs counted of the names that it carries over, so that the summary tells
    /// of all the tables that stand, whichever runs computed them.
    async fn carry_counts(&self, latest: &Commit, commit: &mut Commit) -> Result<()> {
        let carried =
            |name: &str| commit.fingerprints.contains_key(name) && !self.fingerprints.contains_key(name);
        let (rfm, itemsets, rules) = (carried("rfm"), carried("itemsets"), carried("rules"));
        let is_carried = |stage: &str, measure: &str| match stage {
            "rfm" => rfm,
            "rules" => itemsets || (rules && measure.starts_with("rules_")),
            // the one that a selection alone reads
            "clean" => {
                (rfm && measure == "lines_without_customer") || (itemsets && measure == "lines_without_item")
            }
            _ => false,
        };
        let Some((before, own)) = latest.tables.get("run_summary").zip(commit.tables.get("run_summary"))
        else {
            return Ok(());
        };
        let stage = self.stage(usize::MAX);
        if let Some(merged) = stage.merge_counts(before, own, is_carried, commit.generation).await? {
            commit.tables.insert("run_summary".to_owned(), merged);
        }
        Ok(())
    }

    /// The commit that a dry run would have made, had it been the first.
    #[must_use]
    pub fn would_commit(&self, tables: &BTreeMap<String, TableObjects>) -> Commit {
        self.commit_after(None, tables)
    }

    /// The commit after another: this run's tables, and the other's that it did not select.
    fn commit_after(&self, latest: Option<&Commit>, tables: &BTreeMap<String, TableObjects>) -> Commit {
        let mut all = latest.map(|latest| latest.tables.clone()).unwrap_or_default();
        // a table that this run did not make, of a name that it selected, is one that is no longer asked for
        all.retain(|name, _| {
            let selection = crate::tables::table(name).and_then(|table| table.selection);
            selection.is_none_or(|selection| !self.fingerprints.contains_key(selection))
        });
        all.extend(tables.clone());
        let mut fingerprints = latest.map(|latest| latest.fingerprints.clone()).unwrap_or_default();
        if self.fingerprints.contains_key("itemsets") && !self.fingerprints.contains_key("rules") {
            // rules of other itemsets no longer belong to these
            let same = fingerprints.get("itemsets") == self.fingerprints.get("itemsets");
            if !same {
                fingerprints.remove("rules");
                all.retain(|name, _| {
                    crate::tables::table(name).is_none_or(|table| table.selection != Some("rules"))
                });
            }
        }
        fingerprints.extend(self.fingerprints.clone());
        let mut parameters = latest.map(|latest| latest.parameters.clone()).unwrap_or_default();
        parameters.extend(self.parameters.clone());
        parameters.retain(|name, _| fingerprints.contains_key(name));
        Commit {
            generation: latest.map_or(0, |latest| latest.generation) + 1,
            selected: self.fingerprints.keys().cloned().collect(),
            run_date: self.place.run_date,
            attempt: self.id.clone(),
            restored_from: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            committed_at: Utc::now(),
            fingerprints,
            parameters,
            tables: all,
            as_delta: self.as_delta,
        }
    }

    /// An error that says why, where what this run staged is gone.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        if !error.is_of_missing() || !error.to_string().contains(&self.id) {
            return error;
        }
        let message = "what this run had staged is gone; another run takes it for left behind when output.orphan_age is shorter than a run";
        Error::new(ErrorKind::External, message).with("key", "output.orphan_age").caused_by(error)
    }

    /// Removes what this attempt staged, unless it is or may be committed: a later run collects it by its age if not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn discard(&self) -> Result<()> {
        if self.may_be_committed.load(Ordering::SeqCst) {
            return Ok(());
        }
        delete_below(self.place.store.as_ref(), &self.place.attempt_path(&self.id)).await
    }
}
