//! States of aggregates, as another process might send them.

#![no_main]
#![allow(clippy::unwrap_used, reason = "a target may panic")]

#[path = "../probes.rs"]
mod probes;

use libfuzzer_sys::fuzz_target;
use rand::RngCore;

/// Numbers as the bytes say, and zeros when they are used up.
struct Bytes<'a>(&'a [u8]);

impl RngCore for Bytes<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut number = [0; 4];
        self.fill_bytes(&mut number);
        u32::from_le_bytes(number)
    }

    fn next_u64(&mut self) -> u64 {
        let mut number = [0; 8];
        self.fill_bytes(&mut number);
        u64::from_le_bytes(number)
    }

    fn fill_bytes(&mut self, to: &mut [u8]) {
        let (taken, rest) = self.0.split_at(to.len().min(self.0.len()));
        to.fill(0);
        to[..taken.len()].copy_from_slice(taken);
        self.0 = rest;
    }
}

fuzz_target!(|bytes: &[u8]| probes::state(&mut Bytes(bytes)));
