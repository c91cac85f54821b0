//! A cluster whose processes die, or are stopped: the job ends with the same bytes, or with a clear error and nothing published.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, free_port, regulars, wait_until};
use regulars::sample;
use support::Bench;

struct Shop {
    bench: Bench,
    expected: BTreeMap<String, Vec<u8>>,
}

impl Shop {
    fn open(orders: u32) -> Self {
        let bench = Bench::new();
        sample::write(&bench.path("shop"), orders).unwrap();
        let undisturbed = Bench::new();
        let status = Self::command(&bench, &undisturbed.text("out")).status().unwrap();
        assert!(status.success());
        Self { bench, expected: undisturbed.published() }
    }

    fn command(bench: &Bench, output: &str) -> Command {
        let mut command = regulars();
        command.args(["run", "--run-date", "2024-12-31", "--input", &bench.text("shop"), "--output", output]);
        command.args(["--set", "output.rows_per_part=50", "--set", "rules.max_consequent_length=2"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn cluster(&self, crash_at: &[&str]) -> Cluster {
        Cluster::start(&self.bench.path("cluster"), Vec::new(), crash_at)
    }

    fn start(&self, cluster: &Cluster) -> Child {
        Self::command(&self.bench, &self.bench.text("out")).args(cluster.settings()).spawn().unwrap()
    }

    fn assert_published(&self, when: &str) {
        let published = self.bench.published();
        let names = |objects: &BTreeMap<String, Vec<u8>>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&published), names(&self.expected), "{when}");
        assert!(published == self.expected, "other bytes {when}");
    }

    fn assert_nothing_published(&self) {
        assert!(self.bench.published().is_empty());
        let records: Vec<_> =
            self.bench.files("out").into_keys().filter(|name| name.contains("commits")).collect();
        assert!(records.is_empty(), "{records:?}");
    }

    /// Waits until jobs run on the cluster.
    fn wait_for_jobs(cluster: &Cluster, jobs: usize) {
        wait_until("jobs have run", || {
            cluster
                .api("/api/jobs")
                .and_then(|jobs| Some(jobs.as_array()?.len()))
                .is_some_and(|found| found >= jobs)
        });
    }
}

/// The exit code and what was said, within a time.
fn ended(mut child: Child, within: Duration) -> (Option<i32>, String) {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            return (status.code(), said);
        }
        if started.elapsed() > within {
            let _ = child.kill();
        }
        assert!(started.elapsed() <= within, "it runs longer than {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Each kind of work: scans and exchanges, the sink, windows and merges, mining, rules, parts of tables, audits.
#[test]
fn an_executor_that_dies_with_what_it_wrote_costs_nothing_but_time() {
    let shop = Shop::open(500);
    let moments = ["task:1", "task:4", "task:15", "task:40", "task:70", "task:100"];
    for moment in moments {
        let mut cluster = shop.cluster(&["", moment]);
        let (code, said) = ended(shop.start(&cluster), Duration::from_secs(90));
        assert_eq!(code, Some(0), "{moment}: {said}");
        assert!(cluster.executors[1].has_ended(), "nobody died at {moment}");
        shop.assert_published(moment);
        std::fs::remove_dir_all(shop.bench.path("out")).unwrap();
    }
}

#[test]
fn a_scheduler_that_dies_fails_the_run_at_once_and_a_retry_succeeds() {
    let shop = Shop::open(500);
    let mut cluster = shop.cluster(&[""]);
    let run = shop.start(&cluster);
    Shop::wait_for_jobs(&cluster, 5);
    cluster.scheduler.kill();
    let (code, said) = ended(run, Duration::from_secs(10));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("scheduler is gone") && said.contains(&cluster.address()), "{said}");
    shop.assert_nothing_published();

    cluster.restart_scheduler();
    cluster.add_executor("");
    cluster.wait_for_executors(1);
    let (code, said) = ended(shop.start(&cluster), Duration::from_mins(1));
    assert_eq!(code, Some(0), "{said}");
    shop.assert_published("after a retry");
}

#[test]
fn a_stopped_run_cancels_its_jobs_and_publishes_nothing() {
    let shop = Shop::open(3000);
    let cluster = shop.cluster(&[""]);
    for (signal, expected) in [("TERM", Some(143)), ("INT", Some(130)), ("KILL", None)] {
        let run = shop.start(&cluster);
        let before = cluster.api("/api/jobs").unwrap().as_array().unwrap().len();
        Shop::wait_for_jobs(&cluster, before + 3);
        let id = run.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
        let (code, said) = ended(run, Duration::from_secs(3));
        assert_eq!(code, expected, "{said}");
        shop.assert_nothing_published();
        wait_until("nothing runs any more", || cluster.running_jobs() == 0);
    }
}

#[test]
fn an_executor_told_to_stop_ends_its_tasks_and_the_others_do_the_rest() {
    let shop = Shop::open(500);
    let mut cluster = shop.cluster(&["", ""]);
    let run = shop.start(&cluster);
    Shop::wait_for_jobs(&cluster, 5);
    cluster.executors[0].signal("TERM");
    let (code, said) = ended(run, Duration::from_mins(1));
    assert_eq!(code, Some(0), "{said}");
    shop.assert_published("with one executor fewer");
    assert_eq!(cluster.executors[0].code(), Some(0));
}

#[test]
fn a_slow_executor_slows_the_run_and_changes_nothing() {
    let shop = Shop::open(300);
    let cluster = shop.cluster(&["", ""]);
    let run = shop.start(&cluster);
    Shop::wait_for_jobs(&cluster, 3);
    for _ in 0..3 {
        cluster.executors[0].signal("STOP");
        std::thread::sleep(Duration::from_millis(700));
        cluster.executors[0].signal("CONT");
        std::thread::sleep(Duration::from_millis(200));
    }
    let (code, said) = ended(run, Duration::from_mins(1));
    assert_eq!(code, Some(0), "{said}");
    shop.assert_published("with a slow executor");
}

#[test]
fn a_cluster_that_is_not_there_is_told() {
    let shop = Shop::open(100);
    let nobody = format!("engine.scheduler=df://127.0.0.1:{}", free_port());
    let mut command = Shop::command(&shop.bench, &shop.bench.text("out"));
    let run = command.args(["--set", "engine.kind=ballista", "--set", &nobody]).spawn().unwrap();
    let (code, said) = ended(run, Duration::from_secs(20));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the scheduler cannot be reached"), "{said}");

    let cluster = shop.cluster(&[]);
    let (code, said) = ended(shop.start(&cluster), Duration::from_secs(20));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no executors"), "{said}");
}

/// A certificate authority's files, and those of a process with a certificate of it.
fn write_certificates(bench: &Bench, folder: &str) -> Vec<(&'static str, String)> {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let mut certificate = CertificateParams::new(names).unwrap();
    certificate.distinguished_name.push(DnType::CommonName, "a process");
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    vec![
        ("REGULARS_TLS_CA", bench.write(&format!("{folder}/ca.pem"), &authority.pem())),
        ("REGULARS_TLS_CERT", bench.write(&format!("{folder}/cert.pem"), &certificate.pem())),
        ("REGULARS_TLS_KEY", bench.write(&format!("{folder}/key.pem"), &key.serialize_pem())),
    ]
}

#[test]
fn with_certificates_nobody_else_gets_in() {
    let shop = Shop::open(400);
    let ours = write_certificates(&shop.bench, "ours");
    let strangers = write_certificates(&shop.bench, "strangers");
    let cluster = Cluster::start(&shop.bench.path("cluster"), ours.clone(), &["", ""]);
    let run = |environment: Vec<(&'static str, String)>| {
        let mut command = Shop::command(&shop.bench, &shop.bench.text("out"));
        ended(command.args(cluster.settings()).envs(environment).spawn().unwrap(), Duration::from_mins(1))
    };
    for (environment, who) in [(Vec::new(), "without a certificate"), (strangers, "with a stranger's")] {
        let (code, said) = run(environment);
        assert_eq!(code, Some(1), "{who}: {said}");
        shop.assert_nothing_published();
    }
    let (code, said) = run(ours[..2].to_vec());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("TLS takes three files"), "{said}");

    let (code, said) = run(ours);
    assert_eq!(code, Some(0), "{said}");
    shop.assert_published("encrypted");
}

/// As an executor of another version would ask.
#[tokio::test]
async fn processes_of_other_versions_are_refused_with_both_named() {
    let bench = Bench::new();
    let cluster = Cluster::start(bench.path("").as_path(), Vec::new(), &[]);
    for call in ["RegisterExecutor", "ExecuteQueryPush", "HeartBeatFromExecutor"] {
        let url =
            format!("http://127.0.0.1:{}/ballista.protobuf.SchedulerGrpc/{call}", cluster.scheduler.port);
        let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        let request = client.post(url).header("content-type", "application/grpc").header("te", "trailers");
        let answer = request.header("user-agent", "regulars/99.0.0").body(vec![0; 5]).send().await.unwrap();
        let said = answer.headers()["grpc-message"].to_str().unwrap().replace("%20", " ");
        assert!(said.contains("regulars 99.0.0") && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
        assert_eq!(answer.headers()["grpc-status"], "9");
    }
}
