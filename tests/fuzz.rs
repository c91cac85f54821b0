//! What nobody would write on purpose: configuration, expressions and states of aggregates at random are refused or work, and never
//! break the process.
//!
//! `REGULARS_FUZZ_CASES=1000000 cargo test --release --test fuzz` tries as many of each; a few hundred without it. With cargo-fuzz:
//! `cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none expression`, or another of `tests/fuzz/targets`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "fuzz/probes.rs"]
mod probes;

use std::sync::LazyLock;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use regulars::config::keys::KEYS;

fn cases() -> ProptestConfig {
    let cases = std::env::var("REGULARS_FUZZ_CASES").map_or(300, |cases| cases.parse().unwrap());
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 1000, ..ProptestConfig::default() }
}

/// Texts that a key may be given: what some key takes, and what none does.
fn value() -> impl Strategy<Value = String> {
    let known = vec![
        "true",
        "0",
        "1",
        "-1",
        "0.3",
        "1e400",
        "nan",
        "inf",
        "9223372036854775807",
        "\"\"",
        "[]",
        "['a', '']",
        "[1, 2.5]",
        "[3, 1]",
        "{ recency = 1 }",
        "{ recency = \"fixed\", frequency = 2 }",
        "run_date + 1 day",
        "run_date + 99999999999 days",
        "2024-02-30",
        "2024-02-29",
        "365 days",
        "0 days",
        "quantile",
        "fixed",
        "ntile",
        "grid",
        "braze",
        "x.toml",
        "x.parquet",
        "24h",
        "8GiB",
        "99999999999GiB",
        "Europe/London",
        "Mars/Olympus",
        "s3://bucket/x",
        "ftp://x",
        "ballista",
        "delta",
        "zstd",
        "bh",
        "maximal",
        "hmac-sha256",
    ];
    prop_oneof![
        prop::sample::select(known).prop_map(str::to_owned),
        ".{0,20}",
        "[\\[\\]{}'\",=0-9a-z. ]{0,20}"
    ]
}

fn assignment() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        8 => (0..KEYS.len()).prop_map(|place| KEYS[place].name.to_owned()),
        1 => "[a-z_.]{0,16}",
    ];
    (name, value()).prop_map(|(name, value)| format!("{name}={value}"))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_configuration_is_taken_or_refused(set in prop::collection::vec(assignment(), 0..6), date in prop::option::of("[0-9-]{8,12}")) {
        probes::configuration(set, date);
    }
}

/// A configuration file as the README has it, with some of its bytes changed.
static EXAMPLE: LazyLock<String> = LazyLock::new(|| {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
});

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_configuration_file_is_taken_or_refused(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = EXAMPLE.clone().into_bytes();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        probes::configuration_file(&bytes, file.path());
    }
}

fn expression() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "order_id",
        "item_id",
        "amount",
        "order_ts",
        "'a'",
        "1",
        "-1",
        "2.5",
        "NULL",
        "true",
        "(",
        ")",
        ",",
        "=",
        "<",
        ">=",
        "+",
        "*",
        "/",
        "%",
        "||",
        "AND",
        "OR",
        "NOT",
        "IS",
        "IN",
        "LIKE",
        "BETWEEN",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "CAST(",
        "AS INT)",
        "DATE '2024-01-01'",
        "INTERVAL '1' DAY",
        "sum(",
        "count(*)",
        "max(",
        "OVER",
        "(SELECT 1)",
        "EXISTS",
        "(SELECT",
        "FROM",
        "input",
        "'/etc/passwd'",
        ";",
        "DROP TABLE",
        "--",
        "/*",
        "*/",
        "lower(",
        "row_number()",
        "[1]",
        "{",
        "}",
        "$1",
        "$x",
        "@",
        "\\",
        "\"",
        "'",
        "unnest(",
        "random()",
        "::",
        "::int",
        "[",
    ]);
    prop_oneof![prop::collection::vec(word, 1..9).prop_map(|words| words.join(" ")), ".{0,24}"]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_expression_is_over_one_line_or_refused(text in expression()) {
        probes::expression(&text);
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_state_is_merged_or_refused(seed in any::<u64>()) {
        probes::state(&mut ChaCha8Rng::seed_from_u64(seed));
    }
}
