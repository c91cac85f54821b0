//! The time of each stage on the sample shop, and of the whole job: `cargo bench`.

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use criterion::{Criterion, criterion_group, criterion_main};
use regulars::config::{Arguments, Config};
use regulars::job::{self, RunOptions, Running};
use regulars::pipeline::Inputs;
use regulars::segments::SegmentMap;
use regulars::sink::Discard;
use regulars::source::{self, Hierarchy, Source};
use regulars::steps::{Mode, Silent, Steps};
use regulars::{pipeline, sample, session};
use tokio::runtime::Runtime;

/// Relations that do the work of a stage, each over those before it.
const RELATIONS: &[&str] = &[
    "line_tally",
    "customer",
    "scored_customer",
    "rfm_thresholds",
    "item",
    "basket",
    "item_count",
    "itemset_support",
    "association_rules",
];

fn stages(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    sample::write(&shop, 50_000).unwrap();
    let arguments = Arguments {
        run_date: Some(sample::LAST_DAY.to_string()),
        input: Some(shop.display().to_string()),
        output: Some(folder.path().join("out").display().to_string()),
        set: vec!["rules.min_support=0.001".to_owned(), "rules.min_confidence=0.1".to_owned()],
        ..Arguments::default()
    };
    let config = Config::load(&arguments).unwrap();
    let runtime = Runtime::new().unwrap();
    let context = session::embedded(&config.engine).unwrap();
    let (mut silent, sink) = (Silent, Discard::default());
    let mut steps = Steps::new(&context, Mode::Run, &mut silent, &sink);
    runtime.block_on(async {
        let source = Source::open(&context, config.required_input().unwrap()).await.unwrap();
        let order_line = source::order_line(&source, &config, config.run_date).unwrap();
        let segments = SegmentMap::load(&context, &config.rfm).await.unwrap();
        let inputs = Inputs { order_line, hierarchy: Hierarchy::default(), segments: Some(segments) };
        pipeline::run(&mut steps, inputs, &config).await.unwrap();
    });

    let mut group = criterion.benchmark_group("stages");
    group.sample_size(20);
    for relation in RELATIONS {
        group.bench_function(*relation, |bencher| {
            bencher.iter(|| runtime.block_on(steps.rows(relation)).unwrap());
        });
    }
    group.bench_function("whole_job", |bencher| {
        let options = RunOptions { force: true, ..RunOptions::default() };
        bencher
            .iter(|| runtime.block_on(job::run(&config, options, &mut Silent, &Running::default())).unwrap());
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
