//! Fingerprints: whether a run would compute again what is published.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use datafusion::object_store::ObjectMeta;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::config::{Config, GroupBy, Input, Rules};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::pipeline::Inputs;
use crate::udf::pseudonym::Pseudonyms;

#[derive(Serialize)]
struct Material<'a> {
    version: &'a str,
    run_date: NaiveDate,
    rows_per_part: usize,
    as_delta: bool,
    location: String,
    input: &'a Input,
    files: Vec<(&'a str, u64, Option<&'a str>)>,
    clean: &'a crate::config::Clean,
    name: &'a str,
    parameters: serde_json::Value,
}

/// For each selected name, the SHA-256 over our version, the input's files as listed (path, size, etag) and every
/// parameter that its tables depend on; `engine.*` is none of them.
///
/// # Errors
/// When the configuration lacks what a run needs.
pub fn fingerprints(
    config: &Config,
    files: &[ObjectMeta],
    inputs: &Inputs,
) -> Result<BTreeMap<String, String>> {
    let mut fingerprints = BTreeMap::new();
    let mut names = config.select.names();
    if config.select.rules {
        names.push("itemsets");
    }
    // itemsets and rules depend on the customers' scores where they are grouped by them
    let by_customers = config.rules.by.iter().any(|by| matches!(by, GroupBy::Customer(_)));
    let customers = by_customers.then_some((&config.rfm, &inputs.segments));
    let hierarchy = listed(&inputs.hierarchy.files);
    for name in names {
        let parameters = match name {
            "rfm" => serde_json::to_value((&config.rfm, &inputs.segments, privacy(config)?)),
            "itemsets" => serde_json::to_value((itemset_parameters(&config.rules), customers, &hierarchy)),
            _ => serde_json::to_value((&config.rules, customers, &hierarchy)),
        };
        let material = Material {
            version: env!("CARGO_PKG_VERSION"),
            run_date: config.required_run_date()?,
            rows_per_part: config.required_output()?.rows_per_part,
            as_delta: config.required_output()?.as_delta,
            location: Location::parse(&config.required_input()?.location)?.to_string(),
            input: config.required_input()?,
            files: listed(files),
            clean: &config.clean,
            name,
            parameters: parameters.map_err(unwritable)?,
        };
        let digest = Sha256::digest(serde_json::to_vec(&material).map_err(unwritable)?);
        fingerprints.insert(name.to_owned(), hex::encode(digest));
    }
    Ok(fingerprints)
}

/// For each name the configuration that its tables mean something by: how lines were cleaned, and what was computed of them.
///
/// # Errors
/// Only when the configuration cannot be written as JSON, which would be a mistake of ours.
pub fn parameters<'a>(
    config: &Config,
    names: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<String, serde_json::Value>> {
    let written = names.map(|name| {
        let clean = &config.clean;
        let value = match name.as_str() {
            "rfm" => serde_json::json!({ "clean": clean, "rfm": config.rfm }),
            _ => serde_json::json!({ "clean": clean, "rules": config.rules }),
        };
        Ok((name.clone(), value))
    });
    written.collect()
}

/// What decides who can be told from the customers' tables; a pseudonym stands for the key.
fn privacy(config: &Config) -> Result<impl Serialize> {
    let output = config.required_output()?;
    let key = output
        .pseudonymise_customers
        .then(|| Pseudonyms::from_environment().map(|pseudonyms| pseudonyms.of("regulars")))
        .transpose()
        .map_err(Error::config)?;
    Ok((key, output.minimum_group_size))
}

/// Files as they were listed: path, size, etag.
fn listed(files: &[ObjectMeta]) -> Vec<(&str, u64, Option<&str>)> {
    files.iter().map(|file| (file.location.as_ref(), file.size, file.e_tag.as_deref())).collect()
}

/// What decides the itemsets, of all that decides the rules.
fn itemset_parameters(rules: &Rules) -> impl Serialize {
    let lengths = (rules.min_length, rules.max_length);
    let limits = (rules.max_itemsets, rules.max_groups);
    (
        rules.min_support,
        lengths,
        limits,
        rules.target,
        rules.items.clone(),
        rules.by.clone(),
        rules.hierarchy.clone(),
    )
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::internal("the configuration cannot be written as JSON").caused_by(error)
}
