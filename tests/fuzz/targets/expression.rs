//! Predicates over lines.

#![no_main]
#![allow(clippy::unwrap_used, reason = "a target may panic")]

#[path = "../probes.rs"]
mod probes;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| probes::expression(text));
