//! The README's configuration is one that loads, and leaves no key out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use clap::Parser;
use regulars::cli::Cli;
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

/// What units and manifests run: lists of words in YAML, and lines of a unit.
fn commands() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let lists = readme.lines().filter_map(|line| line.split_once("[regulars, "));
    let lists = lists.map(|(_, words)| words.trim_end_matches(']').split(", ").map(str::to_owned).collect());
    let lines = readme
        .lines()
        .filter_map(|line| line.split_once("bin/regulars ").or(line.split_once("exec regulars ")));
    let lines = lines.map(|(_, words)| words.split_whitespace().map(str::to_owned).collect());
    let unquoted = |words: Vec<String>| {
        words.iter().map(|word| word.trim_matches(&['"', '\'', ']'][..]).to_owned()).collect()
    };
    lists.chain(lines).map(unquoted).collect()
}

#[test]
fn the_units_and_manifests_run_commands_that_there_are() {
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    for words in
        commands.into_iter().filter(|words| ["run", "scheduler", "executor"].contains(&words[0].as_str()))
    {
        let words =
            words.iter().map(String::as_str).filter(|word| !["-u", "-d", "yesterday", "+%F)"].contains(word));
        let parsed = Cli::try_parse_from(["regulars"].into_iter().chain(words));
        assert!(parsed.is_ok(), "{}", parsed.unwrap_err());
    }
}
