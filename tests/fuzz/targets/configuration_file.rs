//! Configuration files.

#![no_main]
#![allow(clippy::unwrap_used, reason = "a target may panic")]

#[path = "../probes.rs"]
mod probes;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| NamedTempFile::new().unwrap());

fuzz_target!(|bytes: &[u8]| probes::configuration_file(bytes, FILE.path()));
