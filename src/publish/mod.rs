//! Publishing: staged objects, one deciding commit, and promotion that any later run can finish.
//!
//! ```text
//! <output>/_runs/run_date=D/attempts/<id>/<table>/part-*.parquet   staged, outside every table's prefix
//! <output>/_runs/run_date=D/commits/00000001.json                  created with put-if-absent: the one decision
//! <output>/_runs/run_date=D/published.json                         the last commit promoted, with its objects' etags
//! <output>/<table>/run_date=D/part-*.parquet                       promoted, one atomic object each
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use datafusion::object_store::path::Path;
use datafusion::object_store::{self, ObjectStoreExt, PutMode, PutPayload};
use futures::TryStreamExt;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

mod crash_point;
mod fingerprint;
mod manifest;
mod part_writer;
mod place;
mod stage;

use fingerprint::parameters;

pub use crash_point::crash_point;
pub use fingerprint::fingerprints;
pub use manifest::{Commit, Part, TableObjects};
pub use place::Place;
pub use stage::{Stage, relation};

use place::{delete, delete_below};

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
    keep_generations: usize,
    orphan_age: std::time::Duration,
    may_be_committed: Arc<AtomicBool>,
}

impl Attempt {
    /// # Errors
    /// When the configuration has no output.
    pub fn new(place: Place, config: &Config, fingerprints: BTreeMap<String, String>) -> Result<Self> {
        let output = config.required_output()?;
        Ok(Self {
            place,
            id: uuid::Uuid::new_v4().simple().to_string(),
            started_at: Utc::now(),
            parameters: parameters(config, fingerprints.keys())?,
            fingerprints,
            keep_generations: output.keep_generations,
            orphan_age: output.orphan_age,
            may_be_committed: Arc::new(AtomicBool::new(false)),
        })
    }

    /// A stage for its tables.
    #[must_use]
    pub fn stage(&self, rows_per_part: usize) -> Stage {
        Stage::new(self.place.clone(), self.id.clone(), rows_per_part)
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
            published = match self.promote(latest).await {
                Ok(promoted) => Some(promoted),
                Err(error) => {
                    tracing::warn!(%error, "it cannot be finished; computing anew");
                    return Ok(None);
                }
            };
        }
        match published {
            Some(published) if published.holds(&self.fingerprints) && self.stands(&published).await? => {
                Ok(Some(published))
            }
            _ => Ok(None),
        }
    }

    /// Whether every object that a manifest names is there as it was when promoted.
    async fn stands(&self, published: &Commit) -> Result<bool> {
        for part in published.tables.values().flat_map(|table| &table.parts) {
            match self.place.store.head(&self.place.path_of(&part.published)).await {
                Ok(found) if found.size == part.bytes && found.e_tag == part.e_tag => {}
                Ok(_) | Err(object_store::Error::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
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
                    return Ok(Published::Before(self.promote(latest).await?));
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
                Some(latest) => Some(self.what_stands_of(latest).await?),
                None => None,
            };
            let mut commit = self.commit_after(latest.as_ref(), &tables);
            if let Some(latest) = &latest {
                self.carry_counts(latest, &mut commit).await?;
            }
            // from here on the commit may stand although its answer is lost: then nothing that it names may be removed
            self.may_be_committed.store(true, Ordering::SeqCst);
            crash_point("committing");
            if self.create(&commit).await? {
                crash_point("committed");
                let published = self.promote(commit).await?;
                if let Err(error) = self.collect_garbage().await {
                    tracing::warn!(%error, "old generations could not be removed; a later run will");
                }
                return Ok(Published::Now(published));
            }
            self.may_be_committed.store(false, Ordering::SeqCst);
        }
    }

    /// A commit less the names whose staged objects are gone, which cannot be carried over.
    async fn what_stands_of(&self, mut commit: Commit) -> Result<Commit> {
        for table in crate::tables::TABLES {
            let parts = commit.tables.get(table.name).map_or(&[][..], |table| &table.parts);
            for staged in parts.iter().map(|part| self.place.path_of(&part.staged)).collect::<Vec<_>>() {
                match self.place.store.head(&staged).await {
                    Ok(_) => {}
                    Err(object_store::Error::NotFound { .. }) => {
                        tracing::warn!(
                            table = table.name,
                            "its staged objects are gone; it is no longer published"
                        );
                        commit.tables.remove(table.name);
                        commit.fingerprints.retain(|name, _| table.selection != Some(name));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(commit)
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
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            committed_at: Utc::now(),
            fingerprints,
            parameters,
            tables: all,
        }
    }

    /// Creates a commit unless its generation exists; true when ours stands, also when only the answer was lost.
    async fn create(&self, commit: &Commit) -> Result<bool> {
        let path = self.place.commit_path(commit.generation);
        match self.place.store.put_opts(&path, json(commit)?, PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                let standing = self.place.read(&path).await?;
                Ok(standing.is_some_and(|standing| standing.attempt == self.id))
            }
            Err(error) => Err(Error::from(error).with("object", path)),
        }
    }

    /// Brings the tables' prefixes to what a commit says, then to what any newer commit says.
    async fn promote(&self, commit: Commit) -> Result<Commit> {
        let mut commit = commit;
        loop {
            if let Err(error) = self.promote_parts(&mut commit).await {
                // what a newer generation dropped may be gone already
                match self.place.latest_commit().await? {
                    Some(newer) if newer.generation > commit.generation => commit = newer,
                    _ => return Err(error),
                }
                continue;
            }
            crash_point("promoted");
            self.remove_strays(&commit).await?;
            crash_point("recording");
            let manifest = self.place.runs().join("published.json");
            self.place.store.put(&manifest, json(&commit)?).await?;
            crash_point("recorded");
            match self.place.latest_commit().await? {
                Some(newer) if newer.generation > commit.generation => commit = newer,
                _ => return Ok(commit),
            }
        }
    }

    async fn promote_parts(&self, commit: &mut Commit) -> Result<()> {
        let store = &self.place.store;
        for part in commit.tables.values_mut().flat_map(|table| &mut table.parts) {
            let published = self.place.path_of(&part.published);
            let failed = |error| {
                Error::new(ErrorKind::External, "an object cannot be promoted")
                    .with("object", &part.published)
                    .caused_by(error)
            };
            crash_point("promoting");
            store.copy(&self.place.path_of(&part.staged), &published).await.map_err(failed)?;
            part.e_tag = store.head(&published).await.map_err(failed)?.e_tag;
        }
        Ok(())
    }

    /// Removes published parts of this date that a commit does not have.
    async fn remove_strays(&self, commit: &Commit) -> Result<()> {
        let named: BTreeSet<Path> = commit
            .tables
            .values()
            .flat_map(|table| &table.parts)
            .map(|part| self.place.path_of(&part.published))
            .collect();
        for table in crate::tables::TABLES {
            let folder = self.place.path_of(&format!("{}/run_date={}", table.name, self.place.run_date));
            let objects: Vec<_> = self.place.store.list(Some(&folder)).try_collect().await?;
            for object in objects.iter().filter(|object| !named.contains(&object.location)) {
                delete(self.place.store.as_ref(), &object.location).await?;
            }
        }
        Ok(())
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

    /// Removes generations beyond those to keep, and attempts that no kept commit names once they are old enough.
    async fn collect_garbage(&self) -> Result<()> {
        let generations = self.place.generations().await?;
        let (dropped, kept) = generations.split_at(generations.len().saturating_sub(self.keep_generations));
        let mut named = BTreeSet::new();
        for generation in kept {
            if let Some(commit) = self.place.read(&self.place.commit_path(*generation)).await? {
                named.extend(commit.attempts().map(str::to_owned));
            }
        }
        let mut dropped_attempts = BTreeSet::new();
        for generation in dropped {
            crash_point("collecting");
            let path = self.place.commit_path(*generation);
            if let Some(commit) = self.place.read(&path).await? {
                dropped_attempts.extend(commit.attempts().map(str::to_owned));
            }
            delete(self.place.store.as_ref(), &path).await?;
        }
        let attempts = self.place.runs().join("attempts");
        let objects: Vec<_> = self.place.store.list(Some(&attempts)).try_collect().await?;
        for object in objects {
            let Some(attempt) = object
                .location
                .prefix_match(&attempts)
                .and_then(|mut parts| parts.next())
                .map(|part| part.as_ref().to_owned())
            else {
                continue;
            };
            let age = (Utc::now() - object.last_modified).to_std().unwrap_or_default();
            if !named.contains(&attempt) && (dropped_attempts.contains(&attempt) || age > self.orphan_age) {
                delete(self.place.store.as_ref(), &object.location).await?;
            }
        }
        Ok(())
    }
}

fn json(commit: &Commit) -> Result<PutPayload> {
    let bytes = serde_json::to_vec_pretty(commit)
        .map_err(|error| Error::internal("a commit cannot be written as JSON").caused_by(error))?;
    Ok(PutPayload::from(bytes))
}
