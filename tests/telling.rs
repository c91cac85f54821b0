//! What schedulers and monitoring are told of a run: the JSON line, Airflow's file, metrics, OpenLineage, logs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::Bench;

const LINES: &str = "\
order_id,item_id,customer_id,order_ts,amount
1,bread,ann,2024-12-01,2
1,milk,ann,2024-12-01,1
2,bread,bob,2024-12-05,1
";

fn run(bench: &Bench, more: &[&str], environment: &[(&str, &str)]) -> Output {
    // written once: a file that is written again is another input
    let input = if bench.path("lines.csv").exists() {
        bench.text("lines.csv")
    } else {
        bench.write("lines.csv", LINES)
    };
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
    command.args(["run", "--input", &input, "--output", &bench.text("out"), "--run-date", "2024-12-31"]);
    command.args(["--select", "rfm"]).args(more).envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn read(bench: &Bench, name: &str) -> String {
    std::fs::read_to_string(bench.path(name)).unwrap()
}

#[test]
fn the_result_tells_rows_bytes_durations_and_warnings_and_stands_in_a_file_too() {
    let bench = Bench::new();
    let xcom = bench.text("return.json");
    let ran = run(&bench, &["--json", "--xcom-file", &xcom, "--log-level", "error"], &[]);
    let line = text(&ran.stdout);
    assert_eq!(line.lines().count(), 1, "{}", text(&ran.stderr));
    assert_eq!(read(&bench, "return.json"), line);
    let result: Value = serde_json::from_str(line).unwrap();
    assert_eq!(result["status"], "published");
    assert_eq!(result["tables"]["customer_rfm"]["rows"], 2);
    assert!(result["tables"]["customer_rfm"]["bytes"].as_u64() > Some(1000));
    for stage in ["clean", "aggregate", "score", "audit", "publish"] {
        assert!(result["durations"][stage].as_f64() > Some(0.0), "{stage}");
    }
    assert_eq!(result["warnings"], Value::Array(Vec::new()));

    // the same again is told in the same shape
    let again = run(&bench, &["--json", "--xcom-file", &xcom], &[]);
    let result: Value = serde_json::from_str(text(&again.stdout)).unwrap();
    assert_eq!((&result["status"], &result["generation"]), (&"unchanged".into(), &1.into()));
    assert_eq!(read(&bench, "return.json"), text(&again.stdout));
}

#[test]
fn a_warning_is_part_of_the_result_whatever_the_level_of_logs() {
    let bench = Bench::new();
    let map = bench.write("map.csv", "rule,segment,recency_from\n1,recent,3\n");
    let set = [format!("rfm.segments={map}"), "rfm.incomplete_segments=allow".to_owned()];
    let ran = run(&bench, &["--json", "--log-level", "off", "--set", &set[0], "--set", &set[1]], &[]);
    assert_eq!(text(&ran.stderr), "");
    let result: Value = serde_json::from_str(text(&ran.stdout)).unwrap();
    let warning = result["warnings"][0].as_str().unwrap();
    assert!(warning.contains("50 cells that no rule covers"), "{warning}");
}

#[test]
fn a_result_file_that_cannot_be_written_is_a_failure() {
    let bench = Bench::new();
    let ran = run(&bench, &["--xcom-file", &bench.text("missing/return.json")], &[]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("missing/return.json"), "{}", text(&ran.stderr));
}

#[test]
fn metrics_tell_of_a_run_whether_it_ends_well_or_not() {
    let bench = Bench::new();
    let file = bench.text("regulars.prom");
    run(&bench, &["--metrics-file", &file], &[]);
    let metrics = read(&bench, "regulars.prom");
    for line in [
        "# TYPE regulars_run_success gauge",
        "regulars_run_success 1",
        "regulars_run_exit_code 0",
        "regulars_table_rows{table=\"customer_rfm\"} 2",
        "regulars_generation 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    }
    // each metric as the format wants it: a name, labels, a number
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && name.starts_with("regulars_"), "{line}");
    }
    let failed = run(&bench, &["--metrics-file", &file, "--set", "input.columns.amount=nothing"], &[]);
    assert_eq!(failed.status.code(), Some(2));
    let metrics = read(&bench, "regulars.prom");
    assert!(metrics.contains("regulars_run_success 0\n") && metrics.contains("regulars_run_exit_code 2\n"));

    let unwritable = run(&bench, &["--metrics-file", &bench.text("missing/a.prom"), "--force"], &[]);
    assert!(
        unwritable.status.success() && text(&unwritable.stderr).contains("metrics file could not be written")
    );
}

#[test]
fn lineage_is_appended_to_a_file() {
    let bench = Bench::new();
    let file = bench.text("lineage.ndjson");
    run(&bench, &["--openlineage", &file], &[]);
    run(&bench, &["--openlineage", &file, "--set", "clean.returns_when=nothing > 1"], &[]);
    let events: Vec<Value> =
        read(&bench, "lineage.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<&str> = events.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    assert_eq!(types, ["START", "COMPLETE", "START", "FAIL"]);
    assert_eq!(events[0]["run"]["runId"], events[1]["run"]["runId"]);
    assert_ne!(events[0]["run"]["runId"], events[2]["run"]["runId"]);
    assert!(events[0]["inputs"][0]["name"].as_str().unwrap().ends_with("/lines.csv"));
    let outputs = events[1]["outputs"].as_array().unwrap();
    let customers =
        outputs.iter().find(|table| table["name"].as_str().unwrap().ends_with("/out/customer_rfm"));
    let customers = customers.unwrap();
    assert_eq!(customers["outputFacets"]["outputStatistics"]["rowCount"], 2);
    assert_eq!(customers["facets"]["schema"]["fields"][0]["name"], "customer_id");
    let told = events[3]["run"]["facets"]["errorMessage"]["message"].as_str().unwrap();
    assert!(told.contains("clean.returns_when"), "{told}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_of_too() {
    let bench = Bench::new();
    let (metrics, lineage) = (bench.text("regulars.prom"), bench.text("lineage.ndjson"));
    let told = ["--metrics-file", &metrics, "--openlineage", &lineage, "--set", "engine.memory_limit=much"];
    assert_eq!(run(&bench, &told, &[]).status.code(), Some(2));
    assert!(read(&bench, "regulars.prom").contains("regulars_run_exit_code 2\n"));
    let events = read(&bench, "lineage.ndjson");
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["eventType"], "START");
    assert_eq!(events[1]["eventType"], "FAIL");
    let message = events[1]["run"]["facets"]["errorMessage"]["message"].as_str().unwrap();
    assert!(message.contains("engine.memory_limit"), "{message}");
}

#[test]
fn a_run_that_a_signal_stops_is_told_of_too() {
    let bench = Bench::new();
    regulars::sample::write(&bench.path("shop"), 30_000).unwrap();
    let (metrics, lineage) = (bench.text("regulars.prom"), bench.text("lineage.ndjson"));
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
    command.args(["run", "--run-date", "2024-12-31", "--input", &bench.text("shop"), "--output"]);
    command.args([&bench.text("out"), "--metrics-file", &metrics, "--openlineage", &lineage]);
    let mut running = command.stderr(Stdio::null()).spawn().unwrap();
    while !bench.path("lineage.ndjson").exists() {
        assert!(running.try_wait().unwrap().is_none(), "it ended before it told of its beginning");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(143));
    let text = read(&bench, "regulars.prom");
    assert!(
        text.contains("regulars_run_success 0\n") && text.contains("regulars_run_exit_code 143\n"),
        "{text}"
    );
    let events = read(&bench, "lineage.ndjson");
    let types: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["eventType"].clone())
        .collect();
    assert_eq!(types, ["START", "ABORT"]);
}

/// Answers one request after the other, and gives what was sent.
fn serve(
    listener: TcpListener,
    requests: usize,
    answer: &'static str,
) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        (0..requests)
            .map(|_| {
                let (mut socket, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                loop {
                    let read = socket.read(&mut chunk).unwrap();
                    request.extend_from_slice(&chunk[..read]);
                    // the body is JSON, which ends with its last brace
                    if read == 0 || request.ends_with(b"}") {
                        break;
                    }
                }
                write!(socket, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
                String::from_utf8(request).unwrap()
            })
            .collect()
    })
}

#[test]
fn lineage_is_posted_with_its_key_and_an_endpoint_that_fails_fails_nothing() {
    let bench = Bench::new();
    for (answer, warned) in [("201 Created", false), ("500 Broken", true)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/api/v1/lineage", listener.local_addr().unwrap());
        let server = serve(listener, 2, answer);
        let ran =
            run(&bench, &["--openlineage", &endpoint, "--force"], &[("OPENLINEAGE_API_KEY", "planted-key")]);
        assert!(ran.status.success());
        let requests = server.join().unwrap();
        assert!(
            requests[0].starts_with("POST /api/v1/lineage") && requests[0].contains("Bearer planted-key")
        );
        assert!(requests[1].contains("\"eventType\":\"COMPLETE\""));
        let told = text(&ran.stderr);
        assert_eq!(told.contains("could not be sent"), warned, "{told}");
        assert!(!told.contains("planted-key"));
    }
    // nobody listens there
    let endpoint = "http://user:planted-password@127.0.0.1:9/planted-path?api_key=planted-token";
    let ran = run(&bench, &["--openlineage", endpoint, "--force", "--json"], &[]);
    assert!(ran.status.success() && text(&ran.stderr).contains("could not be sent"));
    assert!(!text(&ran.stderr).contains("planted") && !text(&ran.stdout).contains("planted"));
}

#[test]
fn every_line_of_json_logs_tells_the_run() {
    let bench = Bench::new();
    let ran = run(&bench, &["--json", "--log-format", "json", "--log-level", "info"], &[]);
    let result: Value = serde_json::from_str(text(&ran.stdout)).unwrap();
    let logs: Vec<Value> =
        text(&ran.stderr).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(logs.iter().any(|line| line["relation"] == "customer_rfm"));
    for line in logs.iter().filter(|line| line["target"].as_str().unwrap().starts_with("regulars")) {
        assert_eq!(line["span"]["run_id"], result["run_id"], "{line}");
    }
}
