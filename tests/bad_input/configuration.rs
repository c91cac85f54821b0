//! Mistakes in configuration files and settings.

use super::*;

/// A configuration file and what is said of it.
const FILES: &[(&str, &[&str])] = &[
    ("[rules\nmin_support = 1", &["is not valid TOML", "line 1, column 7", "unclosed table"]),
    ("rules.min_support = = 1", &["is not valid TOML", "line 1", "extra `=`"]),
    ("[rules]\nmin_support = 0.1\nmin_support = 0.2", &["is not valid TOML", "line 3", "duplicate key"]),
    ("[rules]\nmax_length = 99999999999999999999", &["is not valid TOML", "line 2", "99999999999999999999"]),
    ("[rules]\nmin_suport = 0.1", &["there is no key rules.min_suport; did you mean rules.min_support?"]),
    ("[rule]\nmin_support = 0.1", &["there is no key rule", "did you mean rules"]),
    ("[input.column]\norder_id = 'a'", &["there is no key input.column", "did you mean input.columns"]),
    ("colour = 'red'", &["there is no key colour"]),
    ("rules = 5", &["rules is a table of keys, not 5"]),
    ("[[rules]]\nmin_support = 0.1", &["rules is a table of keys, not [{"]),
    ("[rules.min_support]\nleast = 1", &["rules.min_support must be a number, not {"]),
    ("[input]\nfilter = 5", &["input.filter must be a string, not 5", "key: input.filter"]),
    ("[input]\nlocation = ['a']", &["input.location must be a string, not ["]),
    ("[input]\ncsv = { header = 'yes' }", &["input.csv.header must be true or false, not \"yes\""]),
    ("[rules]\nmax_length = 'five'", &["rules.max_length must be a whole number, not \"five\""]),
    ("[rules]\nmax_length = 5.5", &["rules.max_length must be a whole number, not 5.5"]),
    ("[rfm]\ngroups = 'Low'", &["rfm.groups must be a list of strings, not \"Low\""]),
    ("[rfm]\ngroups = ['Low', 5]", &["rfm.groups must be a list of strings, not [\"Low\", 5]"]),
    (
        "[rfm]\nweights = { recency = 0.5 }",
        &["the other two weights must sum to 1", "key: rfm.weights.recency"],
    ),
    (
        "[rules]\nmin_support = 0.1\nmin_support_count = 5",
        &["rules.min_support_count replaces rules.min_support"],
    ),
    ("[rfm]\nas_of = 2024-12-30", &["rfm.as_of must be run_date", "not before the run date"]),
    ("[input]\ntimezone = 'Mars/Phobos'", &["input.timezone is no time zone", "Europe/London"]),
];

#[test]
fn a_mistake_in_a_configuration_file_is_told_with_the_file_and_the_key() {
    none_complain(FILES, |(config, says)| {
        let bench = Bench::new();
        let place = bench.write("shop.toml", config);
        let ran = run(&good(&bench), &bench.text("out"), &["--config".to_owned(), place.clone()]);
        let says: Vec<String> = says.iter().map(ToString::to_string).chain([place]).collect();
        complaint(&ran, 2, &says).map(|wrong| format!("{config}: {wrong}"))
    });
}

const NO_CONFIGURATION: &[Case] = &[
    refused(
        "a configuration that is missing",
        good,
        &["--config", "BENCH/nowhere.toml"],
        &["the configuration file cannot be read", "BENCH/nowhere.toml", "No such file"],
    ),
    refused(
        "a folder as configuration",
        |bench| {
            std::fs::create_dir(bench.path("conf")).unwrap();
            good(bench)
        },
        &["--config", "BENCH/conf"],
        &["the configuration file cannot be read", "BENCH/conf"],
    ),
    refused(
        "the data as configuration",
        |bench| parquet(bench, "in.parquet", lines()),
        &["--config", "BENCH/in.parquet"],
        &["the configuration file cannot be read", "UTF-8", "BENCH/in.parquet"],
    ),
    works(
        "an empty configuration",
        |bench| {
            bench.write("shop.toml", "");
            good(bench)
        },
        &["--config", "BENCH/shop.toml"],
    ),
    refused(
        "no such day",
        good,
        &["--run-date", "2024-02-30"],
        &["--run-date must be a date, YYYY-MM-DD", "2024-02-30"],
    ),
    refused(
        "a date in another order",
        good,
        &["--run-date", "31.12.2024"],
        &["--run-date must be a date, YYYY-MM-DD"],
    ),
    refused(
        "a year of five digits",
        good,
        &["--run-date", "10000-12-31"],
        &["--run-date must be a date, YYYY-MM-DD"],
    ),
    refused("no date", good, &["--run-date", ""], &["--run-date is empty"]),
    refused(
        "an unknown selection",
        good,
        &["--select", "rfm,rule"],
        &["--select takes rfm, itemsets and rules", "value: rule"],
    ),
    refused("an empty selection", good, &["--select", ""], &["--select takes rfm, itemsets and rules"]),
];

#[test]
fn a_configuration_that_cannot_be_read_is_told_so() {
    all_hold(NO_CONFIGURATION);
}

/// Assignments that are refused, and what is said beside the key and `--set`.
const SETTINGS: &[(&str, &str)] = &[
    ("rules", "--set takes KEY=VALUE"),
    ("colour=red", "there is no key colour"),
    ("rules.min_suport=1", "did you mean rules.min_support?"),
    ("rules.min_support=0.1=0.2", "rules.min_support must be a number"),
    ("input.format=json", "must be parquet or csv"),
    ("input.csv.delimiter=;;", "must be one ASCII character"),
    ("input.csv.delimiter=", "must be one ASCII character"),
    ("input.csv.delimiter=é", "must be one ASCII character"),
    ("input.csv.delimiter=\"\\n\"", "must be one ASCII character"),
    ("input.csv.delimiter=\"\\r\"", "must be one ASCII character"),
    ("input.csv.delimiter=\"\\\"\"", "must be one ASCII character"),
    ("input.csv.delimiter=\"\\u0000\"", "must be one ASCII character"),
    ("input.csv.header=maybe", "must be true or false"),
    ("input.partitions=year", "must be a list of strings"),
    ("input.timezone=Mars/Phobos", "is no time zone"),
    ("input.timezone=", "is no time zone"),
    ("clean.returns=maybe", "must be exclude or net or keep or error, not maybe"),
    ("clean.unpriced=maybe", "must be keep or exclude, not maybe"),
    ("clean.duplicates=maybe", "must be keep or drop, not maybe"),
    ("clean.invalid=maybe", "must be error or drop, not maybe"),
    ("clean.returns_when=", "is no SQL expression"),
    ("rfm.as_of=2024-12-30", "not before the run date"),
    ("rfm.as_of=tomorrow", "not before the run date"),
    ("rfm.as_of=2025-02-30", "not before the run date"),
    ("rfm.as_of=run_date + 99999999999 days", "not before the run date"),
    ("rfm.window=0 days", "must be a number of days"),
    ("rfm.window=1 year", "must be a number of days"),
    ("rfm.negative=maybe", "must be keep or zero or error"),
    ("rfm.summary=year", "must be none or day or week or month"),
    ("rfm.compare_to=soon", "must be a date, or a number of days"),
    ("rfm.compare_to=2025-01-01", "must lie before the run date"),
    ("rfm.cohorts=1", "must be true or false"),
    ("rfm.metrics=day", "must be none or week or month or quarter or year"),
    ("rfm.lifecycle.by=maybe", "must be none or thresholds or rhythm"),
    ("rfm.lifecycle.new=soon", "must be a number of days"),
    ("rfm.lifecycle.lapsing=200 days", "must be at most rfm.lifecycle.lapsed"),
    ("rfm.lifecycle.lapsing_gaps=-1", "must be from 0 to 1000000"),
    ("rfm.lifecycle.lapsing_gaps=5", "must be at most rfm.lifecycle.lapsed_gaps"),
    ("rfm.bins=0", "must be from 1 to 100"),
    ("rfm.bins=101", "must be from 1 to 100"),
    ("rfm.bins=4", "the segment map is for scores up to 5, 5 and 5"),
    ("rfm.bins.recency=0", "must be from 1 to 100"),
    ("rfm.frequency=maybe", "must be orders or days or lines or repeats"),
    ("rfm.monetary=maybe", "must be sum or mean"),
    ("rfm.binning=maybe", "must be quantile or ntile or percent_rank or fixed"),
    ("rfm.binning=fixed", "rfm.cuts.recency does not say where"),
    ("rfm.cuts.recency=[1]", "belongs to binning fixed"),
    ("rfm.cuts.recency=[\"a\"]", "must be a list of numbers"),
    ("rfm.nested=2", "must be true or false"),
    ("rfm.scaling=maybe", "must be min_max or z_score or rank or log"),
    ("rfm.weights.recency=0.5", "must sum to 1, not 1.2"),
    ("rfm.weights={ recency = 0.2, frequency = 0.2, monetary = 0.2 }", "must sum to 1, not 0.6"),
    ("rfm.weights.recency=-0.1", "must be from 0 to 1"),
    ("rfm.weights.recency=nan", "must be from 0 to 1"),
    ("rfm.weights=[1, 2, 3]", "is a table of keys"),
    ("rfm.groups=[]", "must name at least one group"),
    ("rfm.groups=[\"\"]", "must name at least one group"),
    ("rfm.groups=[\"low\", \"low\"]", "twice"),
    ("rfm.segments=mine", "must be grid, rfm_r, braze, pymc_marketing"),
    ("rfm.segments=/no/such.toml", "the segment map cannot be read"),
    ("rfm.segments=/no/such.parquet", "there are no files there"),
    ("rfm.incomplete_segments=maybe", "must be error or allow"),
    ("rules.algorithm=maybe", "must be fp_growth or apriori"),
    ("rules.min_support=0", "must be in (0, 1]"),
    ("rules.min_support=1.1", "must be in (0, 1]"),
    ("rules.min_support=nan", "must be in (0, 1]"),
    ("rules.min_support_count=0", "must be at least 1"),
    ("rules.min_confidence=1.5", "must be from 0 to 1"),
    ("rules.min_confidence=-1", "must be from 0 to 1"),
    ("rules.min_lift=-1", "must be at least 0"),
    ("rules.max_length=-1", "must be at least 0"),
    ("rules.max_consequent_length=0", "must be at least 1"),
    ("rules.max_consequent_length=5", "must be less than rules.max_length"),
    ("rules.target=maybe", "must be frequent or closed or maximal"),
    ("rules.target=closed", "must be frequent for rules"),
    ("rules.min_length=0", "must be at least 1"),
    ("rules.min_length=9", "must be at most rules.max_length"),
    ("rules.by=store", "must be a list of strings"),
    ("rules.by=[\"segment\"]", "--select must name rfm, too"),
    ("rules.max_groups=0", "must be at least 1"),
    ("rules.hierarchy=5", "is a table of keys"),
    ("rules.hierarchy.items=drop", "belongs to rules.hierarchy.location"),
    ("rules.hierarchy.location=/no/such.csv", "there are no files there"),
    ("rules.where=lift >", "is no SQL expression"),
    ("rules.redundant=maybe", "must be keep or drop"),
    ("rules.top=-1", "must be at least 0"),
    ("rules.top_by=surprise", "is no measure"),
    ("rules.adjust=maybe", "must be none or bonferroni or holm or bh"),
    ("rules.max_itemsets=0", "must be at least 1"),
    ("rules.max_rules=-1", "must be at least 1"),
    ("output.rows_per_part=0", "must be at least 1"),
    ("output.keep_generations=0", "must be at least 1"),
    ("output.orphan_age=soon", "must be a duration"),
    ("output.orphan_age=-5h", "must be a duration"),
    ("output.pseudonymise.customer_id=md5", "must be none or hmac-sha256"),
    ("output.pseudonymise.customer_id=hmac-sha256", "REGULARS_PSEUDONYM_KEY, which has 0"),
    ("output.minimum_group_size=0", "must be at least 1"),
    ("engine.kind=spark", "must be embedded"),
    ("engine.kind=spark", "must be embedded or ballista, not spark"),
    ("engine.local_limit=much", "must be a size"),
    ("engine.scheduler=df://host:1", "belongs to engine.kind = \"ballista\""),
    ("engine.target_partitions=-1", "must be from 0 to 1024"),
    ("engine.target_partitions=1025", "must be from 0 to 1024"),
    ("engine.batch_size=0", "must be from 1 to 1048576"),
    ("engine.memory_limit=lots", "must be a size"),
    ("engine.memory_limit=1", "must be a size of at least 16MiB"),
    ("engine.memory_limit=-1GiB", "must be a size"),
    ("engine.spill_dir=/no/such", "is no folder"),
    ("engine.spill_dir=/dev/null", "is no folder"),
];

#[test]
fn a_setting_out_of_range_names_its_key() {
    none_complain(SETTINGS, |(assignment, said)| {
        let bench = Bench::new();
        let select = if assignment.starts_with("rules.") { "rules" } else { "rfm" };
        let more = ["--select", select, "--set", assignment].map(str::to_owned);
        let ran = run(&good(&bench), &bench.text("out"), &more);
        let key = assignment.split('=').next().unwrap_or_default();
        complaint(&ran, 2, &[(*said).to_owned(), key.to_owned()])
            .map(|wrong| format!("{assignment}: {wrong}"))
    });
}
