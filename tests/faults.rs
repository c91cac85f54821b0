//! The job on an object store that fails: what passes is ridden out, what stays is told, and nothing published is damaged.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/faulty_proxy.rs"]
mod faulty_proxy;
#[path = "support/s3.rs"]
mod s3;
mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use faulty_proxy::{Fault, Proxy, Rule};
use regulars::sample;
use support::Bench;

type Environment = Vec<(&'static str, String)>;

struct Shop {
    bench: Bench,
    /// The environment of a client of the server itself.
    environment: Environment,
}

struct Ran {
    code: Option<i32>,
    told: String,
    took: Duration,
}

impl Shop {
    async fn open() -> Self {
        let bench = Bench::new();
        let environment = s3::serve(&bench.path("s3")).await;
        sample::write(&bench.path("s3/warehouse/order_lines"), 300).unwrap();
        Self { bench, environment }
    }

    /// The environment of a client behind a proxy with rules.
    async fn behind(&self, rules: Vec<Rule>) -> (Proxy, Environment) {
        let server = &self.environment.iter().find(|(name, _)| *name == "AWS_ENDPOINT").unwrap().1;
        let proxy = Proxy::start(server.trim_start_matches("http://").to_owned(), rules).await;
        let mut environment = self.environment.clone();
        environment.push(("AWS_ENDPOINT", format!("http://{}", proxy.address)));
        (proxy, environment)
    }

    fn run(environment: &Environment, more: &[&str]) -> Ran {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
        command.args(["run", "--run-date", "2024-12-31", "--select", "rfm"]);
        command.args(["--input", "s3://warehouse/order_lines/", "--output", "s3://warehouse/loyalty"]);
        command.args(more).envs(environment.iter().cloned());
        let started = Instant::now();
        let ran = tokio::task::block_in_place(|| command.output().unwrap());
        let told = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        Ran { code: ran.status.code(), told, took: started.elapsed() }
    }

    fn published(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.bench.files("s3/warehouse/loyalty").into_iter();
        files.filter(|(name, _)| name.ends_with(".parquet") && !name.contains("/_runs/")).collect()
    }
}

fn rule(method: &'static str, path: &'static str, every: usize, times: usize, fault: Fault) -> Rule {
    Rule { method, path, every, times, fault }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_ridden_out() {
    let shop = Shop::open().await;
    assert_eq!(Shop::run(&shop.environment, &[]).code, Some(0));
    let expected = shop.published();
    assert_eq!(expected.len(), 5);
    let late = Fault::Slow(Duration::from_millis(300));
    for (what, rules) in [
        ("internal errors", vec![rule("", "", 7, usize::MAX, Fault::Status(500))]),
        ("slow down", vec![rule("", "", 5, usize::MAX, Fault::Status(503))]),
        ("resets within bodies", vec![rule("GET", "part-", 3, 5, Fault::Reset)]),
        ("slow listings", vec![rule("GET", "list-type", 1, usize::MAX, late)]),
        ("the commit's answer lost", vec![rule("PUT", "/commits/", 1, 1, Fault::Lost)]),
        ("the manifest's answer lost", vec![rule("PUT", "published.json", 1, 1, Fault::Lost)]),
        ("answers of all writes lost once", vec![rule("PUT", "", 2, usize::MAX, Fault::Lost)]),
    ] {
        let (proxy, environment) = shop.behind(rules).await;
        let ran = Shop::run(&environment, &["--force"]);
        assert!(ran.code == Some(0), "{what}: {}", ran.told);
        assert!(proxy.faults() > 0, "{what} did not happen");
        assert!(shop.published() == expected, "other bytes after {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_is_told_with_its_object_and_damages_nothing() {
    let shop = Shop::open().await;
    assert_eq!(Shop::run(&shop.environment, &[]).code, Some(0));
    let expected = shop.published();
    for (what, rules, named) in [
        (
            "an input file cannot be read",
            vec![rule("GET", "2024-03/part-", 1, usize::MAX, Fault::Status(500))],
            "2024-03/part-00000.parquet",
        ),
        (
            "an input file always breaks off",
            vec![rule("GET", "2024-03/part-", 1, usize::MAX, Fault::Reset)],
            "2024-03/part-00000.parquet",
        ),
        (
            "the input cannot be listed",
            vec![rule("GET", "list-type", 1, usize::MAX, Fault::Status(503))],
            "order_lines",
        ),
        (
            "a table cannot be staged",
            vec![rule("PUT", "customer_rfm", 1, usize::MAX, Fault::Status(500))],
            "customer_rfm/part-00000.parquet",
        ),
        (
            "what was staged cannot be read again",
            vec![rule("GET", "/attempts/", 1, usize::MAX, Fault::Status(503))],
            "customer_rfm/part-00000.parquet",
        ),
        (
            "the commits cannot be listed",
            vec![rule("GET", "commits", 1, usize::MAX, Fault::Status(503))],
            "_runs/run_date=2024-12-31/commits",
        ),
        (
            "the commit cannot be written",
            vec![rule("PUT", "/commits/", 1, usize::MAX, Fault::Status(500))],
            "commits/00000002.json",
        ),
    ] {
        let (_, mut environment) = shop.behind(rules).await;
        environment.push(("REGULARS_RETRY_TIMEOUT", "500ms".to_owned()));
        let ran = Shop::run(&environment, &["--force"]);
        assert!(ran.code == Some(1) && ran.told.contains(named), "{what}: {:?} {}", ran.code, ran.told);
        assert_eq!(ran.told.lines().count(), 1, "{what}: {}", ran.told);
        assert!(ran.took < Duration::from_secs(20), "{what} took {:?}", ran.took);
        assert!(shop.published() == expected, "other bytes after {what}");
    }
    // whatever was left behind, the next run is as if nothing had been
    assert_eq!(Shop::run(&shop.environment, &["--force"]).code, Some(0));
    assert!(shop.published() == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_fails_is_finished_by_the_next_run() {
    let shop = Shop::open().await;
    assert_eq!(Shop::run(&shop.environment, &[]).code, Some(0));
    let other = ["--set", "rfm.monetary=mean"];
    let (_, mut environment) =
        shop.behind(vec![rule("PUT", "/rfm_segments/run_date", 1, usize::MAX, Fault::Status(500))]).await;
    environment.push(("REGULARS_RETRY_TIMEOUT", "200ms".to_owned()));
    let ran = Shop::run(&environment, &other);
    assert!(ran.code == Some(1) && ran.told.contains("rfm_segments"), "{}", ran.told);
    let mended = Shop::run(&shop.environment, &other);
    assert!(mended.code == Some(0) && mended.told.contains("finishing the promotion"), "{}", mended.told);

    let undisturbed = Shop::open().await;
    assert_eq!(Shop::run(&undisturbed.environment, &other).code, Some(0));
    assert!(shop.published() == undisturbed.published());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tidied_up_is_told_with_its_object_and_left_to_a_later_run() {
    let shop = Shop::open().await;
    let keep = ["--force", "--set", "output.keep_generations=1"];
    assert_eq!(Shop::run(&shop.environment, &keep).code, Some(0));
    let expected = shop.published();
    let commits = || {
        let files = shop.bench.files("s3/warehouse/loyalty/_runs").into_keys();
        files.filter(|name| name.contains("/commits/")).count()
    };
    let refused = rule("POST", "delete", 1, usize::MAX, Fault::Status(500));
    let (proxy, mut environment) = shop.behind(vec![refused]).await;
    environment.push(("REGULARS_RETRY_TIMEOUT", "200ms".to_owned()));
    let ran = Shop::run(&environment, &keep);
    assert!(proxy.faults() > 0 && ran.code == Some(0), "{:?} {}", ran.code, ran.told);
    assert!(
        ran.told.contains("could not be removed") && ran.told.contains("commits/00000001.json"),
        "{}",
        ran.told
    );
    assert!(shop.published() == expected && commits() == 2);

    assert_eq!(Shop::run(&shop.environment, &keep).code, Some(0));
    assert_eq!(commits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_wrong_or_missing_fail_within_seconds() {
    let shop = Shop::open().await;
    let mut wrong = shop.environment.clone();
    wrong.push(("AWS_SECRET_ACCESS_KEY", "planted-secret".to_owned()));
    let ran = Shop::run(&wrong, &[]);
    assert!(ran.code == Some(2) && ran.told.contains("credentials"), "{:?} {}", ran.code, ran.told);
    assert!(!ran.told.contains("planted-secret") && ran.took < Duration::from_secs(10), "{}", ran.told);

    let missing = shop.environment.iter().filter(|(name, _)| !name.contains("KEY")).cloned();
    // where the machine's metadata would be asked, nobody answers
    let missing = missing.chain([("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9".to_owned())]).collect();
    let ran = Shop::run(&missing, &[]);
    assert!(
        ran.code == Some(2) && ran.told.contains("tried: AWS_ACCESS_KEY_ID"),
        "{:?} {}",
        ran.code,
        ran.told
    );
    assert!(ran.took < Duration::from_secs(15), "{:?}", ran.took);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_text_is_told_neither() {
    use std::os::unix::ffi::OsStrExt;

    let shop = Shop::open().await;
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
    command.args(["run", "--run-date", "2024-12-31", "--select", "rfm"]);
    command.args(["--input", "s3://warehouse/order_lines/", "--output", "s3://warehouse/loyalty"]);
    command.args(["--set", "output.pseudonymise.customer_id=hmac-sha256"]).envs(shop.environment.clone());
    command.env("REGULARS_PSEUDONYM_KEY", std::ffi::OsStr::from_bytes(b"planted\xff\xfe-sixteen-bytes"));
    let ran = tokio::task::block_in_place(|| command.output().unwrap());
    let told = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success() && !told.contains("planted"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_anywhere() {
    const PLANTED: [(&str, &str); 3] = [
        ("REGULARS_PSEUDONYM_KEY", "planted-pseudonym-key"),
        ("OPENLINEAGE_API_KEY", "planted-lineage-key"),
        ("AWS_SESSION_TOKEN", "planted-session-token"),
    ];
    let shop = Shop::open().await;
    let told = shop.bench.text("told");
    std::fs::create_dir(&told).unwrap();
    let mut environment = shop.environment.clone();
    environment.extend(PLANTED.map(|(name, value)| (name, value.to_owned())));
    let secrets: Vec<String> = environment
        .iter()
        .filter(|(name, _)| {
            ["SECRET", "PSEUDONYM", "API_KEY", "TOKEN"].iter().any(|part| name.contains(part))
        })
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(secrets.len(), 4);
    let mut all = Vec::new();
    for command in ["run", "explain", "check", "sql", "runs"] {
        let mut started = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
        started.args([command, "--run-date", "2024-12-31", "--log-level", "trace,h2=off"]);
        started.args(["--input", "s3://warehouse/order_lines/", "--output", "s3://warehouse/loyalty"]);
        started.args(["--set", "output.pseudonymise.customer_id=hmac-sha256"]);
        match command {
            "run" => started.args([
                "--json",
                "--metrics-file",
                &format!("{told}/m"),
                "--openlineage",
                &format!("{told}/l"),
            ]),
            "sql" => started
                .args(["-c", "SHOW ALL; SELECT * FROM customer_rfm LIMIT 1; EXPLAIN SELECT pseudonym('a')"]),
            _ => &mut started,
        };
        started.envs(environment.iter().cloned());
        let ran = tokio::task::block_in_place(|| started.output().unwrap());
        all.extend([ran.stdout, ran.stderr].concat());
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&all));
    }
    // the server checks no token, so that the run goes on with one
    all.extend(shop.bench.files("s3/warehouse/loyalty").into_values().flatten());
    all.extend(shop.bench.files("told").into_values().flatten());
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains("order_lines") && all.len() > 50_000, "{} bytes", all.len());
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} is told");
    }
}
