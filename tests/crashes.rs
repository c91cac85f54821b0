//! Runs that die at any moment, and runs that race: what is published stays whole, and the next run mends the rest.
//!
//! `REGULARS_CRASHES=200 cargo test --test crashes random` kills as many runs at random moments, of customers, of all tables, and of all
//! tables on S3; a few of them without it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/s3.rs"]
mod s3;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use regulars::config::Arguments;
use regulars::sample;
use support::{Bench, lines, run};
use tokio::runtime::Runtime;

/// What two configurations publish, by the names of the objects.
type Objects = BTreeMap<String, Vec<u8>>;

const CONFIGURATIONS: [[&str; 2]; 2] =
    [["rfm.monetary=sum", "rules.min_confidence=0.3"], ["rfm.monetary=mean", "rules.min_confidence=0.4"]];

/// Where runs publish.
struct Output {
    /// The folder of a test where it stands, and how runs name it.
    folder: &'static str,
    location: String,
    environment: Vec<(&'static str, String)>,
    /// What an S3 server lives in.
    _server: Option<Runtime>,
}

impl Output {
    fn in_folder(bench: &Bench) -> Self {
        Self { folder: "out", location: bench.text("out"), environment: Vec::new(), _server: None }
    }

    fn on_s3(bench: &Bench) -> Self {
        let server = Runtime::new().unwrap();
        let environment = server.block_on(s3::serve(&bench.path("s3")));
        let location = format!("s3://{}/out", s3::BUCKET);
        Self { folder: "s3/warehouse/out", location, environment, _server: Some(server) }
    }

    /// The published objects, without the records of how they came there.
    fn published(&self, bench: &Bench) -> Objects {
        let files = bench.files(self.folder).into_iter();
        files
            .map(|(name, bytes)| (name[self.folder.len() + 1..].to_owned(), bytes))
            .filter(|(name, _)| !name.starts_with("_runs"))
            .collect()
    }
}

struct Shop {
    bench: Bench,
    output: Output,
    select: &'static str,
    expected: [Objects; 2],
}

impl Shop {
    fn open() -> Self {
        Self::selling("rfm", Output::in_folder)
    }

    /// A shop, and what each configuration publishes of it where nobody disturbs.
    fn selling(select: &'static str, output: fn(&Bench) -> Output) -> Self {
        let bench = Bench::new();
        sample::write(&bench.path("shop"), 800).unwrap();
        let expected = [0, 1].map(|which| {
            let undisturbed = Bench::new();
            let output = Output::in_folder(&undisturbed);
            let status = Self::command(&bench, &output, select, which).status().unwrap();
            assert!(status.success());
            output.published(&undisturbed)
        });
        assert!(expected[0] != expected[1]);
        let output = output(&bench);
        Self { bench, output, select, expected }
    }

    fn command(bench: &Bench, output: &Output, select: &str, which: usize) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
        command.args(["run", "--run-date", "2024-12-31", "--input", &bench.text("shop")]);
        command.args(["--output", &output.location, "--select", select]);
        for set in CONFIGURATIONS[which] {
            command.args(["--set", set]);
        }
        command.args(["--set", &format!("engine.spill_dir={}", bench.path("").display())]);
        command.envs(output.environment.iter().cloned());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn published(&self) -> Objects {
        self.output.published(&self.bench)
    }

    /// A run at a time, so that what others left behind is old at once.
    fn start(&self, which: usize, more: &[&str], crash_at: &str) -> Child {
        self.start_beside_others(which, &[more, &["--set", "output.orphan_age=1ms"]].concat(), crash_at)
    }

    fn start_beside_others(&self, which: usize, more: &[&str], crash_at: &str) -> Child {
        let mut command = Self::command(&self.bench, &self.output, self.select, which);
        command.args(more).env("REGULARS_CRASH_AT", crash_at).spawn().unwrap()
    }

    fn run(&self, which: usize, more: &[&str], crash_at: &str) -> Option<i32> {
        self.start(which, more, crash_at).wait().unwrap().code()
    }

    /// Every published object is that of one configuration or of the other, never a part of one.
    fn assert_whole(&self, when: &str) {
        for (name, bytes) in self.published().iter().filter(|(name, _)| !name.contains('#')) {
            let whole = self.expected.iter().any(|expected| expected.get(name) == Some(bytes));
            assert!(whole, "{name} is neither old nor new {when}");
        }
    }

    /// All that is published is what a configuration publishes.
    fn assert_published(&self, which: usize, when: &str) {
        let published = self.published();
        let names = |objects: &Objects| objects.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&published), names(&self.expected[which]), "{when}");
        assert!(published == self.expected[which], "other bytes than expected {when}");
    }

    /// The attempts that stand are those that commits name.
    fn assert_no_orphans(&self, when: &str) {
        let runs = format!("{}/_runs/run_date=2024-12-31", self.output.folder);
        let files = self.bench.files(&runs);
        let commits: Vec<String> = files
            .iter()
            .filter(|(name, _)| name.contains("/commits/"))
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
            .collect();
        for name in files.keys().filter_map(|name| name.strip_prefix(&format!("{runs}/attempts/"))) {
            let attempt = name.split('/').next().unwrap();
            assert!(commits.iter().any(|commit| commit.contains(attempt)), "{name} is an orphan {when}");
        }
    }
}

#[test]
fn a_run_that_dies_at_any_point_of_its_publication_is_mended_by_the_next() {
    let shop = Shop::open();
    assert_eq!(shop.run(0, &[], ""), Some(0));
    let mut standing = 0;
    for point in [
        "staged",
        "committing",
        "committed",
        "promoting:1",
        "promoting:2",
        "promoting:5",
        "promoted",
        "recording",
        "recorded",
        "collecting",
    ] {
        let when = format!("after a crash at {point}");
        let next = 1 - standing;
        let keep = ["--force", "--set", "output.keep_generations=1"];
        assert_eq!(shop.run(next, &keep, point), None, "{point} is not reached");
        shop.assert_whole(&when);
        if ["staged", "committing"].contains(&point) {
            shop.assert_published(standing, &when);
        }
        assert_eq!(shop.run(next, &keep[1..], ""), Some(0), "{when}");
        shop.assert_published(next, &format!("{when} and a run"));
        // another that has something to do also tidies up
        assert_eq!(shop.run(next, &keep, ""), Some(0));
        shop.assert_published(next, &format!("{when} and two runs"));
        shop.assert_no_orphans(&when);
        standing = next;
    }
}

#[test]
fn a_run_killed_at_random_leaves_each_object_old_or_new() {
    kill_at_random(&Shop::open());
}

#[test]
fn a_run_of_all_tables_killed_at_random_leaves_each_object_old_or_new() {
    kill_at_random(&Shop::selling("rfm,rules", Output::in_folder));
}

#[test]
fn a_run_killed_at_random_leaves_each_object_on_s3_old_or_new() {
    kill_at_random(&Shop::selling("rfm,rules", Output::on_s3));
}

fn kill_at_random(shop: &Shop) {
    let started = Instant::now();
    assert_eq!(shop.run(0, &[], ""), Some(0));
    let whole_run = started.elapsed();
    let crashes = std::env::var("REGULARS_CRASHES").map_or(8, |crashes| crashes.parse().unwrap());
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(20_241_231);
    for crash in 0..crashes {
        let which = crash % 2;
        let mut child = shop.start(which, &["--force"], "");
        std::thread::sleep(whole_run.mul_f64(random.random_range(0.0..1.1)));
        // as kill -9
        child.kill().unwrap();
        child.wait().unwrap();
        shop.assert_whole(&format!("after kill {crash}"));
        if crash % 4 == 3 {
            assert_eq!(shop.run(which, &[], ""), Some(0));
            shop.assert_published(which, &format!("after kill {crash} and a run"));
        }
    }
    assert_eq!(shop.run(1, &["--force"], ""), Some(0));
    shop.assert_published(1, "at the end");
    shop.assert_no_orphans("at the end");
    let spilled = shop.bench.files("").into_keys().filter(|name| name.starts_with("regulars-spill-"));
    assert_eq!(spilled.count(), 0, "what dead runs had spilled is removed");
}

#[test]
fn of_eight_racing_runs_those_with_the_inputs_that_won_end_well() {
    for configurations in [[0; 8], [0, 1, 0, 1, 0, 1, 0, 1]] {
        let shop = Shop::open();
        let racing = configurations.map(|which| (which, shop.start_beside_others(which, &[], "")));
        let codes: Vec<(usize, Option<i32>)> =
            racing.into_iter().map(|(which, mut child)| (which, child.wait().unwrap().code())).collect();
        let winners: BTreeSet<usize> =
            codes.iter().filter(|(_, code)| *code == Some(0)).map(|(which, _)| *which).collect();
        assert!(
            !winners.is_empty() && codes.iter().all(|(_, code)| matches!(code, Some(0 | 3))),
            "{codes:?}"
        );
        if configurations == [0; 8] {
            assert!(codes.iter().all(|(_, code)| *code == Some(0)), "{codes:?}");
        }
        shop.assert_whole("after a race");
        let published = shop.published();
        assert!(winners.iter().any(|winner| published == shop.expected[*winner]), "{codes:?}");
    }
}

#[tokio::test]
async fn a_back_fill_of_thirty_dates_may_run_side_by_side() {
    let bench = Bench::new();
    let mut csv = "order_id,customer_id,order_ts,amount\n".to_owned();
    for day in 1..=30 {
        writeln!(csv, "{day},c{},2024-11-{day:02},1", day % 7).unwrap();
    }
    let input = bench.write("lines.csv", &csv);
    let of = |day: u32| Arguments {
        run_date: Some(format!("2024-11-{day:02}")),
        select: vec!["rfm".to_owned()],
        ..bench.arguments(&input, &["engine.target_partitions=1"])
    };
    let dates: Vec<Arguments> = (1..=30).map(of).collect();
    for ended in futures::future::join_all(dates.iter().map(run)).await {
        assert_eq!(ended.unwrap().status, "published");
    }
    for day in [1, 7, 30] {
        let orders = lines(&of(day), "SELECT sum(orders) FROM customer_rfm").await;
        assert_eq!(orders, [day.to_string()]);
    }
}

#[test]
fn an_older_generation_stands_again_after_a_rollback() {
    let shop = Shop::open();
    assert_eq!(shop.run(0, &[], ""), Some(0));
    assert_eq!(shop.run(1, &[], ""), Some(0));
    let rollback = |to: &str| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
        let output = shop.bench.text("out");
        command.args(["rollback", "--run-date", "2024-12-31", "--output", &output, "--to", to]);
        let ended = command.output().unwrap();
        let told = [ended.stdout, ended.stderr].concat();
        (ended.status.code().unwrap(), String::from_utf8(told).unwrap())
    };
    let (code, told) = rollback("1");
    assert!(code == 0 && told.contains("as generation 3"), "{told}");
    shop.assert_published(0, "after a rollback");
    // what is published is known by its inputs: those of then have nothing to do, those of now are computed again
    assert_eq!(shop.run(0, &[], "committing"), Some(0));
    shop.assert_published(0, "after a run of the same inputs");
    assert_eq!(shop.run(1, &[], ""), Some(0));
    shop.assert_published(1, "after a run of other inputs");
    let (code, told) = rollback("1");
    assert!(code == 2 && told.contains("generation 1 of 2024-12-31 is not kept; there is: 3, 4"), "{told}");
    shop.assert_published(1, "after a rollback that failed");
}

#[test]
fn a_signal_after_the_commit_leaves_the_rest_to_the_next_run() {
    let shop = Shop::open();
    assert_eq!(shop.run(0, &[], ""), Some(0));
    assert_eq!(shop.run(1, &[], "committed"), None);
    shop.assert_published(0, "before promotion");
    let mut child = shop.start(1, &[], "");
    std::thread::sleep(Duration::from_millis(5));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    child.wait().unwrap();
    shop.assert_whole("after a signal");
    assert_eq!(shop.run(1, &[], ""), Some(0));
    shop.assert_published(1, "in the end");
}

#[test]
fn files_that_a_dead_run_never_finished_are_removed_once_they_are_old() {
    let shop = Shop::open();
    assert_eq!(shop.run(0, &[], ""), Some(0));
    // as the store for local disks leaves them when it is killed while it writes
    let unfinished = [
        "out/_runs/run_date=2024-12-31/attempts/dead/customer_rfm/part-00000.parquet#1",
        "out/customer_rfm/run_date=2024-12-31/part-00000.parquet#3",
    ];
    for name in unfinished {
        shop.bench.write(name, "half of it");
    }
    let mut young = shop.start_beside_others(0, &["--force"], "");
    assert!(young.wait().unwrap().success());
    assert!(unfinished.iter().all(|name| shop.bench.path(name).exists()), "another run may be writing them");
    assert_eq!(shop.run(0, &["--force"], ""), Some(0));
    assert!(unfinished.iter().all(|name| !shop.bench.path(name).exists()));
    shop.assert_published(0, "after tidying up");
}
