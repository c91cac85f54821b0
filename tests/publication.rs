//! The commit protocol on local disk, in memory and on a real S3 server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "support/s3.rs"]
mod s3;
#[path = "support/stale.rs"]
mod stale;
mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use datafusion::object_store::aws::AmazonS3Builder;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use regulars::config::Config;
use regulars::error::ErrorKind;
use regulars::location::Location;
use regulars::publish::{Attempt, Place, Published, TableObjects};
use regulars::sample;
use regulars::sink::Sink;
use regulars::tables::table;
use support::Bench;

/// The same scenario on each kind of store.
async fn on_every_store<F: AsyncFn(Place)>(scenario: F) {
    let date = "2024-12-31".parse().unwrap();
    let memory = Location::parse("file:///out").unwrap();
    scenario(Place::new(Arc::new(InMemory::new()), memory, date).unwrap()).await;

    let bench = Bench::new();
    std::fs::create_dir(bench.path("disk")).unwrap();
    let disk = LocalFileSystem::new_with_prefix(bench.path("disk")).unwrap();
    let local = Location::parse("file:///out").unwrap();
    scenario(Place::new(Arc::new(disk), local, date).unwrap()).await;

    let environment = s3::serve(&bench.path("s3")).await;
    let builder = environment
        .into_iter()
        .fold(AmazonS3Builder::new().with_bucket_name(s3::BUCKET), |builder, (key, value)| {
            builder.with_config(key.to_lowercase().parse().unwrap(), value)
        });
    let remote = Location::parse("s3://warehouse/out").unwrap();
    scenario(Place::new(Arc::new(builder.build().unwrap()), remote, date).unwrap()).await;
}

fn attempt(place: &Place, fingerprints: &[(&str, &str)], set: &[&str]) -> Attempt {
    let bench = Bench::new();
    let config = Config::load(&bench.arguments("in", set)).unwrap();
    let fingerprints =
        fingerprints.iter().map(|(name, print)| ((*name).to_owned(), (*print).to_owned())).collect();
    Attempt::new(place.clone(), &config, fingerprints, uuid::Uuid::new_v4()).unwrap()
}

/// Stages a table of one row for an attempt.
async fn staged(attempt: &Attempt, name: &str, value: i64) -> BTreeMap<String, TableObjects> {
    let context = SessionContext::new();
    let rows = match name {
        "rule_items" => format!("SELECT '{value}' AS item_id, 'antecedent' AS side, 'r' AS rule_id"),
        _ => format!("SELECT 'test' AS stage, 'value' AS measure, CAST({value} AS BIGINT) AS value"),
    };
    let plan = context.sql(&rows).await.unwrap().create_physical_plan().await.unwrap();
    let stage = attempt.stage(1000);
    stage.append(&context, table(name).unwrap(), plan).await.unwrap();
    stage.finish(&context, table(name).unwrap()).await.unwrap();
    stage.into_tables()
}

async fn names(store: &dyn ObjectStore) -> Vec<String> {
    let mut names: Vec<String> =
        store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    names.retain(|name| name.contains("out/"));
    names.sort();
    names
}

fn ends(names: &[String], end: &str) -> usize {
    names.iter().filter(|name| name.ends_with(end)).count()
}

#[tokio::test]
async fn what_is_published_is_known_again() {
    on_every_store(async |place| {
        let first = attempt(&place, &[("rfm", "a")], &[]);
        assert!(first.already_published().await.unwrap().is_none());
        let tables = staged(&first, "run_summary", 1).await;
        let Published::Now(commit) = first.publish(tables, 0).await.unwrap() else { panic!("not published") };
        assert_eq!(commit.generation, 1);
        assert_eq!(place.published().await.unwrap(), Some(commit));
        assert_eq!(place.run_dates().await.unwrap(), [place.run_date]);
        assert_eq!(
            ends(
                &names(place.store.as_ref()).await,
                "out/run_summary/run_date=2024-12-31/part-00000.parquet"
            ),
            1
        );
        assert!(attempt(&place, &[("rfm", "a")], &[]).already_published().await.unwrap().is_some());
        assert!(attempt(&place, &[("rfm", "b")], &[]).already_published().await.unwrap().is_none());
        assert!(attempt(&place, &[("rules", "a")], &[]).already_published().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn of_two_runs_with_other_inputs_one_wins() {
    on_every_store(async |place| {
        let (winner, loser) = (attempt(&place, &[("rfm", "a")], &[]), attempt(&place, &[("rfm", "b")], &[]));
        let (won, lost) = (staged(&winner, "run_summary", 1).await, staged(&loser, "run_summary", 2).await);
        winner.publish(won.clone(), 0).await.unwrap();
        let error = loser.publish(lost, 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.kind().exit_code(), 3);
        let published = place.published().await.unwrap().unwrap();
        assert_eq!(published.tables["run_summary"].parts[0].sha256, won["run_summary"].parts[0].sha256);
        let names = names(place.store.as_ref()).await;
        assert_eq!(names.iter().filter(|name| name.contains("/attempts/")).count(), 1, "{names:?}");
    })
    .await;
}

#[tokio::test]
async fn two_runs_with_the_same_inputs_both_end_well() {
    on_every_store(async |place| {
        let (one, other) = (attempt(&place, &[("rfm", "a")], &[]), attempt(&place, &[("rfm", "a")], &[]));
        let (first, second) = (staged(&one, "run_summary", 1).await, staged(&other, "run_summary", 1).await);
        assert!(matches!(one.publish(first, 0).await.unwrap(), Published::Now(_)));
        assert!(matches!(other.publish(second, 0).await.unwrap(), Published::Before(_)));
        assert_eq!(place.published().await.unwrap().unwrap().generation, 1);
    })
    .await;
}

#[tokio::test]
async fn a_listing_that_lags_behind_hides_no_commit() {
    let location = Location::parse("file:///out").unwrap();
    let store = Arc::new(stale::Stale::default());
    let place = Place::new(store, location, "2024-12-31".parse().unwrap()).unwrap();
    for (generation, inputs) in [(1, "a"), (2, "b"), (3, "c")] {
        let attempt = attempt(&place, &[("rfm", inputs)], &["output.keep_generations=5"]);
        let tables = staged(&attempt, "run_summary", generation).await;
        let published = attempt.publish(tables, generation as u64 - 1).await.unwrap();
        let Published::Now(commit) = published else { panic!("not published") };
        assert_eq!(commit.generation, generation as u64);
        assert_eq!(place.latest_commit().await.unwrap().unwrap().generation, generation as u64);
    }
    // one that began before the last commit has lost
    let late = attempt(&place, &[("rfm", "d")], &[]);
    let tables = staged(&late, "run_summary", 4).await;
    assert_eq!(late.publish(tables, 2).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn runs_of_other_names_stand_side_by_side() {
    on_every_store(async |place| {
        let (rfm, rules) = (
            attempt(&place, &[("rfm", "a")], &[]),
            attempt(&place, &[("itemsets", "i"), ("rules", "r")], &[]),
        );
        let (summary, items) = (staged(&rfm, "run_summary", 1).await, staged(&rules, "rule_items", 2).await);
        rfm.publish(summary, 0).await.unwrap();
        rules.publish(items, 0).await.unwrap();
        let published = place.published().await.unwrap().unwrap();
        assert_eq!(published.generation, 2);
        assert_eq!(published.tables.keys().collect::<Vec<_>>(), ["rule_items", "run_summary"]);
        assert_eq!(published.fingerprints.len(), 3);

        // other itemsets leave the rules of the old ones behind
        let itemsets = attempt(&place, &[("itemsets", "j")], &[]);
        let summary = staged(&itemsets, "run_summary", 3).await;
        itemsets.publish(summary, 2).await.unwrap();
        let published = place.published().await.unwrap().unwrap();
        assert_eq!(published.tables.keys().collect::<Vec<_>>(), ["run_summary"]);
        assert_eq!(
            ends(&names(place.store.as_ref()).await, "out/rule_items/run_date=2024-12-31/part-00000.parquet"),
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_promotion_cut_short_is_finished_and_damage_is_mended() {
    on_every_store(async |place| {
        let first = attempt(&place, &[("rfm", "a")], &[]);
        let tables = staged(&first, "run_summary", 1).await;
        first.publish(tables, 0).await.unwrap();
        let all = names(place.store.as_ref()).await;
        let object = |end: &str| Path::parse(all.iter().find(|name| name.ends_with(end)).unwrap()).unwrap();
        let part = object("out/run_summary/run_date=2024-12-31/part-00000.parquet");

        // as a crash after the commit would leave it
        place.store.delete(&part).await.unwrap();
        place.store.delete(&object("published.json")).await.unwrap();
        let next = attempt(&place, &[("rfm", "a")], &[]);
        assert_eq!(next.already_published().await.unwrap().unwrap().generation, 1);
        assert_eq!(names(place.store.as_ref()).await, all);

        // a damaged manifest is written again
        place.store.put(&object("published.json"), PutPayload::from_static(b"{")).await.unwrap();
        assert_eq!(next.already_published().await.unwrap().unwrap().generation, 1);

        // with the stage gone as well, the run computes anew
        place.store.delete(&object("published.json")).await.unwrap();
        let stage =
            all.iter().filter(|name| name.contains("/attempts/")).map(|name| Path::parse(name).unwrap());
        for object in stage {
            place.store.delete(&object).await.unwrap();
        }
        assert!(next.already_published().await.unwrap().is_none());
        let again = attempt(&place, &[("rfm", "a")], &[]);
        let tables_again = staged(&again, "run_summary", 1).await;
        again.publish(tables_again, 1).await.unwrap();
        assert!(next.already_published().await.unwrap().is_some());

        // somebody else's bytes are no longer what the manifest says
        place.store.delete(&part).await.unwrap();
        place.store.put(&part, PutPayload::from_static(b"no Parquet")).await.unwrap();
        assert!(next.already_published().await.unwrap().is_none());
        let tables = staged(&next, "run_summary", 1).await;
        next.publish(tables, 2).await.unwrap();
        let mended = place.store.get(&part).await.unwrap().bytes().await.unwrap();
        assert_eq!(&mended[..4], b"PAR1");
    })
    .await;
}

#[tokio::test]
async fn old_generations_and_orphans_are_collected() {
    on_every_store(async |place| {
        let orphan = attempt(&place, &[("rfm", "never")], &[]);
        staged(&orphan, "run_summary", 0).await;
        for generation in 0..4 {
            let print = generation.to_string();
            let keep = [
                "output.keep_generations=2",
                if generation == 3 { "output.orphan_age=0s" } else { "output.orphan_age=1h" },
            ];
            let next = attempt(&place, &[("rfm", &print)], &keep);
            let tables = staged(&next, "run_summary", generation).await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            next.publish(tables, u64::try_from(generation).unwrap()).await.unwrap();
            let names = names(place.store.as_ref()).await;
            let attempts = names.iter().filter(|name| name.contains("/attempts/")).count();
            let expected = [2, 3, 3, 2][usize::try_from(generation).unwrap()];
            assert_eq!(attempts, expected, "after generation {generation}: {names:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_large_part_is_uploaded_in_pieces() {
    on_every_store(async |place| {
        let attempt = attempt(&place, &[("rfm", "a")], &[]);
        let context = SessionContext::new();
        let rows = "SELECT 'test' AS stage, concat(uuid(), uuid()) AS measure, CAST(i AS BIGINT) AS value FROM \
                    (SELECT unnest(range(0, 300000)) AS i)";
        let plan = context.sql(rows).await.unwrap().create_physical_plan().await.unwrap();
        let stage = attempt.stage(1_000_000);
        stage.append(&context, table("run_summary").unwrap(), plan).await.unwrap();
        stage.finish(&context, table("run_summary").unwrap()).await.unwrap();
        let tables = stage.into_tables();
        assert!(tables["run_summary"].bytes() > 10 << 20, "{}", tables["run_summary"].bytes());
        let Published::Now(commit) = attempt.publish(tables, 0).await.unwrap() else { panic!("not published") };
        let part = &commit.tables["run_summary"].parts[0];
        let found = names(place.store.as_ref()).await;
        let path = found.iter().find(|name| name.ends_with(&part.published)).unwrap();
        assert_eq!(place.store.head(&Path::parse(path).unwrap()).await.unwrap().size, part.bytes);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_job_runs_from_s3_to_s3() {
    let bench = Bench::new();
    let environment = s3::serve(&bench.path("s3")).await;
    sample::write(&bench.path("s3/warehouse/order_lines"), 800).unwrap();
    let regulars = |arguments: &[&str]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
        command.args(arguments).args([
            "--input",
            "s3://warehouse/order_lines/",
            "--output",
            "s3://warehouse/loyalty",
        ]);
        command.envs(environment.clone()).output().unwrap()
    };
    for expected in ["published", "unchanged"] {
        let ran = tokio::task::block_in_place(|| regulars(&["run", "--run-date", "2024-12-31", "--json"]));
        let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
        assert!(out.contains(expected), "{out}{err}");
    }
    let count = "SELECT sum(customers) > 100 AS many FROM rfm_segments";
    let ran = tokio::task::block_in_place(|| regulars(&["sql", "--format", "csv", "-c", count]));
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "many\ntrue\n");
    let glob = tokio::task::block_in_place(|| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
        command.args([
            "sql",
            "--input",
            "s3://warehouse/order_lines/month=2024-0[12]/*.parquet",
            "--format",
            "csv",
        ]);
        command.args(["-c", "SELECT count(DISTINCT date_trunc('month', order_ts)) AS months FROM input"]);
        command.envs(environment.clone()).output().unwrap()
    });
    assert_eq!(
        String::from_utf8(glob.stdout).unwrap(),
        "months\n2\n",
        "{}",
        String::from_utf8_lossy(&glob.stderr)
    );
}
