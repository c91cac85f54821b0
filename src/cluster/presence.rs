//! Which executors are there, and what it means for a job when one is not.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};

pub const EXECUTOR_LOST: &str = "an executor was lost";

/// How long a job waits for executors where there are none: a supervisor starts them anew sooner.
const MOST_WAITING: Duration = Duration::from_mins(2);

/// The executors that were there when last looked at, by their ids.
#[derive(Debug, Default)]
pub struct Presence {
    executors: BTreeSet<String>,
    /// Since when there is none.
    alone_since: Option<Instant>,
}

impl Presence {
    /// Notes who is there before a job begins.
    pub fn begin(&mut self, executors: BTreeSet<String>) {
        *self = Self { executors, alone_since: None };
    }

    /// Notes who is there now.
    ///
    /// # Errors
    /// When one is gone: what it had written is lost, and a job that is begun anew without it is sure to be right. When there has been
    /// none for long.
    pub fn look(&mut self, executors: BTreeSet<String>, now: Instant) -> Result<()> {
        let before = std::mem::replace(&mut self.executors, executors);
        if self.executors.is_empty() {
            let since = *self.alone_since.get_or_insert(now);
            if now.duration_since(since) >= MOST_WAITING {
                let message = format!(
                    "the cluster has had no executors for {} seconds; start some with regulars executor, and look into their logs for why they ended",
                    MOST_WAITING.as_secs()
                );
                return Err(Error::new(ErrorKind::External, message));
            }
        } else {
            self.alone_since = None;
        }
        match before.difference(&self.executors).next() {
            None => Ok(()),
            Some(lost) => Err(Error::new(ErrorKind::External, EXECUTOR_LOST).with("executor", lost)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_executor_that_is_gone_is_told_once() {
        let mut presence = Presence::default();
        presence.begin(ids(&["a", "b"]));
        let now = Instant::now();
        presence.look(ids(&["a", "b", "c"]), now).unwrap();
        let lost = presence.look(ids(&["a", "c"]), now).unwrap_err().to_string();
        assert!(lost.contains(EXECUTOR_LOST) && lost.contains("executor: b"), "{lost}");
        presence.look(ids(&["a", "c"]), now).unwrap();
    }

    #[test]
    fn a_job_waits_for_executors_for_a_while() {
        let mut presence = Presence::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        presence.look(ids(&[]), at(0)).unwrap();
        presence.look(ids(&[]), at(100)).unwrap();
        presence.look(ids(&["a"]), at(110)).unwrap();
        assert!(presence.look(ids(&[]), at(111)).is_err(), "a is lost");
        presence.look(ids(&[]), at(230)).unwrap();
        let error = presence.look(ids(&[]), at(231)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::External);
        assert!(error.to_string().contains("no executors for 120 seconds"), "{error}");
    }
}
