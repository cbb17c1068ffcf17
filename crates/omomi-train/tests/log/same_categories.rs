//! One value is one category in every format: unsigned ids, booleans, dates and decimals give the same feature keys,
//! which are those that a server computes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float64Array, Int64Array, ListArray,
    StringArray, UInt64Array,
};
use arrow_buffer::{OffsetBuffer, i256};
use arrow_schema::{DataType, Field};
use omomi::contract::{Contract, FieldKind};
use omomi::feature;
use omomi_train::log::{LogError, LogReader, ReadOptions};

use crate::rows::{name, write_parquet_with};

/// 2026-01-31 in days since 1970-01-01.
const DAY: i32 = 20_484;

/// A contract with the field `x`, of ids or of texts.
fn contract(kind: &str, many: bool) -> Contract {
    let json = format!(
        r#"{{"name":"n","label":"clicked","field":[
        {{"name":"x","side":"context","type":"{kind}","many":{many},"meaning":"m"}}]}}"#
    );
    Contract::from_json(json.as_bytes()).unwrap()
}

/// Reads the feature keys of `x`, of all rows.
fn keys(contract: &Contract, path: &Path) -> Result<Vec<u64>, LogError> {
    let mut reader = LogReader::open(contract, &[name(path)], ReadOptions::default())?;
    let mut keys = Vec::new();
    while let Some(batch) = reader.next_batch()? {
        let values = batch.columns[0].values.iter();
        keys.extend(values.map(|&value| feature::feature_key(contract.fields()[0].seed(), value)));
    }
    Ok(keys)
}

/// The keys that a server computes for these ids or texts.
fn served(contract: &Contract, ids: &[i64], texts: &[&str]) -> Vec<u64> {
    let field = &contract.fields()[0];
    let values: Vec<u64> = match field.kind {
        FieldKind::Id => ids.iter().map(|&id| feature::id_value(id)).collect(),
        _ => texts.iter().map(|text| feature::text_value(text.as_bytes())).collect(),
    };
    values.iter().map(|&value| feature::feature_key(field.seed(), value)).collect()
}

/// Values, as each format writes them.
struct Written<'a> {
    csv: &'a [&'a str],
    json: &'a [&'a str],
    parquet: &'a [ArrayRef],
}

impl Written<'_> {
    /// Asserts that every format gives the keys of a server, in a plain field and in lists.
    fn assert_gives(&self, kind: &str, ids: &[i64], texts: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        for many in [false, true] {
            let contract = contract(kind, many);
            let expected = served(&contract, ids, texts);
            for path in self.files(folder.path(), many) {
                let found = keys(&contract, &path);
                assert_eq!(found.unwrap(), expected, "{kind}, many: {many}, {}", path.display());
            }
        }
    }

    fn files(&self, folder: &Path, many: bool) -> Vec<PathBuf> {
        let (mut files, write) = (Vec::new(), |name: String, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        });
        if !self.csv.is_empty() {
            let rows: String = self.csv.iter().map(|cell| format!("0,{cell}\n")).collect();
            files.push(write(format!("log-{many}.csv"), format!("clicked,x\n{rows}")));
            if many {
                files.push(write("joined.csv".to_owned(), format!("clicked,x\n0,{}\n", self.csv.join("|"))));
            }
        }
        if !self.json.is_empty() {
            let value = |value: &&str| if many { format!("[{value}]") } else { (*value).to_owned() };
            let rows = self.json.iter().map(|cell| format!("{{\"clicked\":0,\"x\":{}}}\n", value(cell)));
            files.push(write(format!("log-{many}.jsonl"), rows.collect()));
            if many {
                // The cell of a CSV may be the same list.
                let list = self.json.join(",").replace('"', "\"\"");
                files.push(write("list.csv".to_owned(), format!("clicked,x\n0,\"[{list}]\"\n")));
            }
        }
        for (index, array) in self.parquet.iter().enumerate() {
            for has_dictionary in [false, true] {
                let path = folder.join(format!("{index}-{has_dictionary}-{many}.parquet"));
                let columns: [(&'static str, ArrayRef); 2] = [
                    ("clicked", Arc::new(Int64Array::from(vec![0; array.len()]))),
                    ("x", if many { lists(array) } else { Arc::clone(array) }),
                ];
                files.push(write_parquet_with(path, &columns, parquet::basic::Compression::SNAPPY, has_dictionary));
            }
        }
        files
    }
}

/// A list of one value for each row.
fn lists(array: &ArrayRef) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(array.data_type().clone(), true));
    Arc::new(ListArray::new(item, OffsetBuffer::from_repeated_length(1, array.len()), Arc::clone(array), None))
}

fn texts(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

#[test]
fn unsigned_ids_are_the_signed_ones_with_the_same_bits() {
    let words = ["0", "9223372036854775807", "9223372036854775808", "18446744073709551615"];
    let numbers = [0, i64::MAX.cast_unsigned(), 1 << 63, u64::MAX];
    let quoted = words.map(|word| format!("\"{word}\""));
    let decimals = Decimal128Array::from_iter_values(numbers.map(i128::from)).with_precision_and_scale(20, 0).unwrap();
    let fractions = Decimal256Array::from_iter_values(numbers.map(|number| i256::from_i128(i128::from(number) * 100)));
    let parquet: [ArrayRef; 4] = [
        Arc::new(UInt64Array::from(numbers.to_vec())),
        texts(&words),
        Arc::new(decimals),
        Arc::new(fractions.with_precision_and_scale(40, 2).unwrap()),
    ];
    let ids = numbers.map(u64::cast_signed);
    assert_eq!(ids, [0, i64::MAX, i64::MIN, -1]);
    Written { csv: &words, json: &words, parquet: &parquet }.assert_gives("id", &ids, &[]);
    Written { csv: &[], json: &quoted.each_ref().map(String::as_str), parquet: &[] }.assert_gives("id", &ids, &[]);
    // As texts they are their digits.
    Written { csv: &words, json: &words, parquet: &parquet[..3] }.assert_gives("text", &[], &words);
}

#[test]
fn ids_above_64_bits_and_doubles_that_may_be_rounded_are_bad_rows() {
    let folder = tempfile::tempdir().unwrap();
    let written = |csv, json, array: ArrayRef| {
        Written { csv: &[csv], json: &[json], parquet: &[array] }.files(folder.path(), false)
    };
    let above = Decimal128Array::from_iter_values([1_i128 << 64]).with_precision_and_scale(20, 0).unwrap();
    let mut files = written("18446744073709551616", "18446744073709551616", Arc::new(above));
    for path in &files {
        let error = keys(&contract("id", false), path).unwrap_err().to_string();
        assert!(error.contains("column `x`: expected an integer from -2^63 to 2^64 - 1, found"), "{error}");
    }
    files = written("-9223372036854775809", "1e19", Arc::new(Float64Array::from(vec![1e19])));
    for path in &files {
        let error = keys(&contract("id", false), path).unwrap_err().to_string();
        assert!(error.contains("column `x`: expected an integer from -2^63 to 2^64 - 1, found"), "{error}");
    }
}

#[test]
fn booleans_are_the_ids_0_and_1_and_the_texts_true_and_false() {
    let words = ["true", "false", "true"];
    let quoted = ["\"true\"", "\"false\"", "\"True\""];
    let parquet: [ArrayRef; 2] = [Arc::new(BooleanArray::from(vec![true, false, true])), texts(&words)];
    Written { csv: &words, json: &words, parquet: &parquet }.assert_gives("text", &[], &words);
    Written { csv: &words, json: &words, parquet: &parquet }.assert_gives("id", &[1, 0, 1], &[]);
    Written { csv: &["True", "FALSE", "t"], json: &quoted, parquet: &[] }.assert_gives("id", &[1, 0, 1], &[]);
}

#[test]
fn dates_are_their_days_as_ids_and_written_out_as_texts() {
    let words = ["2026-01-31", "1969-12-31", "1970-01-01"];
    let quoted = words.map(|word| format!("\"{word}\""));
    let quoted = quoted.each_ref().map(String::as_str);
    let days = Arc::new(Date32Array::from(vec![DAY, -1, 0])) as ArrayRef;
    let numbers = ["20484", "-1", "0"];
    Written { csv: &words, json: &quoted, parquet: &[Arc::clone(&days), texts(&words)] }.assert_gives(
        "text",
        &[],
        &words,
    );
    Written { csv: &numbers, json: &numbers, parquet: &[days] }.assert_gives("id", &[DAY.into(), -1, 0], &[]);
    // A date in words is no id: in a row whose cells are shifted, it would become the id of something else.
    let folder = tempfile::tempdir().unwrap();
    for path in (Written { csv: &words, json: &quoted, parquet: &[texts(&words)] }).files(folder.path(), false) {
        let error = keys(&contract("id", false), &path).unwrap_err().to_string();
        assert!(error.contains("expected an integer from -2^63 to 2^64 - 1, found") && error.contains("2026-01-31"));
    }
}

#[test]
fn a_day_of_no_calendar_is_a_bad_row_of_a_text_field() {
    let folder = tempfile::tempdir().unwrap();
    let days = Arc::new(Date32Array::from(vec![Some(0), Some(i32::MAX), None])) as ArrayRef;
    for many in [false, true] {
        let written = Written { csv: &[], json: &[], parquet: &[Arc::clone(&days)] };
        for path in written.files(folder.path(), many) {
            let error = keys(&contract("text", many), &path).unwrap_err().to_string();
            let part = "row 2, column `x`: expected a date that a calendar has, found `2147483647`";
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn decimals_are_texts_with_the_digits_of_their_column() {
    let words = ["1.50", "-0.05", "42.00"];
    let decimals = Decimal128Array::from_iter_values([150, -5, 4200]).with_precision_and_scale(9, 2).unwrap();
    let quoted = ["\"1.50\"", "\"-0.05\"", "\"42.00\""];
    let parquet: [ArrayRef; 2] = [Arc::new(decimals), texts(&words)];
    Written { csv: &words, json: &quoted, parquet: &parquet }.assert_gives("text", &[], &words);
    // JSON does not keep the digits of a fraction.
    let folder = tempfile::tempdir().unwrap();
    for path in (Written { csv: &[], json: &["1.50"], parquet: &[] }).files(folder.path(), false) {
        let error = keys(&contract("text", false), &path).unwrap_err().to_string();
        assert!(error.contains("column `x`: expected text, found 1.5"), "{error}");
    }
}

/// A column of a type without one notation is refused as a whole.
#[test]
fn doubles_are_no_texts_and_times_are_neither_texts_nor_ids() {
    let folder = tempfile::tempdir().unwrap();
    let doubles = Arc::new(Float64Array::from(vec![1.5])) as ArrayRef;
    let millisecond = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, None);
    let times = arrow_cast::cast(&Int64Array::from(vec![1]), &millisecond).unwrap();
    let dates = arrow_cast::cast(&Date32Array::from(vec![1]), &DataType::Date64).unwrap();
    for (kind, array) in [("text", &doubles), ("text", &times), ("id", &times), ("text", &dates), ("id", &dates)] {
        let written = Written { csv: &[], json: &[], parquet: std::slice::from_ref(array) };
        for path in written.files(folder.path(), false) {
            let error = keys(&contract(kind, false), &path).unwrap_err();
            assert!(matches!(error, LogError::WrongType { .. }), "{error}");
        }
    }
}
