//! regulars
pub mod config;
pub mod error;
pub mod session;
pub mod sql;
pub mod udaf;
pub mod udf;
