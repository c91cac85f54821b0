//! What an executor tells of itself at `/metrics`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ballista_core::serde::protobuf::ShuffleWritePartition;
use datafusion::common::Result;

use crate::prometheus::{self, Metric, labels};

/// What tasks did since the executor began.
#[derive(Debug, Default)]
pub struct Measures {
    running: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// What an executor has to work with.
#[derive(Debug, Clone)]
pub struct Means {
    pub cores: usize,
    pub memory: u64,
    pub work_folder: PathBuf,
    pub spill_folder: PathBuf,
}

/// A task under way; one that is cancelled is dropped.
struct Running<'a>(&'a Measures, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Self(measures, ended) = self;
        measures.running.fetch_sub(1, Ordering::Relaxed);
        if !*ended {
            measures.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Measures {
    /// Runs a task, and counts how it ended and what it wrote.
    pub async fn of(
        &self,
        task: impl Future<Output = Result<Vec<ShuffleWritePartition>>>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let mut running = Running(self, false);
        let written = task.await;
        running.1 = true;
        match &written {
            Ok(written) => {
                self.done.fetch_add(1, Ordering::Relaxed);
                self.rows.fetch_add(written.iter().map(|part| part.num_rows).sum(), Ordering::Relaxed);
                self.bytes.fetch_add(written.iter().map(|part| part.num_bytes).sum(), Ordering::Relaxed);
            }
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        written
    }

    /// All metrics of the executor.
    pub fn text(&self, means: &Means) -> String {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let ended = [("done", &self.done), ("failed", &self.failed), ("cancelled", &self.cancelled)];
        let ended = ended.map(|(outcome, tasks)| (labels(&[("outcome", outcome)]), count(tasks)));
        let one = |value: &AtomicU64| vec![(String::new(), count(value))];
        let disk = [("work", &means.work_folder), ("spill", &means.spill_folder)];
        let disk = disk.map(|(name, folder)| (labels(&[("folder", name)]), bytes_below(folder) as f64));
        let mut metrics = vec![
            Metric::gauge(
                "regulars_executor_cores",
                "How many tasks may run side by side",
                means.cores as f64,
            ),
            Metric::gauge("regulars_executor_memory_limit_bytes", "What tasks share", means.memory as f64),
            Metric::gauge("regulars_executor_tasks_running", "Tasks under way", count(&self.running)),
            Metric::counters("regulars_executor_tasks_total", "Tasks that ended", ended.to_vec()),
            Metric::counters(
                "regulars_executor_rows_total",
                "Rows that tasks wrote for others",
                one(&self.rows),
            ),
            Metric::counters(
                "regulars_executor_bytes_total",
                "Bytes that tasks wrote for others",
                one(&self.bytes),
            ),
            Metric::gauges("regulars_executor_disk_bytes", "What stands in each folder", disk.to_vec()),
        ];
        if let Some(resident) = resident() {
            metrics.push(Metric::gauge(
                "regulars_executor_resident_bytes",
                "Memory of the process",
                resident as f64,
            ));
        }
        prometheus::text(&metrics)
    }
}

/// The bytes of all files below a folder; those that go meanwhile count nothing.
fn bytes_below(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => open.push(entry.path()),
                Ok(found) => bytes += found.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

/// The memory that the process holds, where the system tells it as Linux does.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes << 10)
}
