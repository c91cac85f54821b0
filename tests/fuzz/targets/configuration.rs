//! Keys with values, a line each.

#![no_main]
#![allow(clippy::unwrap_used, reason = "a target may panic")]

#[path = "../probes.rs"]
mod probes;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.lines().map(str::to_owned);
    let date = lines.next().filter(|date| !date.is_empty());
    probes::configuration(lines.collect(), date);
});
