//! Text of Vowpal Wabbit: its namespaces and `field=category` features are read as the columns of the contract.

use std::fs;
use std::path::Path;

use omomi::contract::Contract;
use omomi_train::log::{HoldOut, KeptRows, LogError, LogReader, ReadOptions, RowBatch};

const CONTRACT: &str = r#"
name = "small"
label = "clicked"

[[field]]
name = "site"
side = "context"
type = "id"
meaning = "where the slot is"

[[field]]
name = "price"
side = "context"
type = "number"
unit = "JPY"
range = [0.0, 100.0]
buckets = [10.0, 50.0]
meaning = "floor price"

[[field]]
name = "ad"
side = "candidate"
type = "text"
many = true
meaning = "what is shown"
"#;

fn contract() -> Contract {
    omomi_train::toml::parse_contract(CONTRACT).unwrap()
}

fn open(folder: &Path, name: &str, text: &str, options: ReadOptions) -> Result<LogReader, LogError> {
    fs::write(folder.join(name), text).unwrap();
    LogReader::open(&contract(), &[folder.join(name).display().to_string()], options)
}

fn all(reader: &mut LogReader) -> Result<RowBatch, LogError> {
    let batch = reader.next_batch()?.unwrap_or_default();
    reader.next_batch()?;
    Ok(batch)
}

/// The label, the importance, the tag, and the values of all fields of each row.
fn shown(batch: &RowBatch) -> Vec<String> {
    let row = |row: usize| {
        let values = batch.columns.iter().map(|column| format!("{:?}", &column.values[column.range(row)]));
        let importance = batch.importance.as_ref().map(|importance| importance[row]);
        let (clicked, tag) = (batch.clicked[row], batch.extra[0].text(row));
        format!("{clicked} {importance:?} {tag:?} {}", values.collect::<Vec<_>>().join(" "))
    };
    (0..batch.row_count()).map(row).collect()
}

#[test]
fn namespaces_and_named_features_are_the_columns_of_a_csv_log() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions::default().with(|it| {
        it.importance_column = Some("stands_for".to_owned());
        it.extra_columns = vec!["tag".to_owned()];
    });
    let csv = "clicked,stands_for,tag,site,price,ad\n\
               1,1,a,3,12.5,red|blue\n\
               0,10,b,-7,0,\n\
               0,2.5,c,,,x\n\
               1,1,,18446744073709551615,99,旅行\n\
               0,1,,,,\n";
    // Namespaces in any order, twice, with a value of 1 or a factor of 1; and others, with values, that nobody wants.
    let text = "1 1 a|site 3 |price p:12.5 |ad red blue:1\n\
                -1 10 b|price 0 |other x:0.5 y |site:1 -7\n\
                0 2.5 0 'c |ad x\n\
                \n\
                1.0 | site=18446744073709551615 price=99 |more color=red |ad 旅行\r\n\
                -1 |\n";
    let mut expected = open(folder.path(), "log.csv", csv, options.clone()).unwrap();
    let expected = shown(&all(&mut expected).unwrap());
    for (name, text) in [("log.vw", text.to_owned()), ("bom.vw", format!("\u{feff}{}", text.trim_end()))] {
        let mut reader = open(folder.path(), name, &text, options.clone()).unwrap();
        assert_eq!(shown(&all(&mut reader).unwrap()), expected, "{name}");
        assert_eq!((reader.rows_read(), reader.files()[0].row_count), (5, Some(5)));
    }
    let compressed = zstd::bulk::compress(text.as_bytes(), 1).unwrap();
    fs::write(folder.path().join("log.vw.zst"), compressed).unwrap();
    let path = folder.path().join("log.vw.zst").display().to_string();
    let mut reader = LogReader::open(&contract(), &[path], options).unwrap();
    assert_eq!(shown(&all(&mut reader).unwrap()), expected);
}

#[test]
fn lines_that_a_model_of_categories_cannot_learn_are_bad_rows_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [
        ("2 |site 3", "expected a label of 0 or 1, found `2`"),
        ("|site 3", "expected a label of 0 or 1, found nothing"),
        // Without a space, it is a tag, for Vowpal Wabbit too.
        ("1|site 3", "expected a label of 0 or 1, found nothing"),
        ("1 site=3", "expected a label and namespaces that begin with `|`"),
        ("1 |site three", "`three`"),
        ("1 |site 3 4", "expected one feature in the row"),
        ("1 |site 3 |site 4", "expected one feature in the row"),
        ("1 |ad red:0.5", "expected a category without a value, found `red:0.5`"),
        ("1 |ad:2 red", "expected a namespace without a factor"),
        ("1 |price p:cheap", "`cheap`"),
        ("1 10 |site 3", "--importance-column with any name reads it"),
        ("1 1 0.5 |site 3", "expected no start value"),
        ("0:1:0.5 |site 3", "expected a label of 0 or 1"),
    ];
    let good = "1 |site 3 |price 1 |ad x\n";
    for (line, expected) in bad {
        let text = format!("{good}{line}\n{good}");
        let mut reader = open(folder.path(), "log.vw", &text, ReadOptions::default()).unwrap();
        let error = all(&mut reader).unwrap_err().to_string();
        assert!(error.contains("log.vw: row 2") && error.contains(expected), "{line}\n{error}");
        let skip = ReadOptions::default().with(|it| it.max_bad_rows = 1);
        let mut reader = open(folder.path(), "log.vw", &text, skip).unwrap();
        assert_eq!((all(&mut reader).unwrap().row_count(), reader.bad_row_count()), (2, 1), "{line}");
    }
    let unweighted = ReadOptions::default().with(|it| it.unweighted = true);
    let mut reader = open(folder.path(), "log.vw", &format!("{good}-1 10 |site 3\n"), unweighted).unwrap();
    assert_eq!(all(&mut reader).unwrap().row_count(), 2);
    // A log that is only scored needs no label.
    fs::write(folder.path().join("log.vw"), "| site=3 ad=x price=1\n1 10 | site=4\n").unwrap();
    let path = folder.path().join("log.vw").display().to_string();
    let mut reader = LogReader::open_unlabeled(&contract(), &[path], ReadOptions::default()).unwrap();
    let batch = all(&mut reader).unwrap();
    assert_eq!(batch.clicked, [false, false], "rows that are only scored have no label and no importance");
}

#[test]
fn a_time_is_a_namespace_and_rows_are_held_out_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let line = |row: u64| format!("-1 10 |site 3 |price 1 |ad x |shown_at 2026-01-0{row}T00:00:00Z\n");
    let text: String = (1..=8).map(line).collect();
    let read = |kept: KeptRows| {
        let options = ReadOptions::default().with(|it| {
            it.importance_column = Some("importance".to_owned());
            it.time_column = Some("shown_at".to_owned());
            it.hold_out = Some(HoldOut { rule: "last 25%".parse().unwrap(), kept });
        });
        all(&mut open(folder.path(), "log.vw", &text, options).unwrap()).unwrap()
    };
    let [others, held_out] = [KeptRows::Others, KeptRows::HeldOut].map(read);
    assert_eq!((others.row_count(), held_out.row_count()), (6, 2));
    assert!(held_out.time_us.unwrap()[0] > others.time_us.unwrap()[5]);
    assert_eq!(held_out.importance.unwrap(), [10.0, 10.0]);
}

#[test]
fn a_field_without_a_namespace_and_a_format_without_names_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let text = "1 |site 3 |price 1 |advert x\n-1 |site 4 |price 2\n";
    let error = all(&mut open(folder.path(), "log.vw", text, ReadOptions::default()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("`ad`") && error.contains("site, price, advert"), "{error}");
    for name in ["log.libsvm", "log.svm", "log.svmlight.gz"] {
        let error = open(folder.path(), name, "1 3:1 7:0.5\n", ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("found LIBSVM, which numbers features"), "{error}");
    }
}
