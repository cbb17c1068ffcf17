use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeBinaryArray, Float64Array,
    Int64Array, ListArray, RecordBatch, StringArray, Time64MicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::*;
use crate::learn::fill_quantiles;
use crate::toml::parse_contract;
use omomi::contract::Contract;

/// No column of the log but the one that copies it tells the label.
fn is_clicked(row: u64) -> bool {
    xxhash_rust::xxh3::xxh3_64(&row.to_le_bytes()) % 10 == 3
}

/// A log with a column of every kind that a draft tells apart.
fn log() -> String {
    let mut text = "時刻,clicked,user id,creative_id,price,tags,constant,row_id,bought,note,empty\n".to_owned();
    for row in 0_u64..2_000 {
        let clicked = is_clicked(row);
        let price = (row * 7919 % 1_000) as f64 / 8.0;
        text.push_str(&format!(
            "2026-01-01 00:{:02}:00,{},{},{},{price},{},1,r{row},{},{},\n",
            row % 60,
            u8::from(clicked),
            row % 300,
            row * 31 % 40,
            if row.is_multiple_of(3) { "a|b" } else { "b" },
            u8::from(clicked),
            if row.is_multiple_of(4) { "" } else { ["x", "y"][(row % 2) as usize] },
        ));
    }
    text
}

fn draft(name: &str, log: &str, label: &str) -> Result<Draft, DraftError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, log).unwrap();
    draft_of(&path, label)
}

fn draft_of(path: &Path, label: &str) -> Result<Draft, DraftError> {
    draft_contract(&DraftOptions::new([path.display().to_string()], label), &mut |_| ())
}

/// Fills in a draft of the logs at `path` as a person and `contract quantiles` do, and reads the logs with it as
/// training does. Returns the contract.
fn trained(draft: &Draft, path: &Path) -> Contract {
    let text = filled(&draft.text);
    let logs = [path.display().to_string()];
    let text = fill_quantiles(&text, &logs, ReadOptions::default(), &mut |_| ());
    let text = text.unwrap_or_else(|error| panic!("{error}\n{}", draft.text));
    let contract = parse_contract(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let reader = LogReader::open(&contract, &logs, ReadOptions::default());
    let mut reader = reader.unwrap_or_else(|error| panic!("{error}\n{text}"));
    while reader.next_batch().unwrap_or_else(|error| panic!("{error}\n{text}")).is_some() {}
    assert_eq!(reader.bad_row_count(), 0);
    let missing = reader.missing();
    for (field, count) in contract.fields().iter().zip(&missing.missing_counts) {
        assert!(*count < missing.row_count, "`{}` has no value\n{text}", field.name);
    }
    contract
}

/// Writes a CSV log with one column besides the label, drafts a contract, and reads the log with it. Returns the type
/// of the field, `many` and the texts that mean missing, or why it was left out; the missing rate; and the draft.
fn drafted(column: &str, cell: impl Fn(u64) -> String) -> (String, u64, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let mut log = format!("clicked,site,{column}\n");
    for row in 0..3_000 {
        log.push_str(&format!("{},{},\"{}\"\n", u8::from(is_clicked(row)), row % 7, cell(row).replace('"', "\"\"")));
    }
    std::fs::write(&path, log).unwrap();
    let draft = draft_of(&path, "clicked").unwrap();
    trained(&draft, &path);
    let (facts, guess) = draft.columns.iter().find(|(facts, _)| facts.name == column).unwrap();
    (word_of(guess), facts.missing_count, draft.text.clone())
}

fn word_of(guess: &Guess) -> String {
    match guess {
        Guess::Left(suspicion) => format!("left: {suspicion}"),
        Guess::Field(field) => {
            let kind = match field.kind {
                GuessedKind::Id => "id",
                GuessedKind::Text => "text",
                GuessedKind::Number { .. } => "number",
            };
            let many = if field.many { ", many" } else { "" };
            let missing = if field.missing.is_empty() { String::new() } else { format!(", {:?}", field.missing) };
            format!("{kind}{many}{missing}")
        }
    }
}

fn filled(text: &str) -> String {
    text.replace("meaning = \"\"", "meaning = \"something\"").replace("unit = \"\"", "unit = \"yen\"")
}

#[test]
fn a_draft_passes_the_check_once_its_meanings_are_filled_in() {
    let draft = draft("log.csv", &log(), "clicked").unwrap();
    let clicks = (0..2_000).filter(|&row| is_clicked(row)).count() as u64;
    assert_eq!((draft.row_count, draft.click_count), (2_000, clicks));
    assert!(parse_contract(&draft.text).is_err(), "a draft says what people must fill in");
    let text = filled(&draft.text).replace("{ quantiles = 16 }", "[10.0]");
    let contract = parse_contract(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let fields: Vec<String> = contract
        .fields()
        .iter()
        .map(|field| format!("{} {} {} {}", field.name, field.side.word(), field.kind.word(), field.many))
        .collect();
    let expected = [
        "user_id context an id false",
        "creative_id candidate an id false",
        "price context a number false",
        "tags context a text true",
        "note context a text false",
    ];
    let words = |text: &str| text.replace("an id", "id").replace("a number", "number").replace("a text", "text");
    let fields: Vec<String> = fields.iter().map(|field| words(field)).collect();
    assert_eq!(fields, expected.map(words), "{text}");
    assert_eq!(contract.field_column(0), "user id");
}

#[test]
fn suspicious_columns_are_left_out_with_the_reason() {
    let draft = draft("log.csv", &log(), "clicked").unwrap();
    let left = |name: &str| match draft.columns.iter().find(|(facts, _)| facts.name == name) {
        Some((_, Guess::Left(suspicion))) => suspicion.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(left("時刻"), Suspicion::Time);
    assert_eq!(left("constant"), Suspicion::Constant);
    assert_eq!(left("row_id"), Suspicion::OneValuePerRow);
    assert_eq!(left("empty"), Suspicion::Empty);
    assert!(matches!(left("bought"), Suspicion::Leak { explained } if explained > 0.9));
    assert!(draft.text.contains("#   bought: it tells 9"), "{}", draft.text);
}

#[test]
fn labels_in_words_are_guessed_and_no_label_is_an_error() {
    let text = "answer,site\n".to_owned() + &"no,1\nno,2\nyes,1\n".repeat(100);
    let words = draft("log.csv", &text, "answer").unwrap();
    assert!(words.text.contains("clicked = [\"yes\"]") && words.text.contains("not_clicked = [\"no\"]"));
    assert_eq!(words.click_count, 100);
    let contract = parse_contract(&filled(&words.text)).unwrap();
    assert_eq!(contract.label(), "answer");
    for (text, label, expected) in [
        ("a,b\n1,2\n", "clicked", "found the columns a, b"),
        ("a,b\n1,2\n", "a", "expected two values in the label column `a`, found `1`"),
        ("a,b\n1,2\n2,2\n3,2\n4,2\n5,2\n", "a", "found `1`, `2`, `3`, `4` and more"),
    ] {
        let error = draft("log.csv", text, label).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn lists_and_nested_keys_of_json_become_fields() {
    let line = |row: usize| {
        let (clicked, site) = (row.is_multiple_of(5), row % 7);
        format!(
            r#"{{"clicked":{clicked},"user":{{"site":{site},"tags":["t{site}","u"]}},"ids":[{site},{row}],"m":[{{}}]}}"#
        )
    };
    let text: String = (0..500).map(|row| line(row) + "\n").collect();
    let draft = draft("log.jsonl", &text, "clicked").unwrap();
    let contract = parse_contract(&filled(&draft.text)).unwrap_or_else(|faults| panic!("{faults}\n{}", draft.text));
    let columns: Vec<(&str, bool)> = (0..contract.fields().len())
        .map(|index| (contract.field_column(index), contract.fields()[index].many))
        .collect();
    assert_eq!(columns, [("ids", true), ("user.site", false), ("user.tags", true)], "{}", draft.text);
    assert!(draft.text.contains("#   m: no field can read its values"));
}

#[test]
fn what_training_reads_as_missing_is_missing_in_a_draft() {
    let often = |missing: &'static str, value: fn(u64) -> String| {
        move |row: u64| if row % 5 < 2 { missing.to_owned() } else { value(row) }
    };
    let number: fn(u64) -> String = |row| format!("{}.25", row % 97);
    for missing in ["NULL", "\\N", "NaN", "nan", "<NA>", "null", "Null", "None", "NaT", "#N/A", "(null)", ""] {
        let (id, count, text) = drafted("region", often(missing, |row| (row % 40).to_string()));
        assert_eq!((id.as_str(), count), ("id", 1_200), "{missing}");
        assert!(text.contains("40 % missing"), "{text}");
        let (kind, count, _) = drafted("x", often(missing, number));
        assert_eq!((kind.as_str(), count), ("number", 1_200), "{missing}");
        let (kind, count, _) = drafted("x", often(missing, |_| "same".to_owned()));
        assert_eq!((kind.as_str(), count), ("text", 1_200), "{missing}: like a constant with empty cells");
        assert_eq!(drafted("x", |_| missing.to_owned()).0, "left: no row has a value", "{missing}");
    }
    let (_, _, text) = drafted("region", often("\\N", |row| (row % 40).to_string()));
    assert!(text.contains(r#"# 24 different values, 40 % missing (also written "\\N"), such as"#), "{text}");
}

#[test]
fn odd_texts_are_named_as_missing_if_they_are_few() {
    let with = |count: u64, odd: &'static str| {
        move |row: u64| if row % 3_000 < count { odd.to_owned() } else { (row % 30).to_string() }
    };
    for (cell_count, odd, expected) in [
        (30, "n/a", r#"id, ["n/a"]"#),
        (1_500, "n/a", r#"id, ["n/a"]"#),
        (30, "-", r#"id, ["-"]"#),
        (30, "a\"b\\ \u{7f}", "id, [\"a\\\"b\\\\ \\u{7f}\"]"),
        (300, "-", "text"),
        (3, "2.5", "number"),
        (3, "12345678901234567890123", "text"),
    ] {
        let (kind, _, text) = drafted("seg", with(cell_count, odd));
        assert_eq!(kind, expected, "{text}");
    }
    let (_, _, text) = drafted("seg", with(30, "n/a"));
    assert!(text.contains("# 30 of 3,000 values are no integers: \"n/a\"\n[[field]]"), "{text}");
    let (_, _, text) = drafted("seg", with(300, "-"));
    assert!(text.contains("# 300 of 3,000 values are no numbers: \"-\"\n[[field]]"), "{text}");
    // A list in the contract replaces what is read as missing without one.
    let both = |row: u64| match row % 100 {
        0 => "n/a".to_owned(),
        1 => "NULL".to_owned(),
        _ => (row % 30).to_string(),
    };
    assert_eq!(drafted("seg", both).0, r#"id, ["n/a", "NULL"]"#);
    let many_odd = |row: u64| if row.is_multiple_of(150) { format!("x{row}") } else { (row % 30).to_string() };
    assert_eq!(drafted("seg", many_odd).0, "text", "more odd texts than a list should have");
}

#[test]
fn whole_numbers_are_ids_in_every_notation() {
    for cell in
        [|row: u64| format!("{}.0", row % 700), |row| format!("{}", row % 700), |row| format!("-{}.00", row % 9)]
    {
        assert_eq!(drafted("user_id", cell).0, "id");
    }
    assert_eq!(drafted("price", |row| format!("{}.0", row % 700)).0, "number", "a quantity by its name");
    let long = |row: u64| format!("{}", 10_u128.pow(24) + u128::from(row % 9));
    let (kind, _, text) = drafted("price", long);
    assert_eq!(kind, "text");
    assert!(text.contains("# 3,000 values are integers of more than 64 bits"), "{text}");
    assert_eq!(drafted("x", |row| format!("{}", u64::MAX - row % 9)).0, "id");
    assert_eq!(drafted("x", |row| if row.is_multiple_of(2) { "2.50" } else { "" }.to_owned()).0, "text", "one number");
    assert_eq!(drafted("x", |row| if row % 9 < 1 { "inf".to_owned() } else { format!("{row}.5") }).0, "number");
    assert_eq!(drafted("x", |row| if row % 9 < 5 { "-1.7e308" } else { "1.79e308" }.to_owned()).0, "number");
    assert_eq!(drafted("x", |row| if row % 9 < 5 { "5e-324" } else { "1e-323" }.to_owned()).0, "number");
}

#[test]
fn lists_in_cells_of_csv_are_lists() {
    let letter = |number: u64| ["a", "b", "c"][(number % 3) as usize];
    let list = |row: u64| format!(r#"["{}","{}"]"#, letter(row), letter(row / 3));
    assert_eq!(drafted("tags", list).0, "text, many");
    assert_eq!(drafted("tags", |row| format!("[{},{row}]", row % 5)).0, "id, many");
    let some = |row: u64| if row % 5 < 1 { "[]".to_owned() } else { list(row) };
    let (kind, missing, text) = drafted("tags", some);
    assert_eq!((kind.as_str(), missing), ("text, many", 600));
    assert!(text.contains("# 3 different values, 20 % missing, such as"), "{text}");
    assert_eq!(drafted("tags", |row| if row % 9 < 3 { letter(row).to_owned() } else { list(row) }).0, "text, many");
    let broken = |row: u64| if row == 2_000 { "[a".to_owned() + "]" } else { list(row) };
    let (kind, _, text) = drafted("tags", broken);
    assert_eq!(kind, "text");
    assert!(text.contains("# row 2001: expected categories joined by `|` or a list in JSON"), "{text}");
    assert_eq!(drafted("tags", |row| format!("[{}.5]", row % 5)).0, "text", "no field reads lists of fractions");
}

#[test]
fn columns_that_no_field_can_read_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.parquet");
    let rows = 0..1_000_u32;
    let doubles =
        |value: fn(u32) -> Option<f64>| Arc::new(rows.clone().map(value).collect::<Float64Array>()) as ArrayRef;
    let strings =
        |value: fn(u32) -> Option<String>| Arc::new(rows.clone().map(value).collect::<StringArray>()) as ArrayRef;
    let lists = |value: fn(u32) -> Option<Vec<Option<i64>>>| -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>(rows.clone().map(value)))
    };
    let texts: Vec<String> = rows.clone().map(|row| format!("t{}", row % 5)).collect();
    let keys: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
    let utf8: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    let fixed = FixedSizeBinaryArray::try_from_iter(rows.clone().map(|row| (row % 9).to_le_bytes())).unwrap();
    let other_bytes = rows.clone().map(|row| Some([0xff, 0xfe, (row % 9) as u8]));
    let decimals = Decimal128Array::from_iter_values(rows.clone().map(|row| i128::from(row % 9) * 100));
    let clicks = rows.clone().map(|row| i64::from(is_clicked(u64::from(row))));
    let whole = |row: u32| (!row.is_multiple_of(3)).then_some(f64::from(row % 70));
    let nan = |row: u32| Some(if row.is_multiple_of(3) { f64::NAN } else { f64::from(row % 70) });
    let columns: Vec<(&str, ArrayRef, &str)> = vec![
        ("clicked", Arc::new(clicks.collect::<Int64Array>()), ""),
        ("user_id", doubles(whole), "id"),
        ("nan_id", doubles(nan), "number"),
        ("nan_only", doubles(|row| Some(if row.is_multiple_of(3) { f64::NAN } else { 2.5 })), "left"),
        ("score", doubles(|row| Some(f64::from(row % 70) / 4.0)), "number"),
        ("tags", Arc::new(keys), "text"),
        ("old", Arc::new(BinaryArray::from_vec(utf8)), "text"),
        ("blob", Arc::new(other_bytes.collect::<BinaryArray>()), "gone"),
        ("fixed", Arc::new(fixed), "gone"),
        ("flag", Arc::new(rows.clone().map(|row| Some(row % 3 < 1)).collect::<BooleanArray>()), "text"),
        ("rate", Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()), "id"),
        (
            "noon",
            Arc::new(Time64MicrosecondArray::from_iter_values(rows.clone().map(|row| i64::from(row % 9)))),
            "left",
        ),
        ("joined", strings(|row| Some(format!("a|{}", row % 9))), "text"),
        ("json", strings(|row| Some(format!("[{}]", row % 9))), "text"),
        (
            "null",
            strings(|row| Some(if row % 3 < 1 { "NULL".to_owned() } else { (row % 9).to_string() })),
            "id, [\"NULL\"]",
        ),
        ("blank", strings(|row| Some(if row % 3 < 1 { String::new() } else { (row % 9).to_string() })), "id, [\"\"]"),
        ("ids", lists(|row| (row % 4 > 0).then(|| vec![Some(i64::from(row % 9)), None])), "id, many"),
    ];
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, array, _)| (*name, Arc::clone(array)))).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let draft = draft_of(&path, "clicked").unwrap();
    let contract = trained(&draft, &path);
    assert_eq!(contract.label(), "clicked");
    for (name, _, expected) in &columns[1..] {
        let found = draft.columns.iter().find(|(facts, _)| facts.name == *name);
        let word = found.map_or("gone".to_owned(), |(_, guess)| word_of(guess));
        let word = if word.starts_with("left") { "left" } else { &word };
        assert_eq!(word, *expected, "{name}\n{}", draft.text);
    }
    assert!(draft.text.contains("#   blob: no field can read its values: row 1: expected UTF-8"), "{}", draft.text);
    assert!(draft.text.contains("#   fixed: no field can read its values: expected text, numbers"), "{}", draft.text);
}

#[test]
fn columns_that_only_some_files_have_or_that_have_no_name_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (long, longest) = ("x".repeat(257), "y".repeat(256));
    for (file, column) in [("a", "here"), ("b", "there")] {
        let mut log = format!("clicked,site,,{long},{longest},{column}\n");
        for row in 0..500 {
            log.push_str(&format!(
                "{},{},{},{},{},1{}\n",
                u8::from(is_clicked(row)),
                row % 5,
                row % 6,
                row % 7,
                row % 8,
                row % 9
            ));
        }
        std::fs::write(folder.path().join(file).with_extension("csv"), log).unwrap();
    }
    let draft = draft_of(folder.path(), "clicked").unwrap();
    let contract = trained(&draft, folder.path());
    let columns: Vec<&str> = (0..contract.fields().len()).map(|index| contract.field_column(index)).collect();
    assert_eq!(columns, ["site", &longest], "{}", draft.text);
    for name in ["here", "there"] {
        assert!(draft.text.contains(&format!("#   {name}: no field can read its values: the file ")), "{}", draft.text);
    }
    assert_eq!(draft.text.matches("a contract names columns with 1 to 256 bytes").count(), 2, "{}", draft.text);
}

#[test]
fn rows_that_may_be_bad_cost_no_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let mut log = b"clicked,site,name\n".to_vec();
    for row in 0..500_u64 {
        log.extend(format!("{},{},", u8::from(is_clicked(row)), row % 5).into_bytes());
        log.extend(if row % 200 == 7 { b"\xff\n" } else { b"a\n" as &[u8] });
        log.extend(format!("{},{},b\n", u8::from(is_clicked(row + 1)), row % 5).into_bytes());
    }
    std::fs::write(&path, log).unwrap();
    for (max_bad_rows, has_name) in [(2, false), (3, true)] {
        let options = DraftOptions::new([path.display().to_string()], "clicked");
        let options = options.with(|it| it.read.max_bad_rows = max_bad_rows);
        let draft = draft_contract(&options, &mut |_| ()).unwrap();
        assert_eq!(draft.text.contains("name = \"name\""), has_name, "{}", draft.text);
    }
}

#[test]
fn fields_over_the_limit_are_comments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let names: Vec<String> = (0..70).map(|number| format!("c{number}")).collect();
    let mut log = format!("clicked,ad_id,{}\n", names.join(","));
    for row in 0..300_u64 {
        let cells: Vec<String> = (0..70).map(|column| (row * 7919 % (column + 2)).to_string()).collect();
        log.push_str(&format!("{},{},{}\n", u8::from(is_clicked(row)), row % 5, cells.join(",")));
    }
    std::fs::write(&path, log).unwrap();
    let draft = draft_of(&path, "clicked").unwrap();
    assert_eq!(trained(&draft, &path).fields().len(), MAX_FIELDS_PER_SIDE + 1);
    assert!(draft.text.contains("# A contract has at most 64 fields of each side."), "{}", draft.text);
    assert!(draft.text.contains("# [[field]]\n# name = \"c64\"\n"), "{}", draft.text);
    let (before, surplus) = draft.text.split_once("delete another field.\n").unwrap();
    // A person may take a comment for another field.
    let first = before.find("\n[[field]]\nname = \"c0\"").unwrap();
    let second = before.find("\n[[field]]\nname = \"c1\"").unwrap();
    let used = surplus.split("#\n").nth(1).unwrap().lines().map(|line| line.strip_prefix("# ").unwrap());
    let used: Vec<&str> = used.collect();
    let text = filled(&format!("{}{}\n{}\n", &before[..first], &before[second..], used.join("\n")));
    let contract = parse_contract(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    assert!(contract.fields().iter().any(|field| field.name == "c64"), "{text}");
}

#[test]
fn labels_in_words_keep_what_training_reads_anyway() {
    let text = "answer,site\n".to_owned() + &"-1,1\n1,2\n1,1\n".repeat(100);
    let words = draft("log.csv", &text, "answer").unwrap();
    assert_eq!(words.click_count, 200, "1 is a click, although it is not rare");
}

/// Cells of messy logs: each kind of value that a column may have.
const KINDS: [fn(u64) -> Vec<u8>; 28] = [
    |_| b"".to_vec(),
    |number| (number % 50).to_string().into(),
    |number| (number % 9).to_string().into(),
    |number| format!("{}.0", number % 50).into(),
    |number| format!("{}.25", number % 50).into(),
    |number| number.to_string().into(),
    |number| (u128::from(number) << 30).to_string().into(),
    |number| format!("{:03}", number % 50).into(),
    |number| format!("{}e30", number % 50).into(),
    |number| ["NULL", "\\N", "null", "None", "NaN"][(number % 5) as usize].into(),
    |_| b"n/a".to_vec(),
    |number| ["NA", "nil", "undefined", "-"][(number % 4) as usize].into(),
    |number| format!("word{}", number % 20).into(),
    |number| format!("key{number}").into(),
    |number| format!("a|b{}", number % 5).into(),
    |number| format!("{}|{}", number % 5, number % 7).into(),
    |number| format!("[\"a\",\"b{}\"]", number % 5).into(),
    |number| format!("[{},2]", number % 5).into(),
    |number| format!("[{}.5,null]", number % 5).into(),
    |_| b"[1,\"a\"]".to_vec(),
    |_| b"[]".to_vec(),
    |_| b"[sale]".to_vec(),
    |_| b"{\"a\":[1,2]}".to_vec(),
    |number| ["true", "false", "t"][(number % 3) as usize].into(),
    |number| ["inf", "-Infinity", "nan"][(number % 3) as usize].into(),
    |number| format!("2026-01-{:02} 00:00:00", number % 28 + 1).into(),
    |_| " 5\n\"".into(),
    |_| vec![0xff, b'a'],
];

/// Writes a log of `row_count` rows. A column has values of some kinds, each with its weight.
fn write_messy(folder: &Path, format: usize, columns: &[Vec<(usize, u32)>], row_count: u64) -> std::path::PathBuf {
    let cell = |row: u64, column: usize| {
        let hash = |salt: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&row.to_le_bytes(), column as u64 * 2 + salt);
        let total: u64 = columns[column].iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut place = hash(0) % total;
        let kind = columns[column].iter().find(|(_, weight)| {
            let is_here = place < u64::from(*weight);
            place = place.saturating_sub(u64::from(*weight));
            is_here
        });
        KINDS[kind.unwrap_or(&columns[column][0]).0](hash(1) >> 1)
    };
    let mut text = Vec::new();
    if format == 2 {
        let path = folder.join("log.parquet");
        let clicks: Int64Array = (0..row_count).map(|row| Some(i64::from(is_clicked(row)))).collect();
        let sites: Int64Array = (0..row_count).map(|row| Some((row % 7) as i64)).collect();
        let mut arrays: Vec<(String, ArrayRef)> =
            vec![("clicked".to_owned(), Arc::new(clicks)), ("site".to_owned(), Arc::new(sites))];
        for column in 0..columns.len() {
            let cells: Vec<Vec<u8>> = (0..row_count).map(|row| cell(row, column)).collect();
            let texts: Option<StringArray> = cells
                .iter()
                .map(|cell| std::str::from_utf8(cell).ok().map(Some))
                .collect::<Option<Vec<_>>>()
                .map(StringArray::from);
            let array: ArrayRef = match texts {
                Some(texts) => Arc::new(texts),
                None => Arc::new(cells.iter().map(|cell| Some(cell.as_slice())).collect::<BinaryArray>()),
            };
            arrays.push((format!("c{column}"), array));
        }
        let batch = RecordBatch::try_from_iter(arrays).unwrap();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        return path;
    }
    let path = folder.join(["log.csv", "log.jsonl"][format]);
    if format == 0 {
        let names: Vec<String> = (0..columns.len()).map(|column| format!(",c{column}")).collect();
        text.extend(format!("clicked,site{}\n", names.concat()).into_bytes());
    }
    for row in 0..row_count {
        if format == 0 {
            text.extend(format!("{},{}", u8::from(is_clicked(row)), row % 7).into_bytes());
            for column in 0..columns.len() {
                text.extend(b",\"");
                text.extend(
                    cell(row, column)
                        .iter()
                        .flat_map(|&byte| [byte, byte].into_iter().take(1 + usize::from(byte == b'"'))),
                );
                text.push(b'"');
            }
        } else {
            text.extend(format!("{{\"clicked\":{},\"site\":{}", u8::from(is_clicked(row)), row % 7).into_bytes());
            for column in 0..columns.len() {
                let cell = cell(row, column);
                // Numbers, lists and so on are typed where JSON has such a type.
                let value: serde_json::Value = serde_json::from_slice(&cell)
                    .unwrap_or_else(|_| String::from_utf8_lossy(&cell).into_owned().into());
                text.extend(format!(",\"c{column}\":{value}").into_bytes());
            }
            text.push(b'}');
        }
        text.push(b'\n');
    }
    std::fs::write(&path, text).unwrap();
    path
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_draft_of_messy_logs_trains_on_them_without_a_bad_row(
        format in 0..3_usize,
        columns in prop::collection::vec(
            prop::collection::vec((0..KINDS.len(), prop::sample::select(vec![1_u32, 4, 400, 400])), 1..4),
            1..6,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = write_messy(folder.path(), format, &columns, 600);
        let draft = draft_of(&path, "clicked").unwrap();
        trained(&draft, &path);
        for column in 0..columns.len() {
            prop_assert!(draft.text.contains(&format!("c{column}")), "a column is a field or named as left out");
        }
    }
}
