//! The README's configuration is one that loads, and leaves no key out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use regulars::config::keys::KEYS;
use regulars::config::{Arguments, Config};
use support::Bench;

fn example() -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn the_example_loads_and_its_values_are_the_defaults() {
    let bench = Bench::new();
    let config = Some(bench.write("example.toml", &example()).into());
    let written = Config::load(&Arguments { config, ..Arguments::default() }).unwrap();
    let default = Config::load(&Arguments::default()).unwrap();
    assert!(written.input.is_some() && written.output.is_some());
    for (written, default) in [
        (format!("{:?}", written.clean), format!("{:?}", default.clean)),
        (format!("{:?}", written.rfm), format!("{:?}", default.rfm)),
        (format!("{:?}", written.rules), format!("{:?}", default.rules)),
        (format!("{:?}", written.engine), format!("{:?}", default.engine)),
    ] {
        assert_eq!(written, default);
    }
}

#[test]
fn the_example_names_every_key() {
    let example = example();
    for key in KEYS {
        let leaf = key.name.rsplit('.').next().unwrap();
        assert!(example.contains(&format!("{leaf} = ")), "{} is not in the README", key.name);
    }
}
