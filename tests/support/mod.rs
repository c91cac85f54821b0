//! What the tests share: small shops, runs of the job in this process, and what a run published.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::RecordBatch;
use regulars::config::{Arguments, Config};
use regulars::error::Result;
use regulars::job::{self, Report, RunOptions, Running};
use regulars::query;
use regulars::steps::Silent;

/// A folder that is removed at the end, for a test's input and output.
pub struct Bench {
    folder: tempfile::TempDir,
}

#[allow(dead_code, reason = "each test file uses some of it")]
impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file, with its folders.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        self.text(name)
    }

    /// The job's arguments for an input and this folder's `out`.
    pub fn arguments(&self, input: &str, set: &[&str]) -> Arguments {
        Arguments {
            run_date: Some("2024-12-31".to_owned()),
            input: Some(input.to_owned()),
            output: Some(self.text("out")),
            set: set.iter().map(ToString::to_string).collect(),
            ..Arguments::default()
        }
    }

    /// Every file below a folder, with its bytes.
    pub fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let relative = path.strip_prefix(self.folder.path()).unwrap().display().to_string();
                    files.insert(relative, std::fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    /// The published objects, without the records of how they came there.
    pub fn published(&self) -> BTreeMap<String, Vec<u8>> {
        self.files("out").into_iter().filter(|(name, _)| !name.starts_with("out/_runs")).collect()
    }
}

#[allow(dead_code, reason = "each test file uses some of it")]
pub async fn run(arguments: &Arguments) -> Result<Report> {
    run_with(arguments, RunOptions::default()).await
}

#[allow(dead_code, reason = "each test file uses some of it")]
pub async fn run_with(arguments: &Arguments, options: RunOptions) -> Result<Report> {
    job::run(&Config::load(arguments)?, options, &mut Silent, &Running::default()).await
}

/// The rows of a query over what a run published.
#[allow(dead_code, reason = "each test file uses some of it")]
pub async fn rows(arguments: &Arguments, sql: &str) -> Vec<RecordBatch> {
    let published = Arguments { input: None, ..arguments.clone() };
    let context = query::session(&Config::load(&published).unwrap()).await.unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

/// The rows of a query, one line each, cells parted by blanks.
#[allow(dead_code, reason = "each test file uses some of it")]
pub async fn lines(arguments: &Arguments, sql: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in rows(arguments, sql).await {
        let options = datafusion::arrow::util::display::FormatOptions::default().with_null("NULL");
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| {
                datafusion::arrow::util::display::ArrayFormatter::try_new(column.as_ref(), &options).unwrap()
            })
            .collect();
        for row in 0..batch.num_rows() {
            lines.push(
                columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "),
            );
        }
    }
    lines
}

/// The folder of real data, where the environment says that there is one.
#[allow(dead_code, reason = "each test file uses some of it")]
pub fn shared() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("REGULARS_SHARED")?);
    assert!(
        Path::new(&folder).join("data").is_dir(),
        "REGULARS_SHARED is {}, which has no data",
        folder.display()
    );
    Some(folder)
}
