use std::fs;

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use crate::learn::{Settings, WeightRule};
use crate::log::LogDialect;
use omomi::contract::Contract;
use omomi::store::Digest;

use super::*;

fn metadata() -> Metadata {
    let json = r#"{"name":"tiny","label":"clicked","field":[
        {"name":"a","side":"context","type":"text","meaning":"m"},
        {"name":"b","side":"candidate","type":"id","meaning":"m"}],"cross":[{"fields":["a","b"]}]}"#;
    Metadata {
        contract: Contract::from_json(json.as_bytes()).unwrap(),
        settings: Settings { alpha: 0.1, beta: 1.0, l1: 0.5, l2: 1e-3 },
        weight_rule: WeightRule { l1: 2.5, l2: 1e-3, min_magnitude: 1e-4, scale: 1.01, shift: -0.125 },
        pruned: true,
        without_evidence: true,
        negative_rate: 0.1,
        shards: 8,
        window_us: Some((-1, 1_574_553_617_004_101)),
        rows: 1_000_000_007,
        effective_rows: 1_000_000_007,
        importance_column: Some("stands_for".to_owned()),
        log_dialect: Some(LogDialect {
            many_separator: '|',
            csv_delimiter: Some('\t'),
            csv_quote: None,
            csv_escape: Some('\\'),
        }),
        clicks: 12,
        passes: 3,
        start: Some(Start { digest: Digest::of(b"start"), decay: 0.97, shares: 1 }),
        lineage: Vec::new(),
        tool_version: "1.2.3".to_owned(),
        provenance: serde_json::from_str(r#"{"metrics":{"log_loss":0.5},"name":"猫"}"#).unwrap(),
    }
}

/// All key-value metadata of the state.
fn pairs() -> Vec<parquet::file::metadata::KeyValue> {
    let mut pairs = metadata().to_pairs();
    pairs.push(Metadata::provenance_pair(&metadata().provenance).unwrap());
    pairs
}

const BIAS: StateRow<'static> = StateRow {
    field: BIAS_FIELD,
    category: "",
    key: 0,
    z: 4.0,
    d: 20.0,
    impressions: 9,
    clicks: 3,
    last_seen_us: None,
    weight: -0.2,
};

const ROW: StateRow<'static> = StateRow {
    field: "a*b",
    category: "猫*-3",
    key: u64::MAX,
    z: -1e-300,
    d: f64::MIN_POSITIVE,
    impressions: MAX_COUNT,
    clicks: MAX_COUNT,
    last_seen_us: Some(-1),
    weight: 0.0,
};

fn write(path: &Path, rows: &[StateRow<'_>]) -> Result<u64, StateError> {
    let mut writer = StateWriter::create(path, &metadata(), false)?;
    rows.iter().try_for_each(|row| writer.push(row))?;
    writer.finish()
}

/// Returns the message of the error and its cause, without the path of the file.
fn message(error: &StateError, path: &Path) -> String {
    let source = std::error::Error::source(error).map_or(String::new(), |source| format!(": {source}"));
    format!("{error}{source}").replace(&path.display().to_string(), "FILE")
}

#[test]
fn reading_returns_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    let categories: Vec<String> = (0..40_000).map(|category| category.to_string()).collect();
    let mut rows = vec![BIAS];
    for (key, category) in (1..).zip(&categories) {
        rows.push(StateRow { field: "b", category, key, clicks: 1, impressions: 2, z: 0.1, d: 7.0, ..ROW });
    }
    rows.push(ROW);
    let len_bytes = write(&path, &rows).unwrap();
    assert_eq!(len_bytes, fs::metadata(&path).unwrap().len());

    let mut reader = StateReader::open(&path).unwrap();
    assert_eq!(reader.metadata(), &metadata());
    assert_eq!(reader.feature_count(), 40_001);
    let mut read = 0;
    while let Some(batch) = reader.next_batch().unwrap() {
        for row in batch.rows() {
            assert_eq!(row, rows[read]);
            read += 1;
        }
    }
    assert_eq!(read, rows.len());
}

#[test]
fn how_logs_are_read_is_kept_and_a_contract_without_it_adds_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    let plain = metadata();
    assert!(plain.to_pairs().iter().all(|pair| pair.key != "omomi.contract_reading"));
    let field = &plain.contract.fields()[0].name;
    let reading = format!(r#"{{"field":{{"{field}":{{"column":"user.id"}}}},"time_unit":"ms"}}"#);
    let contract = plain.contract.with_reading_json(&reading).unwrap();
    let mut writer = StateWriter::create(&path, &Metadata { contract, ..plain.clone() }, false).unwrap();
    writer.push(&BIAS).unwrap();
    writer.finish().unwrap();
    let found = StateReader::open(&path).unwrap().metadata().contract.clone();
    assert_eq!(found, plain.contract);
    assert_eq!(found.reading_json(), Some(reading));
}

#[test]
fn a_state_is_not_overwritten_and_a_rejected_one_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    write(&path, &[BIAS]).unwrap();
    let before = fs::read(&path).unwrap();
    let error = write(&path, &[BIAS, ROW]).unwrap_err();
    assert_eq!(message(&error, &path), "FILE exists already; choose another name, or ask to replace it");
    assert_eq!(fs::read(&path).unwrap(), before);
    let other = folder.path().join("other.parquet");
    write(&other, &[ROW]).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn rows_that_no_training_writes_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    let row = StateRow { key: 5, impressions: 2, clicks: 1, z: 0.1, d: 7.0, ..ROW };
    let cases: [(&[StateRow<'_>], &str); 10] = [
        (
            &[BIAS, StateRow { z: -1e151, ..row }],
            "row 2 of the training state FILE: feature `猫*-3` of `a*b`: expected finite z and weight of at most 1e30, \
             found -1e151 and 0.0",
        ),
        (
            &[BIAS, StateRow { impressions: u64::MAX, ..row }],
            "row 2 of the training state FILE: expected at most 9007199254740992 impressions, found \
             18446744073709551615",
        ),
        (&[row], "row 1 of the training state FILE: expected the bias first, found `a*b` with key 5"),
        (&[BIAS, BIAS], "row 2 of the training state FILE: expected one bias, found a second"),
        (&[BIAS, row, row], "row 3 of the training state FILE: expected ascending keys, found 5 after 5"),
        (
            &[BIAS, StateRow { z: f64::NAN, ..row }],
            "row 2 of the training state FILE: feature `猫*-3` of `a*b`: expected finite z and weight of \
             at most 1e30, found NaN and 0.0",
        ),
        (
            &[BIAS, StateRow { weight: f64::INFINITY, ..row }],
            "row 2 of the training state FILE: feature `猫*-3` of `a*b`: expected finite z and weight of \
             at most 1e30, found 0.1 and inf",
        ),
        (
            &[BIAS, StateRow { d: 0.0, ..row }],
            "row 2 of the training state FILE: expected a curvature d above 0, found 0.0",
        ),
        (
            &[BIAS, StateRow { d: f64::NAN, ..row }],
            "row 2 of the training state FILE: expected a curvature d above 0, found NaN",
        ),
        (
            &[BIAS, StateRow { clicks: 3, ..row }],
            "row 2 of the training state FILE: expected at most 2 clicks, found 3",
        ),
    ];
    for (rows, expected) in cases {
        assert_eq!(message(&write(&path, rows).unwrap_err(), &path), expected);
    }
}

#[test]
fn fields_that_the_contract_does_not_have_are_rejected_by_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    write(&path, &[BIAS, StateRow { field: "b*a", ..ROW }]).unwrap();
    let error = StateReader::open(&path).unwrap().next_batch().err().unwrap();
    let expected = "row 2 of the training state FILE: expected a field or cross of the contract, found `b*a`";
    assert_eq!(message(&error, &path), expected);
}

#[test]
fn rows_that_stand_for_unseen_categories_have_the_name_of_a_field_and_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, row: StateRow<'_>| {
        let path = folder.path().join(name);
        write(&path, &[BIAS, row]).unwrap();
        StateReader::open(&path).unwrap().next_batch().err().map(|error| message(&error, &path))
    };
    for (index, field) in [UNSEEN_FIELD, MISSING_FIELD].into_iter().enumerate() {
        let key = default_key(field, "a");
        let row = StateRow { field, category: "a", key, ..ROW };
        assert!(row.is_default() && !row.is_bias());
        assert_eq!(read(&format!("{index}.parquet"), row), None);
        let other = read(&format!("{index}-cross.parquet"), StateRow { category: "a*b", ..row }).unwrap();
        let expected = format!("expected a field of the contract in `{field}`, found `a*b`");
        assert!(other.ends_with(&expected), "{other}");
        let other = read(&format!("{index}-key.parquet"), StateRow { key: key ^ 1, ..row }).unwrap();
        let expected = format!("expected the key {key} for `a` in `{field}`, found {}", key ^ 1);
        assert!(other.ends_with(&expected), "{other}");
    }
}

#[test]
fn files_that_are_not_a_state_are_rejected_and_the_error_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    let opened = || message(&StateReader::open(&path).err().unwrap(), &path);
    assert!(opened().starts_with("cannot read FILE: No such file"));
    fs::write(&path, b"field,category,key\n").unwrap();
    assert!(opened().starts_with("cannot read FILE as Parquet: "), "{}", opened());

    let key: ArrayRef = Arc::new(UInt64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("key", key)]).unwrap();
    let mut parquet = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    parquet.write(&batch).unwrap();
    parquet.close().unwrap();
    let expected = "FILE is not a training state of this version: expected the columns field, category, key, z, d, \
                    impressions, clicks, last_seen, weight; found key";
    assert_eq!(opened(), expected);
}

#[test]
fn metadata_that_is_missing_or_contradictory_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    let pair = |key: &str, value: &str| parquet::file::metadata::KeyValue::new(key.to_owned(), value.to_owned());
    let cases = [
        (
            "omomi.state_format_version",
            None,
            "the metadata key `omomi.state_format_version` is missing; tools that rewrite Parquet may drop it",
        ),
        ("omomi.state_format_version", Some("4"), "expected format version 3, found 4; read it with a newer omomi"),
        ("omomi.state_format_version", Some("2"), "expected format version 3, found 2; train again"),
        ("omomi.rows", Some("many"), "expected a valid value under the metadata key `omomi.rows`, found `many`"),
        (
            "omomi.rows",
            Some("18446744073709551615"),
            "expected at most 9007199254740992 rows, found 18446744073709551615; correct the importance of the rows",
        ),
        ("omomi.weight_rule.scale", Some("-1"), "the weight rule's scale must be a number above 0, found -1.0"),
        ("omomi.negative_rate", Some("NaN"), "expected a negative_rate above 0 and at most 1, found NaN"),
        (
            "omomi.last_seen_us",
            None,
            "the metadata key `omomi.last_seen_us` is missing; tools that rewrite Parquet may drop it",
        ),
        (
            "omomi.start_digest",
            None,
            "the metadata key `omomi.start_digest` is missing; tools that rewrite Parquet may drop it",
        ),
        ("omomi.start_digest", Some("12"), "expected a digest under the metadata key `omomi.start_digest`, found `12`"),
        ("omomi.start_decay", Some("0"), "expected a decay of the start above 0 and at most 1, found 0.0"),
        ("omomi.start_shares", Some("0"), "expected at least 1 share of the start, found 0"),
        ("omomi.alpha", Some("0"), "alpha must be a number above 0, found 0.0"),
        (
            "omomi.contract_fingerprint",
            Some("00"),
            "expected the fingerprint c1f7a55d4a29bd9e of its contract, found 00",
        ),
    ];
    let too_long = format!("{{\"text\":\"{}\"}}", "x".repeat(MAX_PROVENANCE_LEN));
    let cases = cases.into_iter().chain([
        (
            "omomi.provenance",
            None,
            "the metadata key `omomi.provenance` is missing; tools that rewrite Parquet may drop it",
        ),
        (
            "omomi.provenance",
            Some("[]"),
            "expected a JSON object under the metadata key `omomi.provenance`: invalid type: sequence, expected a map at \
             line 1 column 0",
        ),
        (
            "omomi.provenance",
            Some(&too_long),
            "expected a provenance of at most 2097152 bytes, found 2097163",
        ),
    ]);
    let fingerprint = format!("{:016x}", metadata().contract.fingerprint());
    for (key, value, expected) in cases {
        let mut pairs = pairs();
        pairs.retain(|pair| pair.key != key);
        pairs.extend(value.map(|value| pair(key, value)));
        let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
        let file = fs::File::create(&path).unwrap();
        ArrowWriter::try_new(file, schema(), Some(properties)).unwrap().close().unwrap();
        let expected = expected.replace("c1f7a55d4a29bd9e", &fingerprint);
        let found = message(&StateReader::open(&path).err().unwrap(), &path);
        assert_eq!(found, format!("FILE is not a training state of this version: {expected}"));
    }
}

/// Each row of a batch got a copy of its text: a state of a few kilobytes, whose rows share one text of a megabyte,
/// took gigabytes, and then failed because an array of texts has at most 2 GiB.
#[test]
fn rows_that_share_a_long_text_of_a_dictionary_share_its_memory() {
    const ROW_COUNT: usize = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.parquet");
    // The first row is the bias.
    let keyed = |first: &str, text: &str| -> ArrayRef {
        let keys = Int32Array::from_iter_values((0..3_000).map(|row| i32::from(row > 0)));
        Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from(vec![first, text]))))
    };
    let floats = |number: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![number; ROW_COUNT])) };
    let counts = || -> ArrayRef { Arc::new(UInt64Array::from(vec![1; ROW_COUNT])) };
    let keys = 0..ROW_COUNT as u64;
    let last_seen = TimestampMicrosecondArray::from(vec![1; ROW_COUNT]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        keyed(BIAS_FIELD, "a"),
        keyed("", &"x".repeat(1 << 20)),
        Arc::new(UInt64Array::from_iter_values(keys)),
        floats(1.0),
        floats(20.0),
        counts(),
        counts(),
        Arc::new(last_seen),
        floats(0.5),
    ];
    let names = schema();
    let fields = names.fields().iter().zip(&columns);
    let fields: Vec<Field> = fields
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), field.is_nullable()))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(pairs()))
        .set_dictionary_page_size_limit(8 << 20)
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer =
        ArrowWriter::try_new_with_options(fs::File::create(&path).unwrap(), batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 3 << 20);
    let mut reader = StateReader::open(&path).unwrap();
    let batch = reader.next_batch().unwrap().unwrap();
    assert_eq!(batch.rows().filter(|row| row.category.len() == 1 << 20).count(), ROW_COUNT - 1);
}

fn joined(categories: &[String]) -> String {
    let mut text = String::new();
    for (index, category) in categories.iter().enumerate() {
        join_category(index == 0, category, &mut text);
    }
    text
}

#[test]
fn members_of_a_cross_can_be_told_apart_whatever_their_text() {
    let categories = ["a*b\\".to_owned(), String::new(), "猫".to_owned()];
    assert_eq!(joined(&categories), "a\\*b\\\\**猫");
    assert_eq!(split_categories("a\\*b\\\\**猫").unwrap(), categories);
}

#[test]
fn escapes_that_no_training_writes_are_rejected() {
    assert_eq!(split_categories("a\\"), None);
    assert_eq!(split_categories("\\a*b"), None);
}

proptest! {
    #[test]
    fn splitting_undoes_joining(categories in prop::collection::vec("[a*\\\\猫]{0,5}", 1..5)) {
        prop_assert_eq!(split_categories(&joined(&categories)).unwrap(), categories);
    }
}
