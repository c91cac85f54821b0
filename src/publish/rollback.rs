//! Back to an older generation that is still kept: a commit of its own, promoted like any other.

use chrono::Utc;

use super::manifest::Commit;
use super::place::Place;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Commits the tables of an older generation anew, and promotes them. What they were computed from comes along, so that a run of the
/// same inputs finds nothing to do, and one of others computes.
///
/// # Errors
/// `Input` when the generation is not kept or its objects are gone, `Conflict` when another run commits at the same moment, and when the
/// store fails.
pub async fn rollback(config: &Config, generation: u64) -> Result<Commit> {
    let output = config.required_output()?;
    let run_date = config.required_run_date()?;
    let place = Place::open(output, run_date).await?;
    let kept = place.generations().await?;
    let Some(latest) = kept.last().copied() else {
        return Err(Error::new(ErrorKind::Input, format!("nothing is published for {run_date}")));
    };
    let Some(wanted) = place.read(&place.commit_path(generation)).await? else {
        let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let message =
            format!("generation {generation} of {run_date} is not kept; there is: {}", kept.join(", "));
        return Err(Error::new(ErrorKind::Input, message).with("key", "output.keep_generations"));
    };
    if !wanted.as_delta && place.has_delta_tables().await? {
        let message = format!(
            "generation {generation} of {run_date} is plain Parquet, and Delta tables stand in the output now"
        );
        return Err(Error::config(message).with("key", "output.format"));
    }
    let started_at = Utc::now();
    if generation == latest {
        return place.promote(wanted).await;
    }
    let whole = wanted.tables.len();
    let standing = place.what_stands_of(wanted).await?;
    if standing.tables.len() < whole {
        let message = format!("objects of generation {generation} of {run_date} are gone");
        return Err(Error::new(ErrorKind::Input, message));
    }
    let commit = Commit {
        generation: latest + 1,
        attempt: uuid::Uuid::new_v4().simple().to_string(),
        started_at,
        committed_at: Utc::now(),
        selected: standing.fingerprints.keys().cloned().collect(),
        restored_from: Some(generation),
        ..standing
    };
    if !place.create(&commit).await? {
        let message = format!("another run of {run_date} was published first, as generation {}", latest + 1);
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let promoted = place.promote(commit).await?;
    place.tidy_up(output.keep_generations, output.orphan_age).await;
    Ok(promoted)
}
