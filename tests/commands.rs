//! The commands through the real binary: what they print, what they leave behind, and their exit codes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use support::Bench;

const LINES: &str = "\
order_id,item_id,customer_id,order_ts,quantity,unit_price
1,bread,ann,2024-12-01 10:00:00,2,1.5
1,milk,ann,2024-12-01 10:00:00,1,1.25
2,bread,bob,2024-12-05,1,1.5
2,milk,bob,2024-12-05,1,1.25
3,bread,,2024-12-06,1,1.5
4,milk,ann,2024-12-31T23:59:59,-1,1.25
5,milk,cat,2025-01-01,1,1.25
";

/// Ann and Bob as Python's hmac names them with the test's key, ascending.
const PSEUDONYMS: &str = "\
customer_id
686c477e566a03dba72277097e300b29d6a2a85c74675d30286db073910ab3f4
7f556b33cc9428eea7d767383900ee3783f830c3a4c12f2f2e7f616779a99161
";

fn regulars(arguments: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("regulars")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs the job; its exit code, standard output and standard error.
fn run(bench: &Bench, input: &str, more: &[&str]) -> (i32, String, String) {
    let output = bench.text("out");
    let arguments =
        [&["run", "--input", input, "--output", &output, "--run-date", "2024-12-31"], more].concat();
    let ran = regulars(&arguments);
    (ran.status.code().unwrap(), text(&ran.stdout), text(&ran.stderr))
}

fn query(bench: &Bench, sql: &str) -> String {
    text(&regulars(&["sql", "--output", &bench.text("out"), "--format", "csv", "-c", sql]).stdout)
}

#[test]
fn customers_are_published_by_pseudonym_with_a_key_that_stands_nowhere() {
    const KEY: &str = "a key that nobody knows";
    let bench = Bench::new();
    let input = bench.write("lines.csv", LINES);
    let output = bench.text("out");
    let run = |key: Option<&str>| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
        command.args(["run", "--input", &input, "--output", &output, "--run-date", "2024-12-31"]);
        command.args(["--select", "rfm", "--set", "output.pseudonymise.customer_id=hmac-sha256"]);
        command.args([
            "--set",
            "rfm.summary=day",
            "--set",
            "rfm.lifecycle.by=rhythm",
            "--log-level",
            "debug",
        ]);
        command.env_remove("REGULARS_PSEUDONYM_KEY");
        let ran = command.envs(key.map(|key| ("REGULARS_PSEUDONYM_KEY", key))).output().unwrap();
        (ran.status.code().unwrap(), text(&ran.stdout), text(&ran.stderr))
    };
    for key in [None, Some("short")] {
        let (code, _, error) = run(key);
        assert!(code == 2 && error.contains("REGULARS_PSEUDONYM_KEY"), "{error}");
        assert!(!bench.path("out").exists());
    }
    let (code, out, error) = run(Some(KEY));
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("Published"));
    // as Python's hmac has it, in the order of the pseudonyms
    for table in ["customer_rfm", "customer_summary", "customer_lifecycle"] {
        let ids = query(&bench, &format!("SELECT customer_id FROM {table}"));
        assert_eq!(ids, PSEUDONYMS, "{table}");
    }
    let told = [out, error].concat();
    assert!(!told.contains(KEY) && !told.contains("'ann'"), "{told}");
    for (name, bytes) in bench.files("out") {
        let holds = |secret: &str| bytes.windows(secret.len()).any(|found| found == secret.as_bytes());
        assert!(!holds(KEY) && !holds("ann") && !holds("bob"), "{name}");
    }
    // the same key: the same tables; another: others
    assert!(run(Some(KEY)).1.contains("nothing was done"));
    assert!(run(Some("another key, as long")).1.contains("Published"));
    assert_ne!(query(&bench, "SELECT customer_id FROM customer_rfm"), PSEUDONYMS);
}

#[test]
fn what_tables_mean_is_published_with_them() {
    let bench = Bench::new();
    let input = bench.write("lines.csv", LINES);
    run(&bench, &input, &["--set", "rfm.frequency=days", "--set", "clean.returns=net"]);
    let runs = regulars(&["runs", "--output", &bench.text("out"), "--format", "json"]);
    let runs: serde_json::Value = serde_json::from_str(text(&runs.stdout).lines().next().unwrap()).unwrap();
    let parameters: serde_json::Value =
        serde_json::from_str(runs[0]["parameters"].as_str().unwrap()).unwrap();
    assert_eq!(parameters["rfm"]["rfm"]["frequency"], "days");
    assert_eq!(parameters["rfm"]["rfm"]["as_of"], "2024-12-31");
    assert_eq!(parameters["rules"]["clean"]["returns"], "net");
}

#[test]
fn the_demo_shows_segments_rules_and_what_to_do_next() {
    let bench = Bench::new();
    let dir = bench.text("shop");
    let demo = regulars(&["demo", "--dir", &dir, "--orders", "2000"]);
    let out = text(&demo.stdout);
    assert!(demo.status.success(), "{}", text(&demo.stderr));
    for expected in ["champions", "tomato-sauce", "regulars sql --config", "regulars run --config"] {
        assert!(out.contains(expected), "{out}");
    }
    assert_eq!(text(&demo.stderr), "", "progress is for terminals");
    assert!(bench.path("shop/order_lines/month=2024-01/part-00000.parquet").is_file());

    let config = bench.text("shop/regulars.toml");
    let again = regulars(&["run", "--config", &config, "--run-date", "2024-12-31"]);
    assert!(text(&again.stdout).contains("published already; nothing was done"));
    let rows = regulars(&[
        "sql",
        "--config",
        &config,
        "--format",
        "csv",
        "-c",
        "SELECT count(*) AS n FROM line WHERE month IS NULL",
    ]);
    assert_eq!(rows.status.code(), Some(2), "line has our columns alone");
    let rows = regulars(&[
        "sql",
        "--config",
        &config,
        "--format",
        "csv",
        "-c",
        "SELECT count(DISTINCT month) AS n FROM input",
    ]);
    assert_eq!(text(&rows.stdout), "n\n12\n");
}

#[test]
fn a_run_reports_in_one_json_line_and_counts_every_line() {
    let bench = Bench::new();
    let input = bench.write("in/lines.csv", LINES);
    let (code, out, err) = run(&bench, &input, &["--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out.trim_end().lines().count(), 1);
    assert_eq!(report["status"], "published");
    assert_eq!(report["generation"], 1);
    assert_eq!(report["tables"]["customer_rfm"]["rows"], 2);
    assert_eq!(
        query(
            &bench,
            "SELECT measure, value FROM run_summary WHERE stage = 'clean' AND value > 0 ORDER BY measure"
        ),
        "measure,value\nlines_after_run_date,1\nlines_kept,5\nlines_read,7\nlines_return,1\nlines_without_customer,1\n"
    );
    assert_eq!(
        query(&bench, "SELECT customer_id, orders, monetary FROM customer_rfm"),
        "customer_id,orders,monetary\nann,1,4.2500\nbob,1,2.7500\n"
    );
    assert_eq!(
        query(&bench, "SELECT itemset, support_count FROM frequent_itemsets"),
        "itemset,support_count\n[bread],3\n\"[bread, milk]\",2\n[milk],2\n"
    );
}

#[test]
fn the_same_again_does_nothing_and_force_writes_the_same_bytes() {
    let bench = Bench::new();
    let input = bench.write("in/lines.csv", LINES);
    run(&bench, &input, &[]);
    let first = bench.published();
    let all = bench.files("out");
    let (code, out, _) = run(&bench, &input, &["--json"]);
    assert_eq!((code, out.contains("\"status\":\"unchanged\"")), (0, true));
    assert_eq!(bench.files("out"), all, "nothing was written");

    let (code, out, _) = run(&bench, &input, &["--json", "--force"]);
    assert_eq!((code, out.contains("\"generation\":2")), (0, true));
    assert_eq!(bench.published(), first);

    let runs = regulars(&["runs", "--output", &bench.text("out"), "--format", "csv"]);
    assert!(
        text(&runs.stdout).lines().nth(1).unwrap().starts_with("2024-12-31,2,"),
        "{}",
        text(&runs.stdout)
    );
}

#[test]
fn the_summary_tells_of_all_tables_that_stand_whichever_runs_computed_them() {
    let bench = Bench::new();
    let input = bench.write("in/lines.csv", LINES);
    for select in ["rfm", "itemsets", "rules"] {
        assert_eq!(run(&bench, &input, &["--select", select]).0, 0);
    }
    let (_, out, _) = run(&bench, &input, &["--json"]);
    assert!(out.contains("\"status\":\"unchanged\""), "{out}");
    let counts = query(&bench, "SELECT stage, count(*) AS n FROM run_summary GROUP BY stage ORDER BY stage");
    assert_eq!(counts, "stage,n\nclean,16\nrfm,2\nrules,6\n");
    let piecewise = bench.published();
    assert_eq!(run(&bench, &input, &["--force"]).0, 0);
    assert!(bench.published() == piecewise);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let binary = assert_cmd::cargo::cargo_bin!("regulars").display().to_string();
    let script = format!(
        "'{binary}' sql -c 'SELECT * FROM generate_series(1, 200000)' | head -1; echo ${{PIPESTATUS[0]}}"
    );
    let ran = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(text(&ran.stdout).ends_with("\n0\n"), "{}{}", text(&ran.stdout), text(&ran.stderr));
    assert_eq!(text(&ran.stderr), "");
}

#[test]
fn the_demo_spares_what_it_did_not_write() {
    let bench = Bench::new();
    let kept = bench.write("mine/order_lines/kept.txt", "mine");
    let demo = regulars(&["demo", "--dir", &bench.text("mine"), "--orders", "10"]);
    assert_eq!(demo.status.code(), Some(2));
    assert!(text(&demo.stderr).contains("order lines that no demo wrote"));
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "mine");
}

#[test]
fn a_dry_run_and_a_check_publish_nothing() {
    let bench = Bench::new();
    let input = bench.write("in/lines.csv", LINES);
    let (code, out, _) = run(&bench, &input, &["--dry-run"]);
    assert_eq!((code, out.contains("Computed and audited, not published")), (0, true));
    let check =
        regulars(&["check", "--input", &input, "--output", &bench.text("out"), "--run-date", "2024-12-31"]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stderr));
    assert!(bench.files("out").is_empty());
}

#[test]
fn rules_alone_need_an_order_and_an_item() {
    let bench = Bench::new();
    let input = bench.write("baskets.csv", "order_id,item_id\n1,a\n1,b\n2,a\n2,b\n3,c\n");
    let (code, _, err) = run(&bench, &input, &["--select", "rules"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(query(&bench, "SELECT count(*) AS n FROM association_rules"), "n\n2\n");
    let (code, _, err) = run(&bench, &input, &[]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no column customer_id, which rfm needs"), "{err}");
    assert!(err.contains("there are: order_id, item_id"), "{err}");
}

#[test]
fn mistakes_are_told_in_one_line_with_exit_code_2() {
    let bench = Bench::new();
    let input = bench.write("in/lines.csv", LINES);
    let config = bench.write("shop.toml", "[rules]\nmin_suport = 0.1\n");
    let truncated =
        bench.write("bad.parquet", "PAR1 this is the beginning of a Parquet file, without its end");
    let price = bench.write(
        "price.csv",
        "order_id,item_id,customer_id,order_ts,unit_price\n1,a,b,2024-01-01,cheap\n2,a,b,2024-01-01,\n",
    );
    for (input, more, expected) in [
        (
            &*input,
            &["--config", &*config][..],
            "there is no key rules.min_suport; did you mean rules.min_support? [file: ",
        ),
        (&input, &["--config", "/no/such.toml"], "the configuration file cannot be read"),
        (&input, &["--set", "rules.min_support=2"], "rules.min_support must be in (0, 1]"),
        (&input, &["--run-date", "2024-13-01"], "--run-date must be a date"),
        (&input, &["--select", "rule"], "--select takes rfm, itemsets and rules"),
        (&input, &["--set", "input.filter=Country = 'France'"], "there are: order_id, item_id, customer_id"),
        (&input, &["--set", "input.filter=quantity"], "input.filter must be true or false, not Utf8"),
        (&input, &["--set", "input.columns.order_id=max(order_id)"], "not an aggregate"),
        (
            &input,
            &["--set", "clean.returns_when=colour = 1"],
            "clean.returns_when is no expression over the columns; there are: order_id, item_id, customer_id, order_ts, quantity, unit_price, amount",
        ),
        (&input, &["--set", "clean.returns_when=$returns = 'net'"], "not a parameter"),
        (&input, &["--set", "engine.spill_dir=/no/such"], "engine.spill_dir is no folder"),
        (
            &input,
            &["--input", &bench.text("in/**/*"), "--output", &bench.text("in/out")],
            "the output lies inside the input",
        ),
        (&bench.write("empty.csv", ""), &[], "a file is empty"),
        (
            &bench.write("no_price.csv", "order_id,item_id\n1,a\n"),
            &["--select", "rules", "--set", "clean.unpriced=exclude"],
            "which clean.unpriced = \"exclude\" needs",
        ),
        (
            &input,
            &["--set", "rules.max_itemsets=1"],
            "more itemsets are frequent than rules.max_itemsets = 1: up to here ",
        ),
        (&input, &["--set", "rules.target=closed"], "rules.target must be frequent for rules"),
        (&input, &["--set", "rules.items=itemid = 'a'"], "there are: line_item_id, item_id"),
        (
            &input,
            &["--set", "rules.where=surprise > 1"],
            "rules.where is no expression over the columns; there are: ",
        ),
        (&input, &["--set", "rules.where=lift + 1"], "rules.where must be true or false, not Float64"),
        (&input, &["--set", "rules.top=3", "--set", "rules.top_by=surprise"], "rules.top_by is no measure"),
        (&input, &["--set", "rules.max_rules=1"], "more than rules.max_rules = 1; raise it"),
        (
            &input,
            &["--output", &bench.text("in/out"), "--input", &bench.text("in")],
            "the output lies inside the input",
        ),
        (&bench.text("nowhere"), &[], "there are no files there"),
        (&bench.text("*.tsv"), &[], "there are no files there"),
        ("ftp://host/lines", &[], "the schemes are file, s3"),
        (&truncated, &[], "a Parquet file cannot be read"),
        (&price, &[], "1 lines have values that cannot be used (unit_price: 1 lines, such as 'cheap')"),
    ] {
        // later arguments of a name stand alone, as clap allows each once
        let repeated = |name: &str| more.contains(&name);
        let output = bench.text("out");
        let mut arguments = vec!["run"];
        for (name, value) in [("--input", input), ("--output", &output), ("--run-date", "2024-12-31")] {
            if !repeated(name) {
                arguments.extend([name, value]);
            }
        }
        arguments.extend(more);
        let ran = regulars(&arguments);
        let err = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert!(err.starts_with("error: ") && err.trim_end().lines().count() == 1, "{err}");
        assert_eq!(text(&ran.stdout), "");
    }
    assert!(bench.published().is_empty());
    assert!(bench.files("out").is_empty(), "what failed runs staged is gone");
}

#[test]
fn an_empty_run_date_is_told_from_a_missing_one() {
    let empty = regulars(&["run", "--run-date", ""]);
    assert!(text(&empty.stderr).contains("--run-date is empty"));
    let missing = regulars(&["run"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("--run-date is needed"));
}

#[test]
fn values_that_do_not_cast_are_dropped_and_counted_when_asked() {
    let bench = Bench::new();
    let input = bench.write(
        "lines.csv",
        "order_id,item_id,customer_id,order_ts,unit_price\n1,a,x,2024-01-01,2.00005\n,a,x,2024-01-01,1\n2,a,x,yesterday,1\n\
         3,a,x,,1\n4,a,x,2024-01-02,NaN\n5,a,x,2024-01-03T22:00:00-05:00,-0.00005\n",
    );
    let (code, _, err) = run(&bench, &input, &["--set", "clean.invalid=drop", "--set", "clean.returns=keep"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        query(
            &bench,
            "SELECT measure, value FROM run_summary WHERE stage = 'clean' AND value > 0 ORDER BY measure"
        ),
        "measure,value\nlines_invalid_order_id,1\nlines_invalid_order_ts,2\nlines_invalid_unit_price,1\nlines_kept,2\nlines_read,6\n"
    );
    // rounded half away from zero, and local to UTC
    assert_eq!(
        query(&bench, "SELECT last_order_date, monetary FROM customer_rfm"),
        "last_order_date,monetary\n2024-01-04,2.0000\n"
    );
}

#[test]
fn no_lines_is_a_failure_or_a_skip() {
    let bench = Bench::new();
    let input = bench.write("lines.csv", LINES);
    let none = ["--set", "input.filter=order_id = '99'"];
    let (code, _, err) = run(&bench, &input, &none);
    assert_eq!(code, 1);
    assert!(err.contains("no line is left up to 2024-12-31, of 7 read"), "{err}");
    let (code, ..) = run(&bench, &input, &[&none[..], &["--skip-if-empty"]].concat());
    assert_eq!(code, 99);
}

#[test]
fn explain_shows_sql_parameters_and_plans() {
    let bench = Bench::new();
    let input = bench.write("lines.csv", LINES);
    let job = ["explain", "--input", &input, "--output", &bench.text("out"), "--run-date", "2024-12-31"];
    let plain = text(&regulars(&job).stdout);
    for expected in [
        "==== clean/line.sql ====",
        "==== mine/grown_itemset.sql ====",
        "$min_confidence = 0.3",
        "DataSourceExec",
        "AggregateExec",
    ] {
        assert!(plain.contains(expected), "no {expected} in {plain}");
    }
    let analyzed = text(&regulars(&[&job[..], &["--analyze"]].concat()).stdout);
    assert!(analyzed.contains("output_rows=") && analyzed.contains("$basket_count = 3"), "{analyzed}");
    assert!(bench.files("out").is_empty());
}

#[test]
fn sql_answers_as_table_csv_and_json_and_writes_nowhere() {
    let bench = Bench::new();
    let input = bench.write("lines.csv", LINES);
    let sql = |format: &str, sql: &str| regulars(&["sql", "--input", &input, "--format", format, "-c", sql]);
    let count = "SELECT count(*) AS n FROM input";
    assert!(text(&sql("table", count).stdout).contains("| 7 |"));
    assert_eq!(text(&sql("csv", count).stdout), "n\n7\n");
    let returned = "SELECT count(*) FILTER (WHERE is_return) AS n FROM order_line";
    assert_eq!(text(&sql("csv", returned).stdout), "n\n1\n");
    assert_eq!(text(&sql("json", count).stdout).trim(), "[{\"n\":7}]");
    let baskets =
        "SELECT basket(CAST(quantity AS INT UNSIGNED)) AS quantities FROM order_line WHERE order_id = '1'";
    assert_eq!(text(&sql("csv", baskets).stdout), "quantities\n\"[1, 2]\"\n");
    let copy = sql("csv", &format!("COPY (SELECT 1) TO '{}'", bench.text("copy.csv")));
    assert_eq!(copy.status.code(), Some(2), "{}", text(&copy.stderr));
    assert!(!bench.path("copy.csv").exists());
    let none =
        regulars(&["sql", "--output", &bench.text("out"), "--run-date", "2024-01-01", "-c", "SELECT 1"]);
    assert!(text(&none.stderr).contains("nothing is published for 2024-01-01"));
}

#[test]
fn help_and_completions_stand_on_standard_output() {
    let help = text(&regulars(&["run", "--help"]).stdout);
    assert!(help.contains("--skip-if-empty") && help.contains("Examples:"));
    assert!(text(&regulars(&["completions", "bash"]).stdout).contains("_regulars"));
    assert_eq!(regulars(&["walk"]).status.code(), Some(2));
}

/// Waits for a connection, but not for ever.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    for _ in 0..200 {
        if let Ok((connection, _)) = listener.accept() {
            return connection;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nobody connected");
}

#[test]
fn a_signal_stops_a_run_with_its_exit_code() {
    // a server that accepts and never answers holds the run in the middle of reading
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let input = format!("http://{}/lines.parquet", silent.local_addr().unwrap());
    for (signal, expected) in [("TERM", 143), ("INT", 130)] {
        let bench = Bench::new();
        let mut running = Command::new(assert_cmd::cargo::cargo_bin!("regulars"))
            .args(["run", "--input", &input, "--output", &bench.text("out"), "--run-date", "2024-12-31"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let connection = accept(&silent);
        assert!(
            Command::new("sh")
                .args(["-c", &format!("kill -s {signal} {}", running.id())])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(running.wait().unwrap().code(), Some(expected));
        assert!(bench.files("out").is_empty());
        drop(connection);
    }
}
