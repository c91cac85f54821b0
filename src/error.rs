//! The one error type: what went wrong, where, and what the exit code should say about a retry.

use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::object_store;
use datafusion::parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

use crate::text::in_a_line;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// Arguments or configuration that cannot work.
    Config,
    /// The input does not have the shape that the configuration says.
    Schema,
    /// The input is missing or cannot be read.
    Input,
    /// The input holds values that cannot be used.
    Value,
    /// A configured limit was passed.
    Limit,
    /// Something outside failed; the same command may work later.
    External,
    /// No line is left to work on.
    Empty,
    /// Another run of the same date, with other inputs, was published first.
    Conflict,
    /// A record of ours in the output cannot be read.
    Damaged,
    /// The results broke an audit; a fault of ours or of the data, never published.
    Audit,
    /// A mistake of ours.
    Internal,
}

impl ErrorKind {
    /// The process's exit code: 1 when a retry may help, 2 when it cannot, 3 when another run won.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Config | Self::Schema | Self::Input | Self::Value | Self::Limit => 2,
            Self::Conflict => 3,
            Self::External | Self::Empty | Self::Damaged | Self::Audit | Self::Internal => 1,
        }
    }
}

const NOT_FOUND: &str = "not found";
const CORRUPT_PARQUET: &str = "a Parquet file cannot be read; it may be truncated, corrupt or no Parquet";

/// An error with its kind, a sentence, the places it concerns and what caused it.
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), context: Vec::new(), source: None }
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A Parquet file that cannot be read.
    #[must_use]
    pub fn corrupt_parquet() -> Self {
        Self::new(ErrorKind::Input, CORRUPT_PARQUET)
    }

    /// Whether it tells of a place of that name.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.context.iter().any(|(named, _)| *named == name)
    }

    /// Whether an object is not there, which the store names itself.
    #[must_use]
    pub fn is_of_missing(&self) -> bool {
        // with its cause where it came from another process
        self.message.strip_prefix(NOT_FOUND).is_some_and(|more| more.is_empty() || more.starts_with(": "))
    }

    /// Names a place the error concerns: a file, a key, a column.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// One line: the message, its places in brackets, then its cause.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.context.is_empty() {
            let places: Vec<String> =
                self.context.iter().map(|(name, value)| format!("{name}: {}", in_a_line(value))).collect();
            write!(f, " [{}]", places.join("; "))?;
        }
        if let Some(source) = &self.source {
            let cause = source.to_string();
            write!(f, ": {}", in_a_line(&cause.lines().map(str::trim).collect::<Vec<_>>().join(" ")))?;
        }
        Ok(())
    }
}

/// What an error's text for programmers holds, so that it can be read back from among other text.
#[derive(Serialize, Deserialize)]
struct Told {
    kind: ErrorKind,
    message: String,
}

/// What [`Told`] follows.
const MARK: &str = "regulars::Error ";

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = Told { kind: self.kind, message: self.to_string() };
        write!(f, "{MARK}{}", serde_json::to_string(&told).map_err(|_| fmt::Error)?)
    }
}

impl Error {
    /// The first error that a text for programmers tells of.
    #[must_use]
    pub fn told_in(text: &str) -> Option<Self> {
        let (_, told) = text.split_once(MARK)?;
        let told = serde_json::Deserializer::from_str(told).into_iter::<Told>().next()?.ok()?;
        Some(Self::new(told.kind, told.message))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

/// The engine's errors, sorted by whether repeating the same command can help.
impl From<&DataFusionError> for Error {
    fn from(error: &DataFusionError) -> Self {
        let (kind, message) = match error.find_root() {
            DataFusionError::External(source) => match source.downcast_ref::<Self>() {
                Some(own) => {
                    return Self { kind: own.kind, message: own.to_string(), context: vec![], source: None };
                }
                None => (ErrorKind::External, "the query failed"),
            },
            DataFusionError::ObjectStore(source) => return store_error(source),
            _ if is_disk_full(error) => (
                ErrorKind::External,
                "the disk is full: that of engine.spill_dir, or of the output where it is local",
            ),
            // what a store says while Parquet is written or read comes wrapped
            DataFusionError::ParquetError(error) => match error.as_ref() {
                ParquetError::External(source) if source.is::<object_store::Error>() => {
                    return source
                        .downcast_ref()
                        .map_or_else(|| Self::internal("no store error"), store_error);
                }
                // what a store says of a footer is left as text
                ParquetError::General(text) => match text.split_once("Object Store error: ") {
                    Some((_, told)) => store_text(told),
                    None => (ErrorKind::Input, CORRUPT_PARQUET),
                },
                _ => (ErrorKind::Input, CORRUPT_PARQUET),
            },
            DataFusionError::ArrowError(error, _) => arrow_error(error),
            DataFusionError::ResourcesExhausted(_) => (
                ErrorKind::Limit,
                "out of memory; raise engine.memory_limit or lower engine.target_partitions",
            ),
            DataFusionError::SQL(_, _) | DataFusionError::Plan(_) | DataFusionError::SchemaError(_, _) => {
                (ErrorKind::Schema, "the query cannot be planned")
            }
            DataFusionError::Execution(_) => (ErrorKind::Value, "the query failed on the data"),
            DataFusionError::IoError(error) => io_error(error),
            _ => (ErrorKind::Internal, "the engine failed"),
        };
        Self::new(kind, message).caused_by(error.strip_backtrace())
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        Self::from(&error)
    }
}

fn arrow_error(error: &ArrowError) -> (ErrorKind, &'static str) {
    match error {
        ArrowError::ParquetError(_) => (ErrorKind::Input, CORRUPT_PARQUET),
        ArrowError::CsvError(_) => (ErrorKind::Input, "a CSV file cannot be read"),
        ArrowError::IoError(_, error) => io_error(error),
        ArrowError::CastError(_)
        | ArrowError::ParseError(_)
        | ArrowError::DivideByZero
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::ComputeError(_) => (
            ErrorKind::Value,
            "an expression of input.columns, input.filter or another key fails on the data; TRY_CAST gives null where a cast fails",
        ),
        _ => (ErrorKind::Input, "the data cannot be read"),
    }
}

/// What was read is not what it should be, or reading or writing failed.
fn io_error(error: &std::io::Error) -> (ErrorKind, &'static str) {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => (ErrorKind::Input, "the data cannot be read"),
        _ => (ErrorKind::External, "input or output failed"),
    }
}

/// Whether a disk without space is the cause.
fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let full = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(full, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        next = error.source();
    }
    false
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        store_error(&error)
    }
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        DataFusionError::from(error).into()
    }
}

impl From<datafusion::arrow::error::ArrowError> for Error {
    fn from(error: datafusion::arrow::error::ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

const NOT_PERMITTED: (ErrorKind, &str) = (
    ErrorKind::Config,
    "the store does not permit it; see the credentials, or the permissions of the folder",
);
const STORE_FAILED: (ErrorKind, &str) = (ErrorKind::External, "the object store failed");

/// What a store's error means of which the text alone is left.
fn store_text(told: &str) -> (ErrorKind, &'static str) {
    if told.starts_with("Object at location ") && told.contains(" not found") {
        (ErrorKind::Input, NOT_FOUND)
    } else if is_refusal(told) {
        NOT_PERMITTED
    } else {
        STORE_FAILED
    }
}

/// Whether a store refused a request, as a listing's error has it in its text alone.
fn is_refusal(told: &str) -> bool {
    ["status code: 401", "status code: 403"].iter().any(|code| told.contains(code))
}

fn store_error(error: &object_store::Error) -> Error {
    let (kind, message) = match error {
        _ if is_disk_full(error) => (ErrorKind::External, "the disk of the output is full"),
        object_store::Error::Generic { source, .. } if source.to_string().contains("File system loop") => {
            (ErrorKind::Input, "a link leads back to itself")
        }
        object_store::Error::Generic { source, .. } if is_refusal(&source.to_string()) => NOT_PERMITTED,
        object_store::Error::NotFound { .. } => (ErrorKind::Input, NOT_FOUND),
        object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => {
            NOT_PERMITTED
        }
        object_store::Error::InvalidPath { .. } => (ErrorKind::Input, "not a valid path"),
        _ => STORE_FAILED,
    };
    Error::new(kind, message).caused_by(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_line_with_places_and_cause() {
        let error = Error::config("no such key").with("file", "a.toml").caused_by("line 1\n  line 2");
        assert_eq!(error.to_string(), "no such key [file: a.toml]: line 1 line 2");
    }

    #[test]
    fn an_error_of_ours_survives_the_engine() {
        let through = Error::from(
            DataFusionError::from(Error::new(ErrorKind::Limit, "too many")).context("while counting"),
        );
        assert_eq!((through.kind(), through.to_string().as_str()), (ErrorKind::Limit, "too many"));
    }
}
