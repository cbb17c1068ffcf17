//! Other tools write columns, times, missing values and lists in notations of their own. Each is read as what it means,
//! a guess is reported, and what cannot be right is a bad row. Before, times in milliseconds became windows of the year
//! 51865, `NULL` and `["a","b"]` became categories, and a key that was renamed in later files was silently missing.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef, Int64Array, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use omomi::contract::{Contract, TimeUnit};
use omomi_train::log::{LogError, LogReader, LogWarning, ReadOptions};
use parquet::data_type::{Int96, Int96Type};
use parquet::file::writer::SerializedFileWriter;

use crate::rows::{name, write_parquet, write_text};

/// What the reader returned for a log: labels, times, the texts of each field's categories, and warnings.
#[derive(Debug, Default, PartialEq)]
struct Read {
    clicked: Vec<bool>,
    times_us: Vec<i64>,
    /// By field, then by row.
    texts: Vec<Vec<Vec<String>>>,
    warnings: Vec<LogWarning>,
    bad_row_count: u64,
}

fn contract(reading: &str, field_keys: &str) -> Contract {
    let text = format!(
        r#"name = "n"
label = "clicked"
{reading}
[[field]]
name = "site"
side = "context"
type = "text"
meaning = "where"
{field_keys}
[[field]]
name = "tags"
side = "context"
type = "text"
many = true
meaning = "what"
[[field]]
name = "creative"
side = "candidate"
type = "id"
meaning = "which"
"#
    );
    omomi_train::toml::parse_contract(&text).unwrap()
}

fn read(contract: &Contract, files: &[PathBuf], options: ReadOptions) -> Result<Read, LogError> {
    let files: Vec<String> = files.iter().map(|file| name(file)).collect();
    let mut reader = LogReader::open(contract, &files, options)?;
    let mut read = Read { texts: vec![Vec::new(); 3], ..Read::default() };
    while let Some(batch) = reader.next_batch()? {
        read.clicked.extend(&batch.clicked);
        read.times_us.extend(batch.time_us.iter().flatten());
        for (texts, column) in read.texts.iter_mut().zip(&batch.columns) {
            for row in 0..batch.row_count() {
                let text = |index| {
                    column.text(index).map_or_else(|| column.values[index].cast_signed().to_string(), str::to_owned)
                };
                texts.push(column.range(row).map(text).collect());
            }
        }
    }
    read.warnings = reader.warnings();
    read.bad_row_count = reader.bad_row_count();
    Ok(read)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, file: &str, text: &str) -> PathBuf {
        write_text(self.0.path().join(file), text.as_bytes())
    }
}

fn with_time() -> ReadOptions {
    ReadOptions::default().with(|it| it.time_column = Some("ts".to_owned()))
}

#[test]
fn unit_of_integer_times_is_guessed_for_the_whole_log_and_reported_or_stated() {
    let folder = Folder::new();
    let header = "site,tags,creative,clicked,ts\n";
    let row = |time: &str| format!("a,,1,0,{time}\n");
    let second = 1_574_553_617_000_000;
    for (text, unit, time_us) in [
        ("1574553617", TimeUnit::Seconds, second),
        ("1574553617000", TimeUnit::Milliseconds, second),
        ("1574553617000000000", TimeUnit::Nanoseconds, second),
        ("20191124", TimeUnit::Day, second - 17_000_000),
        ("20191124000017", TimeUnit::DateTime, second),
    ] {
        let log = folder.file("log.csv", &(header.to_owned() + &row(text)));
        let guessed = read(&contract("", ""), std::slice::from_ref(&log), with_time()).unwrap();
        assert_eq!(guessed.times_us, [time_us], "{text}");
        assert_eq!(guessed.warnings, [LogWarning::GuessedTimeUnit { column: "ts".to_owned(), unit }], "{text}");
        let stated = with_time().with(|it| it.time_unit = Some(unit));
        assert_eq!(read(&contract("", ""), std::slice::from_ref(&log), stated).unwrap().warnings, []);
        let in_contract = format!("[reading]\ntime_unit = \"{}\"", unit.word());
        let stated = read(&contract(&in_contract, ""), std::slice::from_ref(&log), with_time()).unwrap();
        assert_eq!((stated.times_us, stated.warnings), (vec![time_us], vec![]));
        let wrong = with_time().with(|it| it.time_unit = Some(TimeUnit::Microseconds));
        let error = read(&contract("", ""), &[log], wrong).unwrap_err().to_string();
        assert!(error.contains("expected a time from 2000-01-01 to a day from now, found"), "{error}");
    }
    let mixed = [
        folder.file("a.csv", &(header.to_owned() + &row("1574553617"))),
        folder.file("b.csv", &(header.to_owned() + &row("1574553617000"))),
    ];
    let error = read(&contract("", ""), &mixed, with_time()).unwrap_err().to_string();
    assert!(error.contains("b.csv: row 1, column `ts`") && error.contains("looks like milliseconds"), "{error}");
}

#[test]
fn sentinel_times_are_bad_rows_and_neither_move_the_window_nor_decide_the_unit() {
    let folder = Folder::new();
    let times = ["0", "-1", "253402300799", "1574553617", "9999-12-31", "0001-01-01T00:00:00Z", "2300-01-01"];
    let rows: String = times.iter().map(|time| format!("a,,1,0,{time}\n")).collect();
    let csv = folder.file("log.csv", &format!("site,tags,creative,clicked,ts\n{rows}"));
    let rows: String = times
        .iter()
        .map(|time| format!("{{\"site\":\"a\",\"tags\":[],\"creative\":1,\"clicked\":0,\"ts\":\"{time}\"}}\n"))
        .collect();
    let json = folder.file("log.jsonl", &rows);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("site", Arc::new(StringArray::from(vec!["a"; 7]))),
        ("tags", null_lists(7)),
        ("creative", Arc::new(Int64Array::from(vec![1; 7]))),
        ("clicked", Arc::new(Int64Array::from(vec![0; 7]))),
        ("ts", Arc::new(StringArray::from(times.to_vec()))),
    ];
    let parquet = write_parquet(folder.0.path().join("log.parquet"), &columns);
    for file in [csv, json, parquet] {
        let lenient = with_time().with(|it| it.max_bad_rows = 6);
        let rows = read(&contract("", ""), std::slice::from_ref(&file), lenient).unwrap();
        assert_eq!((rows.times_us, rows.bad_row_count), (vec![1_574_553_617_000_000], 6), "{}", file.display());
        assert!(read(&contract("", ""), &[file], with_time()).is_err());
    }
}

/// Writes a Parquet file with a time column of type INT96, as Spark does. `days` are counted from 1970-01-01.
fn int96_file(folder: &Folder, days: &[i64]) -> PathBuf {
    let schema = "message log { required binary site (UTF8); required binary tags (UTF8); required int64 creative; \
                  required int64 clicked; required int96 ts; }"
        .replace("required binary tags (UTF8);", "repeated binary tags (UTF8);");
    let schema = Arc::new(parquet::schema::parser::parse_message_type(&schema).unwrap());
    let path = folder.0.path().join("int96.parquet");
    let mut writer =
        SerializedFileWriter::new(std::fs::File::create(&path).unwrap(), schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut index = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        let count = days.len();
        match index {
            0 => {
                let texts = vec![parquet::data_type::ByteArray::from("a"); count];
                column.typed::<parquet::data_type::ByteArrayType>().write_batch(&texts, None, None).unwrap();
            }
            1 => {
                let column = column.typed::<parquet::data_type::ByteArrayType>();
                column.write_batch(&[], Some(&vec![0; count]), Some(&vec![0; count])).unwrap();
            }
            4 => {
                let times: Vec<Int96> = days
                    .iter()
                    .map(|day| {
                        let mut time = Int96::new();
                        time.set_data(17, 0, i32::try_from(day + 2_440_588).unwrap().cast_unsigned());
                        time
                    })
                    .collect();
                column.typed::<Int96Type>().write_batch(&times, None, None).unwrap();
            }
            _ => {
                let numbers: Vec<i64> = vec![1; count];
                column.typed::<parquet::data_type::Int64Type>().write_batch(&numbers, None, None).unwrap();
            }
        }
        column.close().unwrap();
        index += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
    path
}

/// The nanoseconds of INT96 wrapped: the year 9999 became 1816, 2300 became 1715, and the year 1 became 1754.
#[test]
fn int96_times_do_not_wrap_to_other_centuries() {
    let folder = Folder::new();
    // 2019-11-24, 9999-12-31, 2300-01-01, 0001-01-01.
    let days = [18_224, 2_932_896, 120_530, -719_162];
    let file = int96_file(&folder, &days);
    let any = with_time().with(|it| it.any_time = true);
    let rows = read(&contract("", ""), std::slice::from_ref(&file), any).unwrap();
    assert_eq!(rows.times_us, days.map(|day| day * 86_400_000_000));
    let lenient = with_time().with(|it| it.max_bad_rows = 3);
    assert_eq!(
        read(&contract("", ""), std::slice::from_ref(&file), lenient).unwrap().times_us,
        [18_224 * 86_400_000_000]
    );
    let error = read(&contract("", ""), &[file], with_time()).unwrap_err().to_string();
    assert!(error.contains("row 2, column `ts`: expected a time") && error.contains("9999-12-31"), "{error}");
}

/// As microseconds, the days 292,000 years away wrapped: 584,542 years before and after 2019 are a day of 2019 again.
#[test]
fn int96_times_beyond_64_bits_are_bad_rows_even_where_any_time_is_taken() {
    let folder = Folder::new();
    let days = [18_224, 213_503_982 + 18_224, 18_224 - 213_503_982, 2_145_043_059, -2_149_924_236, 106_751_991];
    let file = int96_file(&folder, &days);
    for (any_time, times_us) in [(false, &days[..1]), (true, &[days[0], days[5]])] {
        let options = with_time().with(|it| {
            it.any_time = any_time;
            it.max_bad_rows = 5;
        });
        let rows = read(&contract("", ""), std::slice::from_ref(&file), options).unwrap();
        assert_eq!(rows.times_us, times_us.iter().map(|day| day * 86_400_000_000).collect::<Vec<_>>());
    }
    let error = read(&contract("", ""), std::slice::from_ref(&file), with_time()).unwrap_err().to_string();
    assert!(error.contains("row 2, column `ts`: expected a time") && error.contains("Julian day 215962794"), "{error}");
    // As an extra column, too.
    let options = ReadOptions::default().with(|it| {
        it.extra_columns = vec!["ts".to_owned()];
        it.max_bad_rows = 5;
    });
    let name = file.display().to_string();
    let mut reader = LogReader::open(&contract("", ""), &[name], options).unwrap();
    let batch = reader.next_batch().unwrap().unwrap();
    let texts: Vec<_> = (0..batch.row_count()).map(|row| batch.extra[0].text(row)).collect();
    // The last one has no calendar: such a time made the whole file a damaged one.
    assert_eq!(texts, [Some("2019-11-24T00:00:00"), Some("9223372022400000000")]);
    assert_eq!(reader.bad_row_count(), 4);
}

/// Every type of a time in Parquet, with numbers at the ends of its range: the right time, or a bad row.
#[test]
fn extreme_times_of_every_parquet_type_are_right_or_bad_rows() {
    use arrow_array::{
        Date32Array, Date64Array, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray,
    };
    let folder = Folder::new();
    let mut numbers = vec![0, -1, 1, -1_001, 1_574_553_617, i64::MAX, i64::MIN];
    for power in [1, 1_000, 1_000_000, 86_400_000_000] {
        let (first, last) = (i64::MIN / power, i64::MAX / power);
        numbers.extend([last, last.saturating_add(1), first, first.saturating_sub(1)]);
    }
    numbers.sort_unstable();
    numbers.dedup();
    let days: Vec<i32> =
        [i32::MIN, -106_751_992, -106_751_991, -1, 0, 18_224, 106_751_991, 106_751_992, i32::MAX].into();
    let wide = |numbers: &[i64]| numbers.iter().map(|&number| i128::from(number)).collect::<Vec<_>>();
    let whole_days: Vec<i64> = numbers.iter().map(|number| number / 86_400_000 * 86_400_000).collect();
    let columns: [(ArrayRef, Vec<i128>, i128, i128); 6] = [
        (Arc::new(TimestampSecondArray::from(numbers.clone())), wide(&numbers), 1_000_000, 1),
        (Arc::new(TimestampMillisecondArray::from(numbers.clone())), wide(&numbers), 1_000, 1),
        (Arc::new(TimestampMicrosecondArray::from(numbers.clone())), wide(&numbers), 1, 1),
        (Arc::new(TimestampNanosecondArray::from(numbers.clone())), wide(&numbers), 1, 1_000),
        (
            Arc::new(Date32Array::from(days.clone())),
            days.iter().map(|&day| i128::from(day)).collect(),
            86_400_000_000,
            1,
        ),
        (Arc::new(Date64Array::from(whole_days.clone())), wide(&whole_days), 1_000, 1),
    ];
    for (times, numbers, up, down) in columns {
        let data_type = times.data_type().clone();
        let right: Vec<i64> =
            numbers.iter().filter_map(|number| i64::try_from((number * up).div_euclid(down)).ok()).collect();
        let count = numbers.len();
        let ones: ArrayRef = Arc::new(Int64Array::from(vec![1; count]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"; count]));
        let mut tags = ListBuilder::new(StringBuilder::new());
        (0..count).for_each(|_| tags.append(true));
        let tags: ArrayRef = Arc::new(tags.finish());
        let columns =
            [("site", texts), ("tags", tags), ("creative", Arc::clone(&ones)), ("clicked", ones), ("ts", times)];
        let file = write_parquet(folder.0.path().join("times.parquet"), &columns);
        let options = with_time().with(|it| {
            it.any_time = true;
            it.max_bad_rows = u64::MAX;
        });
        let rows = read(&contract("", ""), &[file], options).unwrap();
        assert_eq!(rows.times_us, right, "{data_type}");
        assert_eq!(rows.bad_row_count, (count - right.len()) as u64, "{data_type}");
    }
}

#[test]
fn texts_that_may_also_be_a_category_stay_one_and_are_reported() {
    let folder = Folder::new();
    let missing = ["null", "Null", "None", "NaT", "#N/A", "(null)", "NaN", "nan"];
    let kept = ["NA", "N/A", "n/a", "nil", "undefined"];
    let others = ["none", "nation", "-", "(not set)", "N", "undefine", "na"];
    let texts: Vec<&str> = missing.iter().chain(&kept).chain(&others).copied().collect();
    let csv: String = texts.iter().map(|text| format!("{text},x,1,0\n")).collect();
    let csv = folder.file("log.csv", &format!("site,tags,creative,clicked\n{csv}"));
    let rows = read(&contract("", ""), &[csv], ReadOptions::default()).unwrap();
    let found: Vec<&String> = rows.texts[0].iter().flatten().collect();
    assert_eq!(found, kept.iter().chain(&others).copied().collect::<Vec<_>>());
    let is_kept = |warning: &&LogWarning| matches!(warning, LogWarning::KeptMissing { .. });
    assert_eq!(rows.warnings.iter().filter(is_kept).count(), kept.len());
    assert_eq!(rows.warnings.len(), missing.len() + kept.len());

    // JSON has a null of its own, so that every text is one.
    let json = texts.iter().map(|text| serde_json::json!({"site": text, "tags": [], "creative": 1, "clicked": 0}));
    let json: String = json.map(|row| format!("{row}\n")).collect();
    let json = folder.file("log.jsonl", &json);
    let rows = read(&contract("", ""), &[json], ReadOptions::default()).unwrap();
    assert_eq!(rows.texts[0].iter().flatten().collect::<Vec<_>>(), texts);
    assert_eq!(rows.warnings.iter().filter(is_kept).count(), missing.len() + kept.len());
}

#[test]
fn texts_of_other_tools_for_a_missing_value_are_guessed_in_csv_and_reported_or_stated() {
    let folder = Folder::new();
    let header = "site,tags,creative,clicked\n";
    let csv = folder.file("log.csv", &format!("{header}NULL,\\N,NaN,0\n\\N,a|NULL,7,1\nnull,,<NA>,0\n"));
    let rows = read(&contract("", ""), std::slice::from_ref(&csv), ReadOptions::default()).unwrap();
    let expected = [vec![vec![], vec![], vec![]], vec![vec![], vec!["a"], vec![]], vec![vec![], vec!["7"], vec![]]];
    assert_eq!(rows.texts, expected.map(|field| field.into_iter().map(owned).collect::<Vec<_>>()));
    let guessed = |column: &str, text| LogWarning::GuessedMissing { column: column.to_owned(), text, count: 1 };
    let expected = [
        guessed("site", "NULL"),
        guessed("site", "\\N"),
        guessed("site", "null"),
        guessed("tags", "NULL"),
        guessed("tags", "\\N"),
        guessed("creative", "NaN"),
        guessed("creative", "<NA>"),
    ];
    assert_eq!(rows.warnings, expected);

    // The list of the contract replaces the guess, in every format. A field may have a list of its own.
    let stated = contract("[reading]\nmissing = [\"null\", \"NaN\", \"<NA>\"]", "missing = [\"null\"]");
    let rows = read(&stated, &[csv], ReadOptions::default()).unwrap();
    assert_eq!(rows.texts[0], [vec!["NULL"], vec!["\\N"], vec![]].map(owned));
    assert_eq!(rows.texts[1], [vec!["\\N"], vec!["a", "NULL"], vec![]].map(owned));
    assert_eq!(rows.warnings, []);
    let json = folder.file("a.jsonl", r#"{"site":"null","tags":["a","NaN"],"creative":"<NA>","clicked":0}"#);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("site", Arc::new(StringArray::from(vec!["null"]))),
        ("tags", list_of(&["a", "NaN"])),
        ("creative", Arc::new(StringArray::from(vec!["<NA>"]))),
        ("clicked", Arc::new(Int64Array::from(vec![0]))),
    ];
    let parquet = write_parquet(folder.0.path().join("log.parquet"), &columns);
    for file in [json, parquet] {
        let rows = read(&stated, &[file], ReadOptions::default()).unwrap();
        assert_eq!(rows.texts, [[vec![]], [vec!["a"]], [vec![]]].map(|field| field.map(owned).to_vec()));
    }
    // Formats with a null of their own keep the text, and say so.
    let json = folder.file("b.jsonl", r#"{"site":"NULL","tags":["a"],"creative":1,"clicked":0}"#);
    let rows = read(&contract("", ""), &[json], ReadOptions::default()).unwrap();
    assert_eq!(rows.texts[0], [owned(vec!["NULL"])]);
    assert_eq!(rows.warnings, [LogWarning::KeptMissing { column: "site".to_owned(), text: "NULL" }]);
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

fn null_lists(row_count: usize) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    arrow_array::new_null_array(&DataType::List(item), row_count)
}

fn list_of(texts: &[&str]) -> ArrayRef {
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value(texts.iter().copied().map(Some));
    Arc::new(list.finish())
}

#[test]
fn lists_in_json_in_a_csv_cell_are_lists_and_other_lists_are_refused() {
    let folder = Folder::new();
    let csv = |cell: &str| folder.file("log.csv", &format!("site,tags,creative,clicked\na,\"{cell}\",1,0\n"));
    let rows = read(&contract("", ""), &[csv(r#"[""a"",""b""]"#)], ReadOptions::default()).unwrap();
    assert_eq!(rows.texts[1], [owned(vec!["a", "b"])]);
    assert_eq!(rows.warnings, [LogWarning::GuessedLists { column: "tags".to_owned(), count: 1 }]);
    for cell in ["['a', 'b']", "{a,b}", "[a, b]"] {
        let error = read(&contract("", ""), &[csv(cell)], ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("column `tags`: expected categories joined by `|` or a list in JSON"), "{error}");
        let separated = contract("[reading]\nlists = \"separated\"", "");
        let rows = read(&separated, &[csv(cell)], ReadOptions::default()).unwrap();
        assert_eq!(rows.texts[1], [owned(vec![cell])]);
    }
}

#[test]
fn columns_may_have_other_names_and_be_nested() {
    let folder = Folder::new();
    let odd = contract("[reading]\nlabel_column = \"is click\"", "column = \"サイト.名前\"");
    let csv = folder.file("log.csv", "サイト.名前,tags,creative,is click\na,,1,True\nb,,2.0,f\n");
    let json = folder.file(
        "log.jsonl",
        "{\"サイト\":{\"x\":{},\"名前\":\"a\"},\"tags\":[],\"creative\":\"1\",\"is click\":true}\n\
         {\"サイト.名前\":\"b\",\"tags\":[],\"creative\":2.0,\"is click\":\"0\"}\n",
    );
    let record = StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Int64, true)), Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        (Arc::new(Field::new("名前", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("サイト", Arc::new(record)),
        ("tags", null_lists(2)),
        ("creative", Arc::new(Int64Array::from(vec![1, 2]))),
        ("is click", Arc::new(arrow_array::BooleanArray::from(vec![true, false]))),
    ];
    let parquet = write_parquet(folder.0.path().join("log.parquet"), &columns);
    for file in [csv, json, parquet] {
        let rows = read(&odd, std::slice::from_ref(&file), ReadOptions::default()).unwrap();
        assert_eq!(rows.texts[0], [vec!["a"], vec!["b"]].map(owned), "{}", file.display());
        assert_eq!(rows.texts[2], [vec!["1"], vec!["2"]].map(owned));
        assert_eq!(rows.clicked, [true, false]);
    }
    let twice = r#"{"サイト":{"名前":"a"},"サイト.名前":"b","tags":[],"creative":1,"is click":1}"#;
    let error = read(&odd, &[folder.file("a.jsonl", twice)], ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("column `サイト.名前`: expected the key once, found it twice"), "{error}");
    let none = r#"{"サイト":{"name":"a"},"tags":[],"creative":1,"is click":1}"#;
    let error = read(&odd, &[folder.file("b.jsonl", none)], ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("the column `サイト.名前` is missing"), "{error}");
}

#[test]
fn a_null_record_has_null_members_at_any_depth() {
    let folder = Folder::new();
    let nested = contract("", "column = \"a.b.c\"");
    let inner = StructArray::from(vec![(
        Arc::new(Field::new("c", DataType::Utf8, false)),
        Arc::new(StringArray::from(vec!["x", "y", "z"])) as ArrayRef,
    )]);
    let outer = StructArray::new(
        vec![Field::new("b", inner.data_type().clone(), false)].into(),
        vec![Arc::new(inner)],
        Some(vec![true, false, true].into()),
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(outer)),
        ("tags", null_lists(3)),
        ("creative", Arc::new(Int64Array::from(vec![1; 3]))),
        ("clicked", Arc::new(Int64Array::from(vec![0; 3]))),
    ];
    let parquet = write_parquet(folder.0.path().join("log.parquet"), &columns);
    let rows = read(&nested, &[parquet], ReadOptions::default()).unwrap();
    assert_eq!(rows.texts[0], [vec!["x"], vec![], vec!["z"]].map(owned));
    let json = folder.file(
        "log.jsonl",
        "{\"a\":{\"b\":{\"c\":\"x\"}},\"tags\":[],\"creative\":1,\"clicked\":0}\n\
         {\"a\":null,\"tags\":[],\"creative\":1,\"clicked\":0}\n\
         {\"a\":{\"b.c\":\"z\"},\"tags\":[],\"creative\":1,\"clicked\":0}\n",
    );
    assert_eq!(read(&nested, &[json], ReadOptions::default()).unwrap().texts[0], rows.texts[0]);
}

#[test]
fn texts_are_normalized_to_nfc_where_the_contract_says_so() {
    let folder = Folder::new();
    let csv = folder.file("log.csv", "site,tags,creative,clicked\nカ\u{3099},カ\u{3099},1,0\nガ,,1,0\n");
    let nfc = read(&contract("", "normalize = \"nfc\""), std::slice::from_ref(&csv), ReadOptions::default()).unwrap();
    assert_eq!(nfc.texts[0], [vec!["ガ"], vec!["ガ"]].map(owned));
    assert_eq!(nfc.texts[1][0], ["カ\u{3099}"]);
    let plain = read(&contract("", ""), &[csv], ReadOptions::default()).unwrap();
    assert_eq!(plain.texts[0], [vec!["カ\u{3099}"], vec!["ガ"]].map(owned));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("site", Arc::new(StringArray::from(vec!["カ\u{3099}", "ガ", "カ\u{3099}"]))),
        ("tags", null_lists(3)),
        ("creative", Arc::new(Int64Array::from(vec![1; 3]))),
        ("clicked", Arc::new(Int64Array::from(vec![0; 3]))),
    ];
    let parquet = write_parquet(folder.0.path().join("log.parquet"), &columns);
    let nfc = read(&contract("", "normalize = \"nfc\""), &[parquet], ReadOptions::default()).unwrap();
    assert_eq!(nfc.texts[0], [vec!["ガ"], vec!["ガ"], vec!["ガ"]].map(owned));
}

#[test]
fn field_that_vanishes_in_a_later_file_is_reported_with_the_file() {
    let folder = Folder::new();
    let rows = |key: &str| format!("{{\"{key}\":\"a\",\"tags\":[\"x\"],\"creative\":1,\"clicked\":0}}\n").repeat(3);
    let files = [folder.file("a.jsonl", &rows("site")), folder.file("b.jsonl", &rows("sitee"))];
    let warnings = read(&contract("", ""), &files, ReadOptions::default()).unwrap().warnings;
    let [LogWarning::MissingRateJumps { column, file, rate_before, rate }] = warnings.as_slice() else {
        panic!("{warnings:?}");
    };
    assert_eq!((column.as_str(), file, *rate_before, *rate), ("site", &files[1], 0.0, 1.0));
    let files = [folder.file("a.jsonl", &rows("site")), folder.file("b.jsonl", &rows("site"))];
    assert_eq!(read(&contract("", ""), &files, ReadOptions::default()).unwrap().warnings, []);
}

#[test]
fn a_field_that_ends_within_one_file_is_reported() {
    let folder = Folder::new();
    let line = |row| {
        let key = if row < 300 { "site" } else { "site_id" };
        format!("{{\"{key}\":\"a\",\"tags\":[\"b\"],\"creative\":1,\"clicked\":0}}\n")
    };
    let file = folder.file("log.jsonl", &(0..500).map(line).collect::<String>());
    for batch_row_count in [1, 100, 8_192] {
        let options = ReadOptions::default().with(|it| it.batch_row_count = batch_row_count);
        let rows = read(&contract("", ""), std::slice::from_ref(&file), options).unwrap();
        let expected =
            LogWarning::FieldEnds { column: "site".to_owned(), file: file.clone(), row: 300, row_count: 500 };
        assert_eq!(rows.warnings, [expected], "{batch_row_count}");
    }
}
