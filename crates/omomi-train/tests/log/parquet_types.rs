//! Parquet has many types for one kind of value. All types that can represent the value give the same rows.

use std::fs;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int64Array, ListArray, RecordBatch, StringArray, TimestampMillisecondArray, TimestampSecondArray,
};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, TimeUnit};
use omomi_train::log::{LogReader, ReadOptions};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::rows::{Row, contract, expected, name, parquet_columns, read, read_one, write_parquet};

fn sample() -> Vec<Row> {
    let row = |id: i64, title: &str| Row {
        clicked: id == 2,
        time_us: id * 1_000_000,
        media_id: Some(id),
        title: Some(title.to_owned()),
        floor_price: Some(2.0),
        tags: vec![title.to_owned(), "漫画".to_owned()],
        segments: vec![id],
    };
    vec![row(1, "a"), row(2, ""), Row { title: None, media_id: None, floor_price: None, ..row(3, "c") }, row(4, "a")]
}

/// Asserts that the rows stay the same with `column` stored as `array`.
fn assert_reads_with(column: &str, array: &dyn Fn(&ArrayRef) -> ArrayRef) {
    let folder = tempfile::tempdir().unwrap();
    let mut columns = parquet_columns(&sample());
    let slot = columns.iter_mut().find(|(name, _)| *name == column).unwrap();
    slot.1 = array(&slot.1);
    let data_type = slot.1.data_type().clone();
    let path = write_parquet(folder.path().join("log.parquet"), &columns);
    let options = ReadOptions::default().with(|it| {
        it.time_column = Some("shown_at".to_owned());
        it.any_time = true;
    });
    let rows = read(&[name(&path)], options);
    assert_eq!(rows.unwrap(), expected(&sample(), true), "{column} as {data_type}");
}

#[test]
fn ids_are_read_from_floats_and_texts_where_they_are_exact() {
    for data_type in [DataType::Float32, DataType::Float64, DataType::Utf8, DataType::LargeUtf8] {
        assert_reads_with("media_id", &|array| cast(array, &data_type).unwrap());
        let list = DataType::List(Arc::new(Field::new_list_field(data_type.clone(), true)));
        assert_reads_with("segments", &|array| cast(array, &list).unwrap());
    }
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    assert_reads_with("media_id", &|array| cast(&cast(array, &DataType::Utf8).unwrap(), &dictionary).unwrap());
    let texts: [Option<&str>; 4] = [Some("1.0"), Some("2"), None, Some("4.00")];
    assert_reads_with("media_id", &|_| Arc::new(StringArray::from(texts.to_vec())));
}

/// Snowflake and Oracle write every integer as a decimal. A cast would make 1 of 1.5.
#[test]
fn ids_and_times_are_read_from_decimals_where_they_are_exact() {
    for data_type in [DataType::Decimal128(38, 0), DataType::Decimal128(20, 2), DataType::Decimal256(60, 5)] {
        assert_reads_with("media_id", &|array| cast(array, &data_type).unwrap());
        let list = DataType::List(Arc::new(Field::new_list_field(data_type.clone(), true)));
        assert_reads_with("segments", &|array| cast(array, &list).unwrap());
        assert_reads_with("shown_at", &|array| {
            cast(&cast(&cast(array, &DataType::Int64).unwrap(), &DataType::Utf8).unwrap(), &data_type).unwrap()
        });
    }
    let folder = tempfile::tempdir().unwrap();
    for (number, scale, found) in
        [(15, 1, "found `1.5`"), (184_467_440_737_095_516_160, 1, "found `18446744073709551616.0`")]
    {
        let decimals = Decimal128Array::from(vec![10, number, 30, 40]).with_precision_and_scale(38, scale).unwrap();
        let mut columns = parquet_columns(&sample());
        columns.retain(|(name, _)| *name != "media_id");
        columns.push(("media_id", Arc::new(decimals)));
        let path = write_parquet(folder.path().join("log.parquet"), &columns);
        let options = ReadOptions::default().with(|it| it.max_bad_rows = 1);
        let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
        let ids = reader.next_batch().unwrap().unwrap().columns[0].values.clone();
        assert_eq!(ids, [1, 3, 4]);
        let bad_row = reader.bad_rows()[0].to_string();
        assert!(bad_row.contains("row 2, column `media_id`: ") && bad_row.contains(found), "{bad_row}");
    }
}

#[test]
fn numbers_and_labels_are_read_from_text() {
    assert_reads_with("floor_price", &|array| cast(array, &DataType::Utf8).unwrap());
    assert_reads_with("clicked", &|_| Arc::new(StringArray::from(vec!["0", "true", "False", "f"])));
}

#[test]
fn ids_are_read_from_integers_of_any_width_and_sign() {
    use DataType::{Int8, Int16, Int32, UInt8, UInt16, UInt32, UInt64};
    for data_type in [Int8, Int16, Int32, UInt8, UInt16, UInt32, UInt64] {
        assert_reads_with("media_id", &|array| cast(array, &data_type).unwrap());
        let list = DataType::List(Arc::new(Field::new_list_field(data_type.clone(), true)));
        assert_reads_with("segments", &|array| cast(array, &list).unwrap());
    }
}

#[test]
fn texts_are_read_from_large_text_views_and_dictionaries() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for data_type in [DataType::LargeUtf8, DataType::Utf8View, dictionary.clone(), DataType::Binary] {
        assert_reads_with("title", &|array| cast(array, &data_type).unwrap());
    }
    for data_type in [DataType::LargeUtf8, DataType::Utf8View] {
        let item = Arc::new(Field::new("element", data_type, true));
        assert_reads_with("tags", &|array| cast(array, &DataType::List(Arc::clone(&item))).unwrap());
        assert_reads_with("tags", &|array| cast(array, &DataType::LargeList(Arc::clone(&item))).unwrap());
    }
}

#[test]
fn numbers_are_read_from_integers_floats_and_decimals() {
    for data_type in [DataType::Int16, DataType::UInt64, DataType::Float32, DataType::Decimal128(9, 3)] {
        assert_reads_with("floor_price", &|array| cast(array, &data_type).unwrap());
    }
}

#[test]
fn labels_are_read_from_integers_floats_and_booleans() {
    for data_type in [DataType::Int8, DataType::Int64, DataType::Float32, DataType::Float64] {
        assert_reads_with("clicked", &|array| cast(array, &data_type).unwrap());
    }
}

#[test]
fn times_are_read_from_timestamps_of_any_unit_integers_and_text() {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    for unit in [Second, Millisecond, Microsecond, Nanosecond] {
        assert_reads_with("shown_at", &|array| cast(array, &DataType::Timestamp(unit, None)).unwrap());
        let zoned = DataType::Timestamp(unit, Some("+00:00".into()));
        assert_reads_with("shown_at", &|array| cast(array, &zoned).unwrap());
    }
    assert_reads_with("shown_at", &|array| cast(array, &DataType::Int64).unwrap());
    let texts =
        ["1970-01-01T00:00:01Z", "1970-01-01 00:00:02+00:00", "1970-01-01 00:00:03.000", "1970-01-01T09:00:04+09:00"];
    assert_reads_with("shown_at", &|_| Arc::new(StringArray::from(texts.to_vec())));
    assert_reads_with("shown_at", &|_| Arc::new(TimestampSecondArray::from(vec![1, 2, 3, 4])));
}

#[test]
fn columns_that_are_null_throughout_are_missing_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut columns = parquet_columns(&sample());
    for (name, array) in &mut columns {
        if ["media_id", "title", "floor_price"].contains(name) {
            *array = arrow_array::new_null_array(&DataType::Null, 4);
        }
    }
    let path = write_parquet(folder.path().join("log.parquet"), &columns);
    let rows: Vec<Row> =
        sample().into_iter().map(|row| Row { media_id: None, title: None, floor_price: None, ..row }).collect();
    assert_eq!(read_one(&path).unwrap(), expected(&rows, false));
}

#[test]
fn null_lists_and_null_items_are_no_categories() {
    let folder = tempfile::tempdir().unwrap();
    let mut columns = parquet_columns(&sample());
    let lists = [Some(vec![Some(1), None, Some(2)]), None, Some(vec![]), Some(vec![None])];
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    columns.iter_mut().find(|(name, _)| *name == "segments").unwrap().1 = Arc::new(lists);
    let path = write_parquet(folder.path().join("log.parquet"), &columns);
    let mut rows = sample();
    for (row, segments) in rows.iter_mut().zip([vec![1, 2], vec![], vec![], vec![]]) {
        row.segments = segments;
    }
    assert_eq!(read_one(&path).unwrap(), expected(&rows, false));
}

#[test]
fn column_of_a_wrong_type_is_rejected_with_both_types() {
    let integers = || Arc::new(Int64Array::from(vec![0; 4])) as ArrayRef;
    let texts = || Arc::new(StringArray::from(vec!["0"; 4])) as ArrayRef;
    let times = || Arc::new(TimestampSecondArray::from(vec![0; 4])) as ArrayRef;
    let doubles = || Arc::new(Float64Array::from(vec![0.0; 4])) as ArrayRef;
    let ids = "expected integers, booleans, dates, decimals or text";
    let cases: [(&str, ArrayRef, &str); 7] = [
        ("media_id", times(), &format!("{ids}, found Timestamp(s)")),
        ("title", times(), "expected text, integers, booleans, dates or decimals, found Timestamp(s)"),
        ("title", doubles(), "expected text, integers, booleans, dates or decimals, found Float64"),
        ("floor_price", Arc::new(BooleanArray::from(vec![true; 4])), "expected numbers, found Boolean"),
        ("tags", texts(), "expected a list of texts, found Utf8"),
        ("segments", integers(), "expected a list of integers, found Int64"),
        ("media_id", Arc::new(BinaryArray::from_vec(vec![b"0"; 4])), &format!("{ids}, found Binary")),
    ];
    for (column, array, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut columns = parquet_columns(&sample());
        columns.iter_mut().find(|(name, _)| *name == column).unwrap().1 = array;
        let path = write_parquet(folder.path().join("log.parquet"), &columns);
        let error = read_one(&path).unwrap_err().to_string();
        let start = format!("{}: column `{column}`: {message}; ", path.display());
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn ids_that_are_too_large_and_bad_labels_are_reported_with_their_row() {
    let columns = |clicked: ArrayRef, ids: ArrayRef| {
        let mut columns = parquet_columns(&sample());
        for (name, array) in &mut columns {
            match *name {
                "clicked" => *array = Arc::clone(&clicked),
                "media_id" => *array = Arc::clone(&ids),
                _ => {}
            }
        }
        columns
    };
    let good_ids = || Arc::new(Int64Array::from(vec![0; 4])) as ArrayRef;
    let good_labels = || Arc::new(Int8Array::from(vec![0; 4])) as ArrayRef;
    let cases: [(ArrayRef, ArrayRef, &str); 7] = [
        (
            good_labels(),
            Arc::new(Float64Array::from(vec![1.0, 2.5, 3.0, 4.0])),
            "row 2, column `media_id`: expected an integer from -2^63 to 2^64 - 1, found `2.5`",
        ),
        (
            good_labels(),
            Arc::new(StringArray::from(vec!["1", "2", "x", "4"])),
            "row 3, column `media_id`: expected an integer from -2^63 to 2^64 - 1, found `x`",
        ),
        (
            Arc::new(StringArray::from(vec!["0", "yes", "1", "1"])),
            good_ids(),
            "row 2, column `clicked`: expected a label of 0 or 1, found `yes`",
        ),
        (
            good_labels(),
            Arc::new(StringArray::from(vec![Some("1"), None, Some("3"), Some("18446744073709551616")])),
            "row 4, column `media_id`: expected an integer from -2^63 to 2^64 - 1, found `18446744073709551616`",
        ),
        (
            Arc::new(Int8Array::from(vec![0, 1, 2, 0])),
            good_ids(),
            "row 3, column `clicked`: expected a label of 0 or 1, found 2",
        ),
        (
            Arc::new(Float32Array::from(vec![0.0, 0.5, 1.0, 2.0])),
            good_ids(),
            "row 2, column `clicked`: expected a label of 0 or 1, found 0.5",
        ),
        (
            Arc::new(Int8Array::from(vec![None, Some(1), None, Some(0)])),
            good_ids(),
            "row 1, column `clicked`: expected a label of 0 or 1, found nothing",
        ),
    ];
    for (clicked, ids, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = write_parquet(folder.path().join("log.parquet"), &columns(clicked, ids));
        let error = read_one(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: {message}; ", path.display())), "{error}");
    }
}

/// What was found: bytes without the mark of texts became an empty category where they were keys of a dictionary, and
/// ended the command where they were not.
#[test]
fn bytes_without_the_mark_of_texts_are_texts_and_a_row_with_other_bytes_is_bad() {
    let bytes = |title: &[u8]| title.to_vec();
    let titles = [bytes(b"a"), bytes(b"caf\xe9"), bytes("\u{732b}".as_bytes()), bytes(b"a")];
    let titles: Vec<&[u8]> = titles.iter().map(Vec::as_slice).collect();
    for has_dictionary in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut columns = parquet_columns(&sample());
        columns.iter_mut().find(|(name, _)| *name == "title").unwrap().1 =
            Arc::new(BinaryArray::from_vec(titles.clone()));
        columns.iter_mut().find(|(name, _)| *name == "clicked").unwrap().1 =
            Arc::new(BinaryArray::from_vec(vec![b"0", b"1", b"1", b"0"]));
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder().set_dictionary_enabled(has_dictionary).build();
        let path = folder.path().join("log.parquet");
        let file = fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let options = ReadOptions::default().with(|it| it.max_bad_rows = 1);
        let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
        let batch = reader.next_batch().unwrap().unwrap();
        let place = contract().fields().iter().position(|field| field.name == "title").unwrap();
        let column = &batch.columns[place];
        let found: Vec<_> = (0..3).map(|row| column.text(column.range(row).start).unwrap()).collect();
        assert_eq!(found, ["a", "\u{732b}", "a"], "dictionary: {has_dictionary}");
        assert_eq!(batch.clicked, [false, true, false]);
        let bad_row = reader.bad_rows()[0].to_string();
        assert!(bad_row.ends_with("row 2, column `title`: expected UTF-8 text, found other bytes"), "{bad_row}");
    }
}

#[test]
fn dates_and_doubles_are_times_and_a_time_of_no_calendar_is_a_bad_row() {
    const SECOND_US: i64 = 1_000_000;
    let cases: [(ArrayRef, &[i64], &str); 4] = [
        (
            Arc::new(Date32Array::from(vec![18_224, -25_567, 18_224, 18_224])),
            &[18_224 * 86_400 * SECOND_US; 3],
            "found 1900-01-01",
        ),
        (
            Arc::new(Float64Array::from(vec![1_574_553_617.5, f64::NAN, 1_574_553_617.25, 1_574_553_617.0])),
            &[1_574_553_617_500_000, 1_574_553_617_250_000, 1_574_553_617_000_000],
            "found NaN",
        ),
        (
            Arc::new(TimestampMillisecondArray::from(vec![
                1_574_553_617_000,
                i64::MIN + 1,
                1_574_553_617_000,
                1_574_553_617_000,
            ])),
            &[1_574_553_617 * SECOND_US; 3],
            "found `-9223372036854775807`",
        ),
        (
            Arc::new(TimestampSecondArray::from(vec![1_574_553_617, i64::MAX, 1_574_553_617, 1_574_553_617])),
            &[1_574_553_617 * SECOND_US; 3],
            "found `9223372036854775807`",
        ),
    ];
    for (times, expected, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut columns = parquet_columns(&sample());
        columns.retain(|(name, _)| *name != "ts");
        columns.push(("ts", times));
        let path = write_parquet(folder.path().join("log.parquet"), &columns);
        let options = ReadOptions::default().with(|it| {
            it.max_bad_rows = 1;
            it.time_column = Some("ts".to_owned());
        });
        let mut reader = LogReader::open(&contract(), &[name(&path)], options).unwrap();
        let batch = reader.next_batch().unwrap().unwrap();
        assert_eq!(batch.time_us.as_deref(), Some(expected), "{message}");
        let bad_row = reader.bad_rows()[0].to_string();
        assert!(bad_row.contains("row 2, column `ts`: ") && bad_row.contains(message), "{bad_row}");
    }
}

#[test]
fn a_float_of_32_bits_is_an_id_only_where_it_has_every_integer() {
    let folder = tempfile::tempdir().unwrap();
    let read_id = |id: f32| {
        let mut columns = parquet_columns(&sample());
        let slot = columns.iter_mut().find(|(name, _)| *name == "media_id").unwrap();
        slot.1 = Arc::new(Float32Array::from(vec![id; slot.1.len()]));
        let path = write_parquet(folder.path().join(format!("{id}.parquet")), &columns);
        let mut reader = LogReader::open(&contract(), &[name(&path)], ReadOptions::default()).unwrap();
        reader.next_batch().map(|batch| batch.map(|batch| batch.row_count()))
    };
    assert_eq!(read_id(16_777_215.0).unwrap(), Some(4));
    assert_eq!(read_id(-16_777_215.0).unwrap(), Some(4));
    // 16,777,217 is stored as this number, too.
    let error = read_id(16_777_216.0).unwrap_err().to_string();
    assert!(error.contains("media_id") && error.contains("an integer"), "{error}");
}
