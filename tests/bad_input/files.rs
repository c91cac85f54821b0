//! Files that are damaged, missing, or not what their names say.

use super::*;

const CORRUPT: &str = "a Parquet file cannot be read; it may be truncated, corrupt or no Parquet";
const UNREADABLE: &[&str] = &[CORRUPT, "BENCH/in.parquet"];

const DAMAGED_PARQUET: &[Case] = &[
    refused("a footer cut off", |bench| damaged(bench, "in.parquet", cut_the_footer), &[], UNREADABLE),
    refused(
        "half a file",
        |bench| damaged(bench, "in.parquet", |bytes, _| bytes.truncate(bytes.len() / 2)),
        &[],
        UNREADABLE,
    ),
    refused(
        "a byte of the footer flipped",
        |bench| damaged(bench, "in.parquet", |bytes, footer| bytes[footer + 5] ^= 0xff),
        &[],
        UNREADABLE,
    ),
    refused(
        "all bytes of the footer flipped",
        |bench| {
            damaged(bench, "in.parquet", |bytes, footer| {
                let end = bytes.len() - 8;
                flip(&mut bytes[footer..end]);
            })
        },
        &[],
        UNREADABLE,
    ),
    refused(
        "a footer that says to be longer than the file",
        |bench| {
            damaged(bench, "in.parquet", |bytes, _| {
                let end = bytes.len() - 8;
                bytes[end..end + 4].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
            })
        },
        &[],
        UNREADABLE,
    ),
    refused(
        "pages flipped",
        |bench| damaged(bench, "in.parquet", |bytes, footer| flip(&mut bytes[64..footer / 2])),
        &[],
        UNREADABLE,
    ),
    refused(
        "pages of zeros",
        |bench| damaged(bench, "in.parquet", |bytes, footer| bytes[4..footer / 2].fill(0)),
        &[],
        UNREADABLE,
    ),
    refused(
        "no magic at the end",
        |bench| {
            damaged(bench, "in.parquet", |bytes, _| {
                let end = bytes.len() - 4;
                bytes[end..].fill(0);
            })
        },
        &[],
        UNREADABLE,
    ),
    refused(
        "an encrypted footer",
        |bench| {
            damaged(bench, "in.parquet", |bytes, _| {
                let end = bytes.len() - 4;
                bytes[end..].copy_from_slice(b"PARE");
            })
        },
        &[],
        &["encrypted", "BENCH/in.parquet"],
    ),
    refused("CSV that is named Parquet", |bench| bench.write("in.parquet", GOOD), &[], UNREADABLE),
    refused("three bytes that are named Parquet", |bench| bench.write("in.parquet", "abc"), &[], UNREADABLE),
    refused(
        "CSV that is said to be Parquet",
        good,
        &["--set", "input.format=parquet"],
        &[CORRUPT, "BENCH/in.csv"],
    ),
    refused(
        "one file of two without its footer",
        |bench| {
            parquet(bench, "in/a.parquet", lines());
            damaged(bench, "in/b.parquet", cut_the_footer);
            bench.text("in")
        },
        &[],
        &[CORRUPT, "in/b.parquet"],
    ),
    refused(
        "one file of two with flipped pages",
        |bench| {
            parquet(bench, "in/a.parquet", lines());
            damaged(bench, "in/b.parquet", |bytes, footer| flip(&mut bytes[64..footer / 2]));
            bench.text("in")
        },
        &[],
        &[CORRUPT, "in/b.parquet"],
    ),
    refused(
        "one file of two empty",
        |bench| {
            parquet(bench, "in/a.parquet", lines());
            bench.write("in/b.parquet", "");
            bench.text("in")
        },
        &[],
        &["a file is empty", "BENCH/in/b.parquet"],
    ),
    refused(
        "an empty Parquet file",
        |bench| bench.write("in.parquet", ""),
        &[],
        &["a file is empty", "BENCH/in.parquet"],
    ),
];

#[test]
fn a_parquet_file_that_is_damaged_is_named() {
    all_hold(DAMAGED_PARQUET);
}

const NO_FILES: &[&str] = &["there are no files there"];

const PLACES: &[Case] = &[
    refused("a file that is missing", nowhere, &[], &["there are no files there", "BENCH/nowhere.parquet"]),
    refused(
        "an empty folder",
        |bench| {
            std::fs::create_dir(bench.path("in")).unwrap();
            bench.text("in")
        },
        &[],
        &["there are no files there", "BENCH/in"],
    ),
    refused(
        "an empty folder is not an empty day",
        |bench| {
            std::fs::create_dir(bench.path("in")).unwrap();
            bench.text("in")
        },
        &["--skip-if-empty"],
        NO_FILES,
    ),
    refused(
        "a folder of hidden files",
        |bench| {
            bench.write("in/_lines.csv", GOOD);
            bench.write("in/.lines.csv", GOOD);
            bench.text("in")
        },
        &[],
        NO_FILES,
    ),
    refused(
        "a glob that matches nothing",
        nowhere,
        &["--input", "BENCH/*.csv"],
        &["there are no files there", "BENCH/*.csv"],
    ),
    refused("a glob that is none", nowhere, &["--input", "BENCH/[.csv"], &["not a glob", "[.csv"]),
    refused("three stars", nowhere, &["--input", "BENCH/***.csv"], &["not a glob", "***.csv"]),
    refused(
        "an unknown scheme",
        nowhere,
        &["--input", "ftp://host/lines"],
        &["the schemes are file, s3, gs", "ftp://host/lines"],
    ),
    refused("no bucket", nowhere, &["--input", "s3:///lines/"], &["not a location", "s3:///lines/"]),
    refused("no host", nowhere, &["--input", "http://"], &["not a URL", "http://"]),
    refused(
        "a relative path as a URL, which would be the whole disk",
        nowhere,
        &["--input", "file://lines.csv"],
        &["not a location", "file://lines.csv"],
    ),
    case(
        "a server that is not there, yet",
        1,
        nowhere,
        &["--input", "http://127.0.0.1:1/lines.parquet"],
        &["the object store failed", "http://127.0.0.1:1/lines.parquet"],
    ),
    refused("an empty name", nowhere, &["--input", ""], &["no input: give --input or input.location"]),
    refused(
        "nothing that could be read",
        nowhere,
        &["--input", "/dev/null", "--set", "input.format=csv"],
        &["a file is empty"],
    ),
    refused(
        "a link to nothing",
        |bench| {
            symlink(bench.path("nothing.csv"), bench.path("in.csv")).unwrap();
            bench.text("in.csv")
        },
        &[],
        &["there are no files there", "BENCH/in.csv"],
    ),
    refused(
        "a link to nothing in a folder",
        |bench| {
            std::fs::create_dir(bench.path("in")).unwrap();
            symlink(bench.path("nothing.csv"), bench.path("in/a.csv")).unwrap();
            bench.text("in")
        },
        &[],
        NO_FILES,
    ),
    refused(
        "a folder that holds itself",
        |bench| {
            bench.write("in/a.csv", GOOD);
            symlink(bench.path("in"), bench.path("in/loop")).unwrap();
            bench.text("in")
        },
        &[],
        &["loop", "BENCH/in"],
    ),
    works(
        "a link to a file",
        |bench| {
            symlink(good(bench), bench.path("link.csv")).unwrap();
            bench.text("link.csv")
        },
        &[],
    ),
    works(
        "a link to a folder",
        |bench| {
            bench.write("in/a.csv", GOOD);
            symlink(bench.path("in"), bench.path("link")).unwrap();
            bench.text("link")
        },
        &[],
    ),
    works(
        "a link to a folder in a folder",
        |bench| {
            bench.write("there/a.csv", GOOD);
            std::fs::create_dir(bench.path("in")).unwrap();
            symlink(bench.path("there"), bench.path("in/link")).unwrap();
            bench.text("in")
        },
        &[],
    ),
    refused(
        "CSV and Parquet",
        |bench| {
            bench.write("in/a.csv", GOOD);
            parquet(bench, "in/b.parquet", lines());
            bench.text("in")
        },
        &[],
        &["both .parquet and .csv", "input.format", "BENCH/in"],
    ),
    works(
        "CSV beside Parquet, when it is said which",
        |bench| {
            bench.write("in/a.csv", GOOD);
            parquet(bench, "in/b.parquet", lines());
            bench.text("in")
        },
        &["--set", "input.format=csv"],
    ),
    refused(
        "CSV, compressed and not",
        |bench| {
            bench.write("in/a.csv", GOOD);
            bench.write("in/b.csv.gz", GOOD);
            bench.text("in")
        },
        &[],
        &["some of the CSV files are compressed and some are not", "BENCH/in"],
    ),
    refused(
        "a format that the name does not tell",
        |bench| bench.write("in/lines.txt", GOOD),
        &[],
        &["no file there ends in .parquet or .csv", "input.format"],
    ),
];

#[test]
fn an_input_that_is_not_there_or_of_no_one_format_is_refused() {
    all_hold(PLACES);
}

const CSV: &[Case] = &[
    refused(
        "a short line",
        |bench| csv(bench, "3,bread,ann\n"),
        &[],
        &["BENCH/in.csv", "line 6", "expected 6 got 3"],
    ),
    refused(
        "a long line",
        |bench| csv(bench, "3,bread,ann,2024-12-01,1,1,more\n"),
        &[],
        &["BENCH/in.csv", "line 6", "expected 6 got 7"],
    ),
    refused(
        "a long first line",
        |bench| bench.write("in.csv", &format!("{HEADER}3,bread,ann,2024-12-01,1,1,more\n")),
        &[],
        &["BENCH/in.csv", "line 2"],
    ),
    refused(
        "a short line in the second file",
        |bench| {
            bench.write("in/a.csv", GOOD);
            bench.write("in/b.csv", &format!("{GOOD}3,bread\n"));
            bench.text("in")
        },
        &[],
        &["in/b.csv", "line 6", "expected 6 got 2"],
    ),
    refused(
        "a quote that does not end",
        |bench| csv(bench, "3,\"bread,ann,2024-12-01,1,1\n4,milk,ann,2024-12-01,1,1\n"),
        &[],
        &["BENCH/in.csv", "line 6"],
    ),
    refused(
        "a quote that does not end in the last column",
        |bench| csv(bench, "3,bread,ann,2024-12-01,1,\"1\n4,milk,ann,2024-12-01,1,1\n"),
        &[],
        &["1 lines have values that cannot be used (unit_price: 1 lines, such as '1"],
    ),
    refused(
        "a quote that does not end in the header",
        |bench| bench.write("in.csv", "\"order_id,item_id\n1,a\n"),
        &[],
        &["there is no column order_id", "input.columns.order_id"],
    ),
    refused("an empty file", |bench| bench.write("in.csv", ""), &[], &["a file is empty", "BENCH/in.csv"]),
    refused("line breaks alone", |bench| bench.write("in.csv", "\n\n\n"), &[], &["is empty", "BENCH/in.csv"]),
    refused(
        "a byte order mark alone",
        |bench| bench.write("in.csv", "\u{feff}"),
        &[],
        &["is empty", "BENCH/in.csv"],
    ),
    refused(
        "another encoding",
        |bench| bytes(bench, "in.csv", &[HEADER.as_bytes(), b"1,caf\xe9,ann,2024-12-01,1,1\n"].concat()),
        &[],
        &["UTF-8", "BENCH/in.csv", "line 2"],
    ),
    refused(
        "another encoding, late in the file",
        |bench| {
            let lines = "1,bread,ann,2024-12-01,1,1\n".repeat(20_000);
            bytes(
                bench,
                "in.csv",
                &[HEADER.as_bytes(), lines.as_bytes(), b"1,caf\xe9,ann,2024-12-01,1,1\n"].concat(),
            )
        },
        &[],
        &["UTF-8", "BENCH/in.csv", "line 20002"],
    ),
    refused(
        "UTF-16",
        |bench| {
            let utf16: Vec<u8> =
                format!("\u{feff}{GOOD}").encode_utf16().flat_map(u16::to_le_bytes).collect();
            bytes(bench, "in.csv", &utf16)
        },
        &[],
        &["UTF-8", "BENCH/in.csv"],
    ),
    refused(
        "another delimiter",
        |bench| bench.write("in.csv", &GOOD.replace(',', ";")),
        &[],
        &["there is no column order_id", "input.csv.delimiter"],
    ),
    refused(
        "no header",
        |bench| bench.write("in.csv", "1,bread,ann,2024-12-01,2,1.5\n"),
        &[],
        &["there is no column order_id", "there are: 1, bread, ann, 2024-12-01, 2, 1.5"],
    ),
    refused(
        "a header that is said to be none",
        good,
        &["--set", "input.csv.header=false"],
        &["there are: column_1, column_2"],
    ),
    refused(
        "a web page",
        |bench| bench.write("in.csv", "<!DOCTYPE html>\n<title>404</title>\n"),
        &[],
        &["there is no column order_id", "there are: <!DOCTYPE html>"],
    ),
    refused(
        "a column of ours twice",
        |bench| {
            bench.write("in.csv", "order_id,order_id,customer_id,order_ts,amount\n1,2,ann,2024-12-01,1\n")
        },
        &[],
        &["two columns have the same name", "order_id", "BENCH/in.csv"],
    ),
    refused(
        "a column twice that is not read",
        |bench| {
            bench.write("in.csv", "order_id,note,note,customer_id,order_ts,amount\n1,a,b,ann,2024-12-01,1\n")
        },
        &[],
        &["two columns have the same name", "note", "BENCH/in.csv"],
    ),
    refused(
        "Parquet that is named CSV",
        |bench| {
            let parquet = damaged(bench, "in.parquet", |_, _| {});
            std::fs::rename(parquet, bench.path("in.csv")).unwrap();
            bench.text("in.csv")
        },
        &[],
        &["UTF-8", "BENCH/in.csv"],
    ),
    refused(
        "CSV that is named compressed",
        |bench| bench.write("in.csv.gz", GOOD),
        &[],
        &["gzip", "BENCH/in.csv.gz"],
    ),
    refused(
        "a compressed file that breaks off",
        |bench| bytes(bench, "in.csv.gz", &gzip(GOOD, b"")),
        &[],
        &["BENCH/in.csv.gz"],
    ),
    refused(
        "a compressed file with another checksum",
        |bench| bytes(bench, "in.csv.gz", &gzip(GOOD, &[0; 8])),
        &[],
        &["checksum", "BENCH/in.csv.gz"],
    ),
    refused(
        "a compressed file that is not named so",
        |bench| bytes(bench, "in.csv", &gzip(GOOD, &[0; 8])),
        &[],
        &["UTF-8", "BENCH/in.csv"],
    ),
    case(
        "a header alone",
        1,
        |bench| bench.write("in.csv", HEADER),
        &[],
        &["no line is left up to 2024-12-31, of 0 read"],
    ),
    case(
        "a header alone, which may be",
        99,
        |bench| bench.write("in.csv", HEADER),
        &["--skip-if-empty"],
        &["of 0 read"],
    ),
    works(
        "a mark, other line breaks and blank lines",
        |bench| bench.write("in.csv", &format!("\u{feff}{GOOD}\n\n").replace('\n', "\r\n")),
        &[],
    ),
];

#[test]
fn csv_that_is_not_what_its_header_says_is_refused_by_file_and_line() {
    all_hold(CSV);
}
