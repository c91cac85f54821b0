//! What a job's failure means: the cluster tells it as text alone.

use crate::error::{Error, ErrorKind};
use crate::text::without_middle;

/// The error of a job that failed.
#[must_use]
pub fn error_of(told: &str) -> Error {
    Error::new(ErrorKind::External, "the job failed on the cluster").caused_by(without_middle(told, 2000, 2000))
}
