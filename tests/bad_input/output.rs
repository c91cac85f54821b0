//! Outputs that cannot be written, and names of every kind.

use super::*;

/// A folder of lines, where a link says that another output is.
fn linked(bench: &Bench) -> String {
    bench.write("in/lines.csv", GOOD);
    symlink(bench.path("in"), bench.path("link")).unwrap();
    bench.text("in")
}

const IN_THE_INPUT: &[&str] = &["the output lies inside the input", "BENCH/in"];

const OUTPUTS: &[Case] = &[
    refused("an output inside the input", linked, &["--output", "BENCH/in/out"], IN_THE_INPUT),
    refused("an output that is the input", linked, &["--output", "BENCH/in"], IN_THE_INPUT),
    refused(
        "an output inside the input by a detour",
        linked,
        &["--output", "BENCH/out/../in/out"],
        IN_THE_INPUT,
    ),
    refused(
        "an output inside the input through a link",
        linked,
        &["--output", "BENCH/link/out"],
        &["the output lies inside the input"],
    ),
    refused(
        "an output inside an input that is a link",
        linked,
        &["--input", "BENCH/link", "--output", "BENCH/in/out"],
        &["the output lies inside the input"],
    ),
    refused("an output that is the input file", good, &["--output", "BENCH/in.csv"], &["BENCH/in.csv"]),
    works(
        "an input inside the output",
        |bench| {
            bench.write("all/in/lines.csv", GOOD);
            bench.text("all/in")
        },
        &["--output", "BENCH/all"],
    ),
    refused(
        "an output that is a file",
        |bench| {
            bench.write("taken", "");
            good(bench)
        },
        &["--output", "BENCH/taken"],
        &["BENCH/taken", "output"],
    ),
    refused(
        "an output below a file",
        |bench| {
            bench.write("taken", "");
            good(bench)
        },
        &["--output", "BENCH/taken/out"],
        &["BENCH/taken", "output"],
    ),
    refused(
        "an output whose records are a file",
        |bench| {
            bench.write("taken/_runs", "");
            good(bench)
        },
        &["--output", "BENCH/taken"],
        &["BENCH/taken/_runs", "output"],
    ),
    refused(
        "an output that is a link to nothing",
        |bench| {
            symlink(bench.path("nothing"), bench.path("taken")).unwrap();
            good(bench)
        },
        &["--output", "BENCH/taken"],
        &["BENCH/taken", "output"],
    ),
    works(
        "an output that is a link to a folder",
        |bench| {
            std::fs::create_dir(bench.path("there")).unwrap();
            symlink(bench.path("there"), bench.path("link")).unwrap();
            good(bench)
        },
        &["--output", "BENCH/link"],
    ),
    refused(
        "an output that is a glob",
        good,
        &["--output", "BENCH/*/out"],
        &["the output is a folder, not a glob", "output.location"],
    ),
    refused(
        "an output of an unknown scheme",
        good,
        &["--output", "ftp://host/out"],
        &["the schemes are file, s3", "ftp://host/out"],
    ),
    refused(
        "an output without a name",
        good,
        &["--output", ""],
        &["no output: give --output or output.location"],
    ),
];

#[test]
fn an_output_that_cannot_be_written_or_would_be_read_is_refused() {
    all_hold(OUTPUTS);
}

/// How many customers are published, as another command sees them.
fn published_customers(output: &str) -> String {
    let count = "SELECT count(*) AS customers FROM customer_rfm";
    let counted = regulars(&["sql", "--output", output, "--format", "csv", "-c", count].map(str::to_owned));
    text(&counted.stdout) + &text(&counted.stderr)
}

#[test]
fn files_and_folders_may_have_any_name() {
    let names = [
        " a b ",
        "a'b\"c",
        "100% a%20b %2F",
        "a=b",
        "a#b+c&d;e,f",
        "(1) {2} $3 ~a:b|c",
        "-a",
        "a\\b",
        "ünïcödé 注文",
    ];
    none_complain(&names, |name| {
        let bench = Bench::new();
        bench.write(&format!("in/{name}/{name}.csv"), GOOD);
        let output = bench.text(&format!("out/{name}"));
        let ran = run(&bench.text(&format!("in/{name}")), &output, &[]);
        let wrong = complaint(&ran, 0, &[]);
        let found = published_customers(&output);
        let wrong = wrong.or_else(|| (found != "customers\n2\n").then(|| format!("published {found}")));
        wrong.map(|wrong| format!("{name}: {wrong}"))
    });
}

#[test]
fn what_is_there_by_its_very_name_is_no_glob() {
    let names = ["in?/lines.csv", "in[1]/lines.csv", "in*/lines.csv", "lines[1].csv", "lines?.csv"];
    none_complain(&names, |name| {
        let bench = Bench::new();
        bench.write(name, GOOD);
        let place = name.split('/').next().unwrap_or_default();
        let wrong = complaint(&run(&bench.text(place), &bench.text("out"), &[]), 0, &[]);
        wrong.map(|wrong| format!("{name}: {wrong}"))
    });
}

#[test]
fn a_name_that_no_store_has_is_refused() {
    let bench = Bench::new();
    let input = bench.write("a\tb.csv", GOOD);
    let ran = run(&input, &bench.text("out"), &[]);
    assert_eq!(complaint(&ran, 2, &["illegal character sequence".to_owned()]), None);
}

#[test]
fn thousands_of_small_files_are_read() {
    let bench = Bench::new();
    let sound = std::fs::read(parquet(&bench, "one.parquet", lines())).unwrap();
    for file in 0..2000 {
        bytes(&bench, &format!("in/{file:04}.parquet"), &sound);
    }
    let output = bench.text("out");
    assert_eq!(complaint(&run(&bench.text("in"), &output, &[]), 0, &[]), None);
    assert_eq!(published_customers(&output), "customers\n2\n");
}
