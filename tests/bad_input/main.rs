//! Bad input through the real binary: each mistake is answered with its exit code and one sentence that names it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod configuration;
mod expressions;
mod files;
mod output;
mod schemas;
mod values;

use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int96, Int96Type};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::parser::parse_message_type;
use support::Bench;

/// Starts of the binary side by side.
const WORKERS: usize = 4;

/// More than this nobody reads.
const LONGEST_MESSAGE: usize = 2000;

const HEADER: &str = "order_id,item_id,customer_id,order_ts,quantity,unit_price\n";

const GOOD: &str = "\
order_id,item_id,customer_id,order_ts,quantity,unit_price
1,bread,ann,2024-12-01 10:00:00,2,1.5
1,milk,ann,2024-12-01 10:00:00,1,1.25
2,bread,bob,2024-12-05,1,1.5
2,milk,bob,2024-12-05,1,1.25
";

/// An input, what is asked of it, and the answer.
struct Case {
    name: &'static str,
    /// Writes the input and tells its location.
    input: fn(&Bench) -> String,
    /// Arguments beside input, output, run date and `--select rfm`, or in their place; `BENCH` is the case's folder.
    more: &'static [&'static str],
    code: i32,
    /// What the answer contains; what begins with `!` it does not contain.
    says: &'static [&'static str],
}

const fn case(
    name: &'static str,
    code: i32,
    input: fn(&Bench) -> String,
    more: &'static [&'static str],
    says: &'static [&'static str],
) -> Case {
    Case { name, input, more, code, says }
}

/// What repeating cannot help.
const fn refused(
    name: &'static str,
    input: fn(&Bench) -> String,
    more: &'static [&'static str],
    says: &'static [&'static str],
) -> Case {
    case(name, 2, input, more, says)
}

const fn works(name: &'static str, input: fn(&Bench) -> String, more: &'static [&'static str]) -> Case {
    case(name, 0, input, more, &[])
}

/// A setting that is refused.
const fn setting(assignment: &'static [&'static str], says: &'static [&'static str]) -> Case {
    case(assignment[1], 2, good, assignment, says)
}

fn regulars(arguments: &[String]) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regulars"));
    command
        .env_remove("REGULARS_LOG")
        .env_remove("REGULARS_PSEUDONYM_KEY")
        .env("REGULARS_RETRY_TIMEOUT", "1s");
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the job, with arguments beside the usual ones or in place of them.
fn run(input: &str, output: &str, more: &[String]) -> Output {
    let usual = [("--input", input), ("--output", output), ("--run-date", "2024-12-31"), ("--select", "rfm")];
    let mut arguments = vec!["run".to_owned()];
    for (name, value) in usual {
        if !more.iter().any(|argument| argument == name) {
            arguments.extend([name.to_owned(), value.to_owned()]);
        }
    }
    arguments.extend_from_slice(more);
    regulars(&arguments)
}

/// What is wrong with the answer to an input, if anything is.
fn complaint(ran: &Output, code: i32, says: &[String]) -> Option<String> {
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    let mut wrong = Vec::new();
    if ran.status.code() != Some(code) {
        wrong.push(format!("exit code {:?}, not {code}", ran.status.code()));
    }
    for said in says {
        match said.strip_prefix('!') {
            Some(never) if err.contains(never) => wrong.push(format!("says {never:?}")),
            None if !err.contains(said.as_str()) => wrong.push(format!("does not say {said:?}")),
            _ => {}
        }
    }
    if err.contains("panicked") || err.contains("overflowed its stack") {
        wrong.push("broke off".to_owned());
    }
    if matches!(code, 1 | 2) {
        if !err.starts_with("error: ") || err.trim_end().lines().count() != 1 {
            wrong.push("is not one line".to_owned());
        }
        if err.len() > LONGEST_MESSAGE {
            wrong.push(format!("is {} bytes long", err.len()));
        }
    }
    if code != 0 && !out.is_empty() {
        wrong.push("prints a result".to_owned());
    }
    let shown: String = err.chars().take(600).collect();
    (!wrong.is_empty()).then(|| format!("{}: {shown}", wrong.join("; ")))
}

impl Case {
    fn complaint(&self) -> Option<String> {
        let bench = Bench::new();
        let input = (self.input)(&bench);
        let folder = bench.text("").trim_end_matches('/').to_owned();
        let written = |texts: &[&str]| texts.iter().map(|text| text.replace("BENCH", &folder)).collect();
        let more: Vec<String> = written(self.more);
        let says: Vec<String> = written(self.says);
        let ran = run(&input, &bench.text("out"), &more);
        let staged = if self.code == 0 { Vec::new() } else { bench.files("out").into_keys().collect() };
        let left = (!staged.is_empty()).then(|| format!("left {}", staged.join(", ")));
        let complaints: Vec<String> = complaint(&ran, self.code, &says).into_iter().chain(left).collect();
        (!complaints.is_empty()).then(|| format!("{}: {}", self.name, complaints.join("; ")))
    }
}

/// Calls a function for each of some things, side by side, and fails with all that it complains of.
fn none_complain<T: Sync>(things: &[T], complaint: impl Fn(&T) -> Option<String> + Sync) {
    let next = AtomicUsize::new(0);
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
                    complaints.lock().unwrap().extend(complaint(thing));
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(
        complaints.is_empty(),
        "{} of {} are answered otherwise:\n\n{}",
        complaints.len(),
        things.len(),
        complaints.join("\n\n")
    );
}

fn all_hold(cases: &[Case]) {
    none_complain(cases, Case::complaint);
}

fn good(bench: &Bench) -> String {
    bench.write("in.csv", GOOD)
}

fn csv(bench: &Bench, lines: &str) -> String {
    bench.write("in.csv", &format!("{GOOD}{lines}"))
}

fn bytes(bench: &Bench, name: &str, bytes: &[u8]) -> String {
    let place = bench.write(name, "");
    std::fs::write(&place, bytes).unwrap();
    place
}

type Columns = Vec<(&'static str, ArrayRef)>;

/// Microseconds from 1970 to a day in 2024 (the 60th after the 19,724th is the 1st of March).
fn day(number: i64) -> i64 {
    (19_724 + number) * 86_400_000_000
}

fn strings(values: [&str; 3]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Three lines, of two orders and two customers.
fn lines() -> Columns {
    vec![
        ("order_id", strings(["1", "1", "2"])),
        ("item_id", strings(["bread", "milk", "bread"])),
        ("customer_id", strings(["ann", "ann", "bob"])),
        ("order_ts", Arc::new(TimestampMicrosecondArray::from_iter_values([day(0), day(0), day(60)]))),
        ("quantity", Arc::new(Int32Array::from_iter_values([1, 2, 1]))),
        ("unit_price", Arc::new(Float64Array::from_iter_values([1.5, 2.5, 3.5]))),
    ]
}

/// The lines with a column of other values, in place of that of its name or behind all.
fn with(name: &'static str, values: impl Array + 'static) -> Columns {
    let mut columns = lines();
    let values: ArrayRef = Arc::new(values);
    match columns.iter_mut().find(|(column, _)| *column == name) {
        Some((_, replaced)) => *replaced = values,
        None => columns.push((name, values)),
    }
    columns
}

fn without(name: &str) -> Columns {
    lines().into_iter().filter(|(column, _)| *column != name).collect()
}

fn parquet(bench: &Bench, name: &str, columns: Columns) -> String {
    let place = bench.write(name, "");
    let columns = columns.into_iter().map(|(name, values)| (name, values, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer =
        ArrowWriter::try_new(File::create(&place).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    place
}

/// A file of the lines with a column of other values.
fn column(bench: &Bench, name: &'static str, values: impl Array + 'static) -> String {
    parquet(bench, "in.parquet", with(name, values))
}

/// A folder of two files.
fn two(bench: &Bench, first: Columns, second: Columns) -> String {
    parquet(bench, "in/a.parquet", first);
    parquet(bench, "in/b.parquet", second);
    bench.text("in")
}

/// A sound file of many lines, changed: its bytes, and where the footer begins.
fn damaged(bench: &Bench, name: &str, change: fn(&mut Vec<u8>, usize)) -> String {
    let count = 1000;
    let numbers = || (0..count).map(|line: u32| line.wrapping_mul(2_654_435_761).to_string());
    let sound = parquet(
        bench,
        name,
        vec![
            ("order_id", Arc::new(StringArray::from_iter_values(numbers()))),
            ("customer_id", Arc::new(StringArray::from_iter_values(numbers()))),
            ("order_ts", Arc::new(TimestampMicrosecondArray::from_value(day(0), count as usize))),
            ("unit_price", Arc::new(Float64Array::from_value(1.5, count as usize))),
        ],
    );
    let mut bytes = std::fs::read(&sound).unwrap();
    let end = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
    change(&mut bytes, end - length as usize);
    std::fs::write(&sound, bytes).unwrap();
    sound
}

fn cut_the_footer(bytes: &mut Vec<u8>, _footer: usize) {
    bytes.truncate(bytes.len() - 20);
}

fn flip(bytes: &mut [u8]) {
    for byte in bytes {
        *byte ^= 0x55;
    }
}

/// A compressed file of one block, stored as it is, whose end and checksum are the caller's.
fn gzip(text: &str, behind: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    bytes.extend(length.to_le_bytes());
    bytes.extend((!length).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(behind);
    bytes
}

/// Times as Spark once wrote them, in 96 bits: the last day of the year 9999.
fn times_in_96_bits(bench: &Bench) -> String {
    let place = bench.write("in.parquet", "");
    let schema = "message lines {
        required binary order_id (UTF8); required binary customer_id (UTF8); required int96 order_ts; required double amount;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(&place).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for id in ["1", "ann"] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[ByteArray::from(id)], None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    let time = Int96::from(vec![0, 0, 5_373_484]);
    column.typed::<Int96Type>().write_batch(&[time], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&[1.0], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    place
}

fn nowhere(bench: &Bench) -> String {
    bench.text("nowhere.parquet")
}
