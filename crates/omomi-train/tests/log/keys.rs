//! A column `NAME_key` takes the place of a field's column, as a join of a serving log writes it: the rows have the
//! values of the plain log, and no names of categories.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, UInt64Builder};
use arrow_array::{ArrayRef, Int64Array, UInt64Array};
use omomi::contract::{Contract, Side};
use omomi::feature::{feature_key, field_seed, id_value, text_value};
use omomi_train::log::{Categories, LogError, LogReader, ReadOptions, RowFault};

use crate::rows::{name, write_parquet, write_text};

/// Fields of every type, all hashed; -1 and `none` mean a missing value.
fn contract(policy: &str) -> Contract {
    let field = |name: &str, rest: &str| {
        format!("[[field]]\nname = \"{name}\"\nside = \"context\"\nmeaning = \"m\"\nlog = \"{policy}\"\n{rest}\n\n")
    };
    let number = "type = \"number\"\nunit = \"JPY\"\nrange = [0, 1000]\nbuckets = [10, 100]";
    let fields = field("a", "type = \"id\"")
        + &field("b", "type = \"text\"")
        + &field("c", number)
        + &field("d", "type = \"text\"\nmany = true");
    let text = format!("name = \"n\"\nlabel = \"clicked\"\n\n[reading]\nmissing = [\"-1\", \"none\"]\n\n{fields}");
    omomi_train::toml::parse_contract(&text).unwrap()
}

fn id(id: i64) -> u64 {
    feature_key(field_seed("a"), id_value(id))
}

fn text(field: &str, text: &str) -> u64 {
    feature_key(field_seed(field), text_value(text.as_bytes()))
}

fn bucket(bucket: u64) -> u64 {
    feature_key(field_seed("c"), bucket)
}

/// Whether the batch of a row has keys of a field, and the values of the row.
type Values = (bool, Vec<u64>);

/// The values of each row, field by field, of all files in order.
fn read(policy: &str, paths: &[&Path], max_bad_rows: u64) -> Result<Vec<Vec<Values>>, LogError> {
    let options = ReadOptions::default().with(|it| it.max_bad_rows = max_bad_rows);
    let contract = contract(policy);
    let paths: Vec<String> = paths.iter().map(|path| name(path)).collect();
    let mut reader = LogReader::open(&contract, &paths, options)?;
    let mut rows = Vec::new();
    while let Some(batch) = reader.next_batch()? {
        let has_keys = batch.columns.iter().any(|column| matches!(column.categories, Categories::Keys));
        assert_eq!(batch.key_field(&contract).is_some(), has_keys);
        for row in 0..batch.row_count() {
            let context = batch.row(&contract, Side::Context, row);
            assert!(!has_keys || context.is_empty(), "a key is no plain value");
            let columns = batch.columns.iter();
            let field =
                columns.map(|it| (matches!(it.categories, Categories::Keys), it.values[it.range(row)].to_vec()));
            rows.push(field.collect());
        }
    }
    Ok(rows)
}

fn keys_file(folder: &Path) -> std::path::PathBuf {
    let mut lists = ListBuilder::new(UInt64Builder::new());
    for tags in [&["x", "none", "y"][..], &[]] {
        tags.iter().for_each(|tag| lists.values().append_value(text("d", tag)));
        lists.append(true);
    }
    let columns: [(&'static str, ArrayRef); 5] = [
        ("clicked", Arc::new(Int64Array::from(vec![1, 0]))),
        ("a_key", Arc::new(UInt64Array::from(vec![Some(id(i64::MIN)), Some(id(-1))]))),
        ("b_key", Arc::new(UInt64Array::from(vec![Some(text("b", "旅")), Some(text("b", "none"))]))),
        ("c_key", Arc::new(UInt64Array::from(vec![Some(bucket(2)), None]))),
        ("d_key", Arc::new(lists.finish())),
    ];
    write_parquet(folder.join("keys.parquet"), &columns)
}

#[test]
fn keys_give_the_values_of_the_plain_log_and_files_of_both_forms_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys_file(folder.path());
    let cells = format!("1,{},{},{},{}|{}\n0,,,,\n", id(5), text("b", "旅"), bucket(0), text("d", "x"), text("d", "y"));
    let csv =
        write_text(folder.path().join("keys.csv"), format!("clicked,a_key,b_key,c_key,d_key\n{cells}").as_bytes());
    let plain = write_text(folder.path().join("plain.csv"), "clicked,a,b,c,d\n1,5,旅,3,x|y\n".as_bytes());
    let last = folder.path().join("last.csv");
    std::fs::copy(&plain, &last).unwrap();
    let [x, y, travel] = ["x", "y", "旅"].map(|text| text_value(text.as_bytes()));
    let of_keys = |values: [Vec<u64>; 4]| values.map(|values| (true, values)).to_vec();
    let first = of_keys([vec![i64::MIN.cast_unsigned()], vec![travel], vec![2], vec![x, y]]);
    let empty = of_keys([vec![], vec![], vec![], vec![]]);
    let of_csv = of_keys([vec![5], vec![travel], vec![0], vec![x, y]]);
    let of_plain: Vec<_> = of_csv.iter().map(|(_, values)| (false, values.clone())).collect();
    let found = read("hashed", &[&plain, &keys, &csv, &last], 0).unwrap();
    assert_eq!(found, [of_plain.clone(), first.clone(), empty.clone(), of_csv, empty.clone(), of_plain]);
    // A model of an older contract reads the Parquet, too. In CSV, a number may be anything.
    assert_eq!(read("plain", &[&keys], 0).unwrap(), [first, empty]);
    let refused = read("plain", &[&csv], 0).unwrap_err();
    assert!(matches!(&refused, LogError::MissingColumn { column, .. } if column == "a"), "{refused}");
}

#[test]
fn a_key_that_no_category_has_is_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let columns: [(&'static str, ArrayRef); 5] = [
        ("clicked", Arc::new(Int64Array::from(vec![0, 0]))),
        ("a_key", Arc::new(UInt64Array::from(vec![id(1), id(2)]))),
        ("b_key", Arc::new(UInt64Array::from(vec![1, 2]))),
        ("c_key", Arc::new(UInt64Array::from(vec![bucket(3), bucket(1)]))),
        ("d_key", {
            let mut lists = ListBuilder::new(UInt64Builder::new());
            (0..2).for_each(|_| lists.append(true));
            Arc::new(lists.finish())
        }),
    ];
    let parquet = write_parquet(folder.path().join("bad.parquet"), &columns);
    let cells = format!("0,x,1,{},\n0,1,1,{},\n0,1,1,{},\n", bucket(1), bucket(3), bucket(1));
    let csv = write_text(folder.path().join("bad.csv"), format!("clicked,a_key,b_key,c_key,d_key\n{cells}").as_bytes());
    for (path, bad_rows, good_rows) in [(&parquet, 1, 1), (&csv, 2, 1)] {
        let error = read("hashed", &[path], 0).unwrap_err();
        let LogError::BadRow(bad) = &error else { panic!("{error}") };
        assert!(matches!(&bad.fault, RowFault::Cell { expected, .. } if expected.contains("feature key")), "{error}");
        assert_eq!(read("hashed", &[path], bad_rows).unwrap().len(), good_rows);
    }
    // Columns that are no keys are not taken for them.
    let columns: [(&'static str, ArrayRef); 5] = [
        ("clicked", Arc::new(Int64Array::from(vec![0]))),
        ("a_key", Arc::new(Int64Array::from(vec![1]))),
        ("b", Arc::new(arrow_array::StringArray::from(vec!["b"]))),
        ("c", Arc::new(arrow_array::Float64Array::from(vec![1.0]))),
        ("d", {
            let mut lists = ListBuilder::new(arrow_array::builder::StringBuilder::new());
            lists.append(true);
            Arc::new(lists.finish())
        }),
    ];
    let other = write_parquet(folder.path().join("other.parquet"), &columns);
    let refused = read("hashed", &[&other], 0).unwrap_err();
    assert!(matches!(&refused, LogError::MissingColumn { column, .. } if column == "a"), "{refused}");
}
