//! Rows that every format can express, functions that write them to files, and what the reader should return for them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use omomi::contract::{Contract, FieldKind};
use omomi::feature;
use omomi_train::log::{Categories, LogError, LogReader, ReadOptions, RowBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

/// A log row in its simplest form.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub clicked: bool,
    pub time_us: i64,
    pub media_id: Option<i64>,
    pub title: Option<String>,
    pub floor_price: Option<f64>,
    pub tags: Vec<String>,
    pub segments: Vec<i64>,
}

/// A row that the reader returned: label, time, and for each field the values with their categories as text.
pub type ReadRow = (bool, Option<i64>, Vec<Vec<(u64, String)>>);

pub fn contract() -> Contract {
    let json = br#"{"name":"feed-ctr","label":"clicked","field":[
        {"name":"media_id","side":"context","type":"id","meaning":"media"},
        {"name":"title","side":"candidate","type":"text","meaning":"title"},
        {"name":"floor_price","side":"context","type":"number","unit":"JPY","range":[0.0,1000.0],
         "buckets":[10.0,100.0],"meaning":"lowest bid"},
        {"name":"tags","side":"candidate","type":"text","many":true,"meaning":"tags"},
        {"name":"segments","side":"context","type":"id","many":true,"meaning":"segments"}]}"#;
    Contract::from_json(json).unwrap()
}

/// Rows that even CSV can express: none has an empty text.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            clicked: true,
            time_us: 1_574_553_617_004_101,
            media_id: Some(i64::MAX),
            title: Some("重み, \"quoted\"\nand broken".to_owned()),
            floor_price: Some(10.0),
            tags: vec!["漫画".to_owned(), "tea, green".to_owned()],
            segments: vec![1, -2, i64::MIN],
        },
        Row::default(),
        Row {
            time_us: -1,
            media_id: Some(i64::MIN),
            title: Some(" ".to_owned()),
            floor_price: Some(-0.5),
            segments: vec![7],
            ..Row::default()
        },
        Row {
            clicked: true,
            media_id: Some(0),
            floor_price: Some(1e300),
            tags: vec!["x".to_owned()],
            ..Row::default()
        },
        Row { floor_price: Some(0.1 + 0.2), title: Some("nil".to_owned()), ..Row::default() },
    ]
}

/// What the reader should return for `rows`, and how many numbers are out of range.
pub fn expected(rows: &[Row], with_time: bool) -> (Vec<ReadRow>, u64) {
    let id = |&id: &i64| (id.cast_unsigned(), id.to_string());
    let text = |text: &String| (feature::text_value(text.as_bytes()), text.clone());
    let mut invalid_number_count = 0;
    let mut number = |&number: &f64| {
        if !(0.0..=1000.0).contains(&number) {
            invalid_number_count += 1;
            return None;
        }
        Some((u64::from(number >= 10.0) + u64::from(number >= 100.0), format!("{number:?}")))
    };
    let mut read_rows = Vec::new();
    for row in rows {
        let fields = vec![
            row.media_id.iter().map(id).collect(),
            row.title.iter().map(text).collect(),
            row.floor_price.iter().filter_map(&mut number).collect(),
            row.tags.iter().map(text).collect(),
            row.segments.iter().map(id).collect(),
        ];
        read_rows.push((row.clicked, with_time.then_some(row.time_us), fields));
    }
    (read_rows, invalid_number_count)
}

/// Reads all rows of all files that match `patterns`, and counts the numbers out of range.
pub fn read(patterns: &[String], options: ReadOptions) -> Result<(Vec<ReadRow>, u64), LogError> {
    let contract = contract();
    let mut reader = LogReader::open(&contract, patterns, options.clone())?;
    let (mut rows, mut invalid_number_count) = (Vec::new(), 0);
    while let Some(batch) = reader.next_batch()? {
        assert!(batch.row_count() <= options.batch_row_count);
        invalid_number_count += batch.columns.iter().map(|column| column.invalid_number_count).sum::<u64>();
        take_apart(&contract, &batch, &mut rows);
    }
    assert_eq!(reader.rows_read(), rows.len() as u64);
    assert_eq!(reader.total_row_count(), Some(rows.len() as u64 + reader.bad_row_count()));
    assert_eq!(reader.read_len_bytes(), reader.total_len_bytes());
    assert!(matches!(reader.next_batch(), Ok(None)));
    Ok((rows, invalid_number_count))
}

pub fn read_one(path: &Path) -> Result<(Vec<ReadRow>, u64), LogError> {
    read(&[name(path)], ReadOptions::default())
}

pub fn name(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub fn take_apart(contract: &Contract, batch: &RowBatch, rows: &mut Vec<ReadRow>) {
    assert_eq!(batch.columns.len(), contract.fields().len());
    for (column, field) in batch.columns.iter().zip(contract.fields()) {
        assert_eq!(column.offsets.len(), batch.row_count() + 1);
        assert_eq!(*column.offsets.last().unwrap() as usize, column.values.len());
        match (&column.categories, &field.kind) {
            (Categories::Ids, FieldKind::Id) => {}
            (Categories::Texts { offsets, places: None, .. }, FieldKind::Text) => {
                assert_eq!(offsets.len(), column.values.len() + 1);
            }
            (Categories::Texts { offsets, places: Some(places), .. }, FieldKind::Text) => {
                assert_eq!(places.len(), column.values.len());
                assert!(places.iter().all(|&place| (place as usize) < offsets.len() - 1));
            }
            (Categories::Numbers(numbers), FieldKind::Number { .. }) => {
                assert_eq!(numbers.len(), column.values.len());
            }
            other => panic!("{other:?}"),
        }
    }
    for row in 0..batch.row_count() {
        let words = |column: &omomi_train::log::FieldColumn, index: usize| match &column.categories {
            Categories::Ids => column.values[index].cast_signed().to_string(),
            Categories::Texts { .. } => column.text(index).unwrap().to_owned(),
            Categories::Numbers(numbers) => format!("{:?}", numbers[index]),
            Categories::Keys => panic!("no file has keys"),
        };
        let fields = batch
            .columns
            .iter()
            .map(|column| column.range(row).map(|index| (column.values[index], words(column, index))).collect());
        rows.push((batch.clicked[row], batch.time_us.as_ref().map(|times| times[row]), fields.collect()));
    }
}

/// Writes `rows` to `folder/name`, in the format that the name's extension says.
pub fn write(folder: &Path, name: &str, rows: &[Row]) -> PathBuf {
    let path = folder.join(name);
    let plain = name.trim_end_matches(".gz").trim_end_matches(".zst");
    let text = if plain.ends_with(".parquet") {
        return write_parquet(path, &parquet_columns(rows));
    } else if plain.ends_with(".csv") {
        csv(rows)
    } else {
        json_lines(rows)
    };
    write_text(path, text.as_bytes())
}

/// Writes text, compressed if the name's extension says so.
pub fn write_text(path: PathBuf, text: &[u8]) -> PathBuf {
    let bytes = match path.extension().unwrap().to_str().unwrap() {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "zst" => zstd::encode_all(text, 1).unwrap(),
        _ => text.to_vec(),
    };
    fs::write(&path, bytes).unwrap();
    path
}

/// The columns of `rows`, in an order that is not the contract's, and one column that the contract does not name.
pub fn parquet_columns(rows: &[Row]) -> Vec<(&'static str, ArrayRef)> {
    let mut tags = ListBuilder::new(StringBuilder::new());
    let mut segments = ListBuilder::new(Int64Builder::new());
    for row in rows {
        tags.append_value(row.tags.iter().map(Some));
        segments.append_value(row.segments.iter().map(|&segment| Some(segment)));
    }
    vec![
        ("segments", Arc::new(segments.finish()) as ArrayRef),
        ("unused", Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "passed over")))),
        ("clicked", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.clicked))))),
        ("title", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.title.as_deref())))),
        ("tags", Arc::new(tags.finish())),
        ("shown_at", Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.time_us)))),
        ("media_id", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.media_id)))),
        ("floor_price", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.floor_price)))),
    ]
}

/// Writes columns in row groups of three rows, so that even a few rows span several row groups.
pub fn write_parquet(path: PathBuf, columns: &[(&'static str, ArrayRef)]) -> PathBuf {
    let zstd = Compression::ZSTD(parquet::basic::ZstdLevel::default());
    write_parquet_with(path, columns, zstd, true)
}

pub fn write_parquet_with(
    path: PathBuf,
    columns: &[(&'static str, ArrayRef)],
    compression: Compression,
    has_dictionary: bool,
) -> PathBuf {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, array)| (*name, Arc::clone(array), true)))
            .unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(has_dictionary)
        .set_max_row_group_row_count(Some(3))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

pub fn csv(rows: &[Row]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut csv = "unused,tags,title,media_id,clicked,floor_price,shown_at,segments\n".to_owned();
    for row in rows {
        writeln!(
            csv,
            ",{},{},{},{},{},{},{}",
            quoted(&row.tags.join("|")),
            row.title.as_deref().map_or_else(String::new, quoted),
            row.media_id.map_or_else(String::new, |id| id.to_string()),
            u8::from(row.clicked),
            row.floor_price.map_or_else(String::new, |price| format!("{price:?}")),
            row.time_us,
            row.segments.iter().map(i64::to_string).collect::<Vec<_>>().join("|"),
        )
        .unwrap();
    }
    csv
}

/// Formats JSON lines. Every second row leaves out missing values; the other rows have them as null.
pub fn json_lines(rows: &[Row]) -> String {
    let mut lines = String::new();
    for (index, row) in rows.iter().enumerate() {
        let mut object = json!({
            "unused": {"clicked": [1, {"title": null}]}, "tags": row.tags, "title": row.title,
            "media_id": row.media_id, "clicked": u8::from(row.clicked), "floor_price": row.floor_price,
            "shown_at": row.time_us, "segments": row.segments,
        });
        if index % 2 == 1 {
            object.as_object_mut().unwrap().retain(|_, value| *value != Value::Null && *value != json!([]));
        }
        writeln!(lines, "{object}").unwrap();
    }
    lines
}
