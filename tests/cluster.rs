//! The same job on a Ballista cluster publishes the same bytes: on one in the process, and on real processes.
//!
//! `REGULARS_CONFIGURATIONS=50 cargo test --test cluster` tries as many random configurations; a few of them without it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/s3.rs"]
mod s3;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

use cluster::{Cluster, get, regulars};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use regulars::sample;
use support::{Bench, shared};

type Objects = BTreeMap<String, Vec<u8>>;

/// Executors make pseudonyms, too.
const PSEUDONYM_KEY: &str = "a key of enough bytes";

/// A job by its arguments.
struct Job {
    bench: Bench,
    arguments: Vec<String>,
}

impl Job {
    fn of_sample(orders: u32) -> Self {
        let bench = Bench::new();
        sample::write(&bench.path("shop"), orders).unwrap();
        let arguments =
            ["--run-date", "2024-12-31", "--input", &bench.text("shop")].map(str::to_owned).to_vec();
        Self { bench, arguments }
    }

    fn run(&self, more: &[String], output: &str) -> Output {
        let mut command = regulars();
        command.arg("run").args(&self.arguments).args(more).args(["--output", output, "--json"]);
        command.env("REGULARS_PSEUDONYM_KEY", PSEUDONYM_KEY);
        command.output().unwrap()
    }

    /// What the job publishes.
    fn published(&self, more: &[String]) -> Objects {
        let out = Bench::new();
        let output = self.run(more, &out.text("out"));
        assert!(output.status.success(), "{}\n{more:?}", String::from_utf8_lossy(&output.stderr));
        let left: Vec<_> = out.files("out").into_keys().filter(|name| name.contains("/between/")).collect();
        assert!(left.is_empty(), "{left:?} stay behind");
        out.published()
    }
}

fn cluster_of_two(job: &Job) -> Cluster {
    let environment = vec![("REGULARS_PSEUDONYM_KEY", PSEUDONYM_KEY.to_owned())];
    Cluster::start(&job.bench.path("cluster"), environment, &["", ""])
}

fn assert_same(expected: &Objects, found: &Objects, what: &str) {
    let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(expected), names(found), "{what}");
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{name} has other bytes, {what}");
    }
}

/// Each as `--set`; with itemsets other than all frequent ones there are no rules.
fn sets(values: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> =
        values.iter().flat_map(|value| ["--set".to_owned(), (*value).to_owned()]).collect();
    if values.iter().any(|value| ["rules.target=closed", "rules.target=maximal"].contains(value)) {
        arguments.extend(["--select".to_owned(), "rfm,itemsets".to_owned()]);
    }
    arguments
}

/// Options of everything that a run can do, some of them for each kind of work.
const CONFIGURATIONS: &[&[&str]] = &[
    &[],
    &[
        "output.rows_per_part=37",
        "output.minimum_group_size=4",
        "output.pseudonymise.customer_id=hmac-sha256",
    ],
    &[
        "rules.algorithm=apriori",
        "rules.max_consequent_length=2",
        "rules.adjust=bh",
        "rules.min_support=0.006",
    ],
    &["rules.target=closed"],
    &["rules.target=maximal"],
    &["rules.by=[\"segment\"]", "rules.min_support_count=12", "output.rows_per_part=50"],
    &[
        "rules.top=20",
        "rules.redundant=drop",
        "rfm.binning=ntile",
        "rfm.nested=true",
        "rfm.scaling=rank",
        "rfm.compare_to=90 days",
        "rfm.window=200 days",
    ],
    &[
        "rfm.binning=percent_rank",
        "rfm.scaling=z_score",
        "rfm.cohorts=true",
        "rfm.summary=week",
        "rfm.metrics=month",
        "rfm.lifecycle.by=rhythm",
        "clean.returns=net",
        "clean.duplicates=drop",
    ],
];

#[test]
fn a_cluster_in_the_process_publishes_the_same_bytes() {
    let job = Job::of_sample(600);
    let embedded = job.published(&[]);
    for limit in ["engine.local_limit=0B", "engine.local_limit=32MiB"] {
        let found = job.published(&sets(&["engine.kind=ballista", limit, "engine.target_partitions=2"]));
        assert_same(&embedded, &found, limit);
    }
}

#[test]
fn real_processes_publish_the_same_bytes_of_everything_a_run_can_do() {
    let job = Job::of_sample(700);
    let cluster = cluster_of_two(&job);
    for configuration in CONFIGURATIONS {
        let options = sets(configuration);
        let found = job.published(&[&options[..], &cluster.settings()].concat());
        assert_same(&job.published(&options), &found, &format!("{configuration:?}"));
    }
    for executor in &cluster.executors {
        let told = get(executor.health_port, "/metrics").unwrap();
        let value = |name: &str| -> u64 {
            told.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
        };
        // the work was spread, and is done
        assert!(value("regulars_executor_tasks_total{outcome=\"done\"}") > 0, "{told}");
        assert!(value("regulars_executor_rows_total") > 0, "{told}");
        assert!(value("regulars_executor_resident_bytes") > 1_000_000, "{told}");
        assert_eq!(value("regulars_executor_tasks_running"), 0, "{told}");
    }
}

#[test]
fn categories_csv_files_and_delta_tables_are_the_same() {
    let job = Job::of_sample(600);
    let cluster = cluster_of_two(&job);
    let on_cluster = |options: &[String]| job.published(&[options, &cluster.settings()].concat());

    let categories = "item_id,category\nbread,bakery\nmilk,dairy\ncheese,dairy\nbakery,food\ndairy,food\n";
    let categories = job.bench.write("categories.csv", categories);
    let hierarchy = format!("rules.hierarchy.location={categories}");
    for by in ["rules.by=[]", "rules.by=[\"segment\", \"loyalty_group\"]"] {
        let options = sets(&[&hierarchy, by, "rules.min_support_count=10"]);
        assert_same(&job.published(&options), &on_cluster(&options), by);
    }

    let lines = regulars()
        .args(["sql", "--input", &job.bench.text("shop"), "--format", "csv", "-c"])
        .arg("SELECT * EXCEPT (month) FROM input")
        .output()
        .unwrap();
    let csv = job.bench.write("lines.csv", std::str::from_utf8(&lines.stdout).unwrap());
    let csv = ["--input".to_owned(), csv];
    let of_csv = Job { bench: Bench::new(), arguments: [&job.arguments[..2], &csv].concat() };
    let found = of_csv.published(&cluster.settings());
    assert_same(&of_csv.published(&[]), &found, "of CSV");

    // a Delta table's files have names of their own
    let delta = sets(&["output.format=delta"]);
    let bytes = |objects: Objects| {
        let files = objects.into_iter().filter(|(name, _)| name.ends_with(".parquet"));
        files.map(|(_, bytes)| bytes).collect::<BTreeSet<_>>()
    };
    assert!(bytes(job.published(&delta)) == bytes(on_cluster(&delta)));
}

#[test]
fn random_configurations_publish_the_same_bytes() {
    const CHOICES: &[&[&str]] = &[
        &["rfm.binning=quantile", "rfm.binning=ntile", "rfm.binning=percent_rank"],
        &["rfm.scaling=min_max", "rfm.scaling=z_score", "rfm.scaling=log", "rfm.scaling=rank"],
        &["rfm.frequency=orders", "rfm.frequency=days", "rfm.frequency=lines"],
        &["rfm.monetary=sum", "rfm.monetary=mean"],
        &["rfm.nested=false", "rfm.nested=true"],
        &["rules.algorithm=fp_growth", "rules.algorithm=apriori"],
        &["rules.target=frequent", "rules.target=closed", "rules.target=maximal"],
        &["rules.max_length=5", "rules.max_length=2", "rules.max_length=0"],
        &["rules.max_consequent_length=1", "rules.max_consequent_length=3"],
        &["rules.min_support=0.01", "rules.min_support=0.004", "rules.min_support_count=3"],
        &["rules.adjust=none", "rules.adjust=holm", "rules.adjust=bonferroni"],
        &["clean.returns=exclude", "clean.returns=net"],
        &["clean.duplicates=keep", "clean.duplicates=drop"],
        &["output.rows_per_part=20000000", "output.rows_per_part=10", "output.rows_per_part=300"],
        &["engine.target_partitions=0", "engine.target_partitions=1", "engine.target_partitions=7"],
        &["engine.batch_size=8192", "engine.batch_size=100"],
    ];
    let job = Job::of_sample(400);
    let cluster = cluster_of_two(&job);
    let configurations = std::env::var("REGULARS_CONFIGURATIONS").map_or(3, |text| text.parse().unwrap());
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(6);
    for _ in 0..configurations {
        let mut chosen: Vec<&str> =
            CHOICES.iter().map(|choices| *choices.choose(&mut random).unwrap()).collect();
        if random.random_bool(0.3) {
            chosen.retain(|option| !option.starts_with("rules.min_support"));
            chosen.extend(["rules.by=[\"segment\"]", "rules.min_support_count=8"]);
        }
        let options = sets(&chosen);
        let found = job.published(&[&options[..], &cluster.settings()].concat());
        assert_same(&job.published(&options), &found, &format!("{chosen:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_and_output_may_stand_in_s3() {
    let job = Job::of_sample(500);
    let environment = s3::serve(&job.bench.path("s3")).await;
    copy(&job.bench.path("shop"), &job.bench.path("s3").join(s3::BUCKET).join("shop"));
    let tried = tokio::task::spawn_blocking(move || {
        let expected = job.published(&[]);
        let cluster = Cluster::start(&job.bench.path("cluster"), environment.clone(), &["", ""]);
        let location = |name: &str| format!("s3://{}/{name}", s3::BUCKET);
        let mut command = regulars();
        command.args(["run", "--run-date", "2024-12-31", "--input", &location("shop/")]);
        command.args(["--output", &location("out")]).args(cluster.settings()).envs(environment);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let published = job.bench.files(&format!("s3/{}/out", s3::BUCKET)).into_iter();
        let published: Objects = published
            .filter_map(|(name, bytes)| Some((name.strip_prefix("s3/warehouse/")?.to_owned(), bytes)))
            .filter(|(name, _)| !name.starts_with("out/_runs"))
            .collect();
        assert_same(&expected, &published, "in S3");
    });
    tried.await.unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).map(drop).unwrap();
        }
    }
}

#[test]
fn the_real_data_gives_the_same_bytes() {
    let Some(shared) = shared() else { return };
    let bench = Bench::new();
    let cluster = Cluster::start(&bench.path("cluster"), Vec::new(), &["", ""]);
    let baskets = |name: &str, support: &str| {
        let input = shared.join("data").join(name).display().to_string();
        let mut arguments =
            vec!["--input".to_owned(), input, "--run-date".to_owned(), "2024-12-31".to_owned()];
        arguments.extend(["--select".to_owned(), "itemsets".to_owned()]);
        arguments.extend(sets(&[&format!("rules.min_support_count={support}"), "rules.max_length=0"]));
        arguments
    };
    let mut jobs = vec![
        baskets("belgian_retail.parquet", "30"),
        baskets("t10i4d100k.parquet", "100"),
        baskets("kosarak_first100k.parquet", "400"),
        baskets("mushroom.parquet", "2000"),
    ];
    let retail = shared.join("data/online_retail.parquet").display().to_string();
    let mut online = vec!["--input".to_owned(), retail, "--run-date".to_owned(), "2011-12-10".to_owned()];
    online.extend(sets(&[
        "input.columns.order_id=InvoiceNo",
        "input.columns.item_id=StockCode",
        "input.columns.customer_id=CustomerID",
        "input.columns.order_ts=InvoiceDate",
        "input.columns.quantity=Quantity",
        "input.columns.unit_price=UnitPrice",
        "rules.min_support=0.01",
        "rfm.cohorts=true",
        "rfm.compare_to=90 days",
    ]));
    jobs.push(online);
    for arguments in jobs {
        let job = Job { bench: Bench::new(), arguments };
        let found = job.published(&cluster.settings());
        assert_same(&job.published(&[]), &found, &format!("{:?}", job.arguments));
    }
}
