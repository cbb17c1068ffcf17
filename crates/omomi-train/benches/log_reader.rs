//! Decodes a log of 20 fields into batches, in each format: `taskset -c 1 cargo bench --bench log_reader [-- FILTER]`.

#[path = "../../../benches/support"]
#[allow(dead_code, reason = "each bench uses its part")]
mod support {
    pub mod contest;
    pub mod core_time;
    pub mod ratios;
}

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int8Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use omomi::contract::Contract;
use omomi_train::log::{LogReader, ReadOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rand::{RngExt, SeedableRng};

use support::contest::{Bench, Contest};

const ID_FIELD_COUNT: usize = 8;
const TEXT_FIELD_COUNT: usize = 8;
/// Together with one `many` field, these are 20 fields.
const NUMBER_FIELD_COUNT: usize = 3;
const FORMATS: [&str; 6] = ["log.parquet", "log.csv", "log.csv.gz", "log.csv.zst", "log.jsonl", "log.jsonl.zst"];

fn main() {
    let mut bench = Bench::from_args("log_reader");
    let row_count = if bench.is_smoke() { 1_000 } else { 100_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let contract = contract();
    write_log(folder.path(), row_count);
    let sums: Vec<u64> = FORMATS.iter().map(|name| decode(&contract, &folder.path().join(name))).collect();
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]), "every format gives the same values: {sums:?}");

    let mut contest = Contest::new("formats", "row", row_count as u64);
    contest.rounds(11);
    for name in FORMATS {
        let path = folder.path().join(name);
        let contract = &contract;
        contest.enter(name, move || decode(contract, &path));
    }
    bench.run(contest);
    for name in FORMATS {
        let len = fs::metadata(folder.path().join(name)).expect("a length").len();
        bench.note(&format!("`{name}`: {:.1} bytes per row", len as f64 / row_count as f64));
    }
    bench.finish();
}

/// Decodes all rows and returns a checksum of all values, so that the formats can be compared.
fn decode(contract: &Contract, path: &Path) -> u64 {
    let path = path.to_str().expect("UTF-8");
    let mut reader = LogReader::open(contract, &[path], ReadOptions::default()).expect("a log");
    let mut sum = 0_u64;
    while let Some(batch) = reader.next_batch().expect("good rows") {
        for column in &batch.columns {
            sum = column.values.iter().fold(sum, |sum, value| sum.wrapping_mul(31).wrapping_add(*value));
            sum = column.offsets.iter().fold(sum, |sum, offset| sum.wrapping_add(u64::from(*offset)));
        }
    }
    sum
}

fn contract() -> Contract {
    let mut fields = Vec::new();
    let mut add = |name: String, rest: &str| {
        fields.push(format!(r#"{{"name":"{name}","side":"context","meaning":"m",{rest}}}"#));
    };
    (0..ID_FIELD_COUNT).for_each(|index| add(format!("id_{index}"), r#""type":"id""#));
    (0..TEXT_FIELD_COUNT).for_each(|index| add(format!("text_{index}"), r#""type":"text""#));
    (0..NUMBER_FIELD_COUNT).for_each(|index| {
        let rest = r#""type":"number","unit":"JPY","range":[0,1000],"buckets":[1,3,10,30,100,300]"#;
        add(format!("number_{index}"), rest);
    });
    add("interest".to_owned(), r#""type":"text","many":true"#);
    let json = format!(r#"{{"name":"bench","label":"clicked","field":[{}]}}"#, fields.join(","));
    Contract::from_json(json.as_bytes()).expect("a contract")
}

/// Writes one set of rows in every format: skewed ids, short texts from small and large vocabularies, a tenth missing.
fn write_log(folder: &Path, row_count: usize) {
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(1);
    let mut clicked = Int8Builder::new();
    let mut ids: Vec<Int64Builder> = (0..ID_FIELD_COUNT).map(|_| Int64Builder::new()).collect();
    let mut texts: Vec<StringBuilder> = (0..TEXT_FIELD_COUNT).map(|_| StringBuilder::new()).collect();
    let mut numbers: Vec<Float64Builder> = (0..NUMBER_FIELD_COUNT).map(|_| Float64Builder::new()).collect();
    let mut interest = ListBuilder::new(StringBuilder::new());
    let (mut csv, mut json) = ("clicked".to_owned(), String::new());
    (0..ID_FIELD_COUNT).for_each(|index| write!(csv, ",id_{index}").expect("memory"));
    (0..TEXT_FIELD_COUNT).for_each(|index| write!(csv, ",text_{index}").expect("memory"));
    (0..NUMBER_FIELD_COUNT).for_each(|index| write!(csv, ",number_{index}").expect("memory"));
    csv.push_str(",interest\n");
    for _ in 0..row_count {
        let label = i8::from(random.random_bool(0.1));
        clicked.append_value(label);
        write!(csv, "{label}").expect("memory");
        write!(json, "{{\"clicked\":{label}").expect("memory");
        for (index, builder) in ids.iter_mut().enumerate() {
            let max = 10_f64.powi(i32::try_from(index).expect("few"));
            #[expect(clippy::cast_possible_truncation, reason = "an id is whole")]
            let id = random.random_bool(0.9).then(|| (max * random.random::<f64>().powi(3)) as i64);
            builder.append_option(id);
            csv.push(',');
            if let Some(id) = id {
                write!(csv, "{id}").expect("memory");
                write!(json, ",\"id_{index}\":{id}").expect("memory");
            }
        }
        for (index, builder) in texts.iter_mut().enumerate() {
            let text =
                random.random_bool(0.9).then(|| format!("text-{}", random.random_range(0..4_u32 << (2 * index))));
            builder.append_option(text.as_deref());
            csv.push(',');
            if let Some(text) = text {
                csv.push_str(&text);
                write!(json, ",\"text_{index}\":\"{text}\"").expect("memory");
            }
        }
        for (index, builder) in numbers.iter_mut().enumerate() {
            let number = random.random_bool(0.9).then(|| (random.random::<f64>() * 100_000.0).round() / 100.0);
            builder.append_option(number);
            csv.push(',');
            if let Some(number) = number {
                write!(csv, "{number}").expect("memory");
                write!(json, ",\"number_{index}\":{number}").expect("memory");
            }
        }
        let words: Vec<String> =
            (0..random.random_range(0..6)).map(|_| format!("interest-{}", random.random_range(0..66))).collect();
        interest.append_value(words.iter().map(Some));
        writeln!(csv, ",{}", words.join("|")).expect("memory");
        writeln!(json, ",\"interest\":{words:?}}}").expect("memory");
    }
    let mut columns: Vec<(String, ArrayRef)> = vec![("clicked".to_owned(), Arc::new(clicked.finish()))];
    for (index, builder) in ids.iter_mut().enumerate() {
        columns.push((format!("id_{index}"), Arc::new(builder.finish())));
    }
    for (index, builder) in texts.iter_mut().enumerate() {
        columns.push((format!("text_{index}"), Arc::new(builder.finish())));
    }
    for (index, builder) in numbers.iter_mut().enumerate() {
        columns.push((format!("number_{index}"), Arc::new(builder.finish())));
    }
    columns.push(("interest".to_owned(), Arc::new(interest.finish())));
    write_parquet(&folder.join("log.parquet"), columns);
    for (name, text) in [("log.csv", csv), ("log.jsonl", json)] {
        fs::write(folder.join(name), &text).expect("room for the log");
        let zstd = zstd::encode_all(text.as_bytes(), 1).expect("memory");
        fs::write(folder.join(format!("{name}.zst")), zstd).expect("room for the log");
        if name == "log.csv" {
            let file = File::create(folder.join("log.csv.gz")).expect("room for the log");
            let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).expect("room for the log");
            encoder.finish().expect("room for the log");
        }
    }
}

fn write_parquet(path: &Path, columns: Vec<(String, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(zstd).build();
    let file = File::create(path).expect("room for the log");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a schema");
    writer.write(&batch).expect("room for the log");
    writer.close().expect("room for the log");
}
