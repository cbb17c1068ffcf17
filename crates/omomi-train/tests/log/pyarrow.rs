//! The readers of CSV and Parquet agree with pyarrow on generated files: of every type, encoding, codec and page size
//! that pyarrow writes, with nulls, texts that are not UTF-8, and times that no log can have.
//!
//! These tests need a `python3` on the path that has pyarrow (`pip install pyarrow`). Without it, they say so and pass.

use std::fs;
use std::path::Path;
use std::process::Command;

use omomi::contract::Contract;
use omomi_train::log::{CsvDialect, CsvRecords, LogReader, ReadOptions};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const CSV_TEXT_COUNT: usize = 3_000;
const PARQUET_FILE_COUNT: usize = 150;

/// Reads each text as one table of texts, and writes its rows, or null if pyarrow refuses it.
const READ_CSV: &str = "
import io, json, sys
from pyarrow import csv, string, ArrowInvalid
for text in json.load(open(sys.argv[1], encoding='utf-8')):
    try:
        table = csv.read_csv(io.BytesIO(text['text'].encode()),
            read_options=csv.ReadOptions(autogenerate_column_names=True, use_threads=False),
            parse_options=csv.ParseOptions(delimiter=text['delimiter'], newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types={f'f{i}': string() for i in range(100)},
                strings_can_be_null=False))
        print(json.dumps([list(row.values()) for row in table.to_pylist()]))
    except ArrowInvalid:
        print('null')
";

/// Writes Parquet files, and for each of them the rows that a reader must find; null for a row that is bad.
const WRITE_PARQUET: &str = r#"
import datetime, json, random, sys
import pyarrow as pa, pyarrow.parquet as pq
folder, count = sys.argv[1], int(sys.argv[2])
random.seed(9)
chance = lambda share: random.random() < share
TEXTS = ['a', '', '猫', 'e\u0301', '\u0000x', 'a,b', '"', 'x' * 300, '\n', ' ', 'nul', '\U0001F600']
BAD = [b'\xff', b'caf\xe9', b'\xed\xa0\x80', b'a\xc3']
EPOCH = datetime.date(1970, 1, 1).toordinal()

def texts(values, kind):
    large = kind.startswith('large')
    array = pa.array(values, pa.large_binary() if large else pa.binary())
    if kind.endswith('bytes'):
        return array
    # pyarrow does not check texts that it is given as buffers, nor do other writers.
    return pa.Array.from_buffers(pa.large_string() if large else pa.string(), len(array), array.buffers())

def decoded(value):
    return None if value is None else value.decode()

def is_bad(value):
    try:
        decoded(value)
        return False
    except UnicodeDecodeError:
        return True

def times(kind, rows):
    """The column, and for each row the microseconds, or None if the row is bad."""
    seconds = [random.randrange(980_000_000, 1_700_000_000) for _ in range(rows)]
    sentinels = [0, -2208988800] + ([] if kind == 'ns' else [253402214400])
    seconds = [random.choice(sentinels) if chance(0.05) else second for second in seconds]
    if kind in ('date', 'date64'):
        seconds = [second // 86400 * 86400 for second in seconds]
    nulls = [chance(0.02) for _ in seconds]
    expected = [None if null or not 946684800 <= second < 1_800_000_000 else second * 1_000_000
                for second, null in zip(seconds, nulls)]
    def column(convert, data_type):
        return pa.array([None if null else convert(second) for second, null in zip(seconds, nulls)], data_type)
    units = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}
    if kind in units:
        zone = random.choice([None, 'UTC', 'Asia/Tokyo'])
        return column(lambda second: second * units[kind], pa.timestamp(kind, zone)), expected
    if kind.startswith('int_'):
        return column(lambda second: second * units[kind[4:]], pa.int64()), expected
    if kind == 'date':
        return column(lambda second: second // 86400, pa.int32()).cast(pa.date32()), expected
    if kind == 'date64':
        return column(lambda second: second * 1000, pa.int64()).cast(pa.date64()), expected
    if kind == 'double':
        expected = [None if time is None else time + 500_000 for time in expected]
        return column(lambda second: second + 0.5, pa.float64()), expected
    text = lambda second: str(datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=second)) + ' UTC'
    return column(text, pa.string()), expected

index = []
for number in range(count):
    rows = random.choice([1, 7, 100, 2000])
    distinct = random.choice([2, 12, rows])
    pool = [random.choice(TEXTS) + (str(i) if distinct > 12 else '') for i in range(distinct)]
    has_bad = chance(0.5)
    def text():
        if chance(0.1): return None
        return random.choice(BAD) if has_bad and chance(0.03) else random.choice(pool).encode()
    kind = random.choice(['text', 'bytes', 'large_text', 'large_bytes'])
    site = [text() for _ in range(rows)]
    tags = [None if chance(0.1) else [text() for _ in range(random.randrange(4))] for _ in range(rows)]
    flat = [item for items in tags for item in items or []]
    offsets = [0]
    for items in tags:
        offsets.append(offsets[-1] + len(items or []))
    tag_lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts(flat, kind.replace('large_', '')),
        mask=pa.array([items is None for items in tags]))
    limit = random.choice([10, 10**4, 2**31])
    creative = [None if chance(0.1) else random.randrange(limit) for _ in range(rows)]
    id_type = random.choice([pa.int64(), pa.uint64(), pa.float64(), pa.string()])
    ids = pa.array(creative, pa.int64())
    creative_column = pa.array([None if id is None else f'{id}.0' for id in creative]) if id_type == pa.string() and \
        chance(0.5) else ids.cast(id_type)
    clicked = [random.randrange(2) for _ in range(rows)]
    label_type = random.choice([pa.bool_(), pa.int8(), pa.float32(), pa.string(), pa.binary()])
    labels = pa.array(clicked).cast(pa.string() if label_type == pa.binary() else label_type).cast(label_type)
    time_kind = random.choice(['s', 'ms', 'us', 'ns', 'int_s', 'int_ms', 'int_us', 'date', 'date64', 'double', 'text'])
    ts, time_us = times(time_kind, rows)
    site_column = texts(site, kind)
    if not any(map(is_bad, site)) and chance(0.2):
        site_column = texts(site, 'text').dictionary_encode()
    table = pa.table({'unused': pa.array(range(rows)), 'clicked': labels, 'site': site_column, 'tags': tag_lists,
                      'creative': creative_column, 'ts': ts})
    dictionary = chance(0.5)
    options = dict(compression=random.choice(['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4']),
        use_dictionary=dictionary, data_page_version=random.choice(['1.0', '2.0']),
        data_page_size=random.choice([64, 4096, 1 << 20]), row_group_size=random.choice([3, 500, 10**6]),
        version=random.choice(['1.0', '2.4', '2.6']), store_schema=chance(0.5), write_statistics=chance(0.5),
        use_deprecated_int96_timestamps=time_kind in ('us', 'ns') and chance(0.5))
    if not dictionary and chance(0.5) and not pa.types.is_dictionary(site_column.type):
        options['column_encoding'] = {'site': random.choice(['DELTA_BYTE_ARRAY', 'DELTA_LENGTH_BYTE_ARRAY', 'PLAIN'])}
    pq.write_table(table, f'{folder}/{number}.parquet', **options)
    found = []
    for row in range(rows):
        items = tags[row] or []
        if time_us[row] is None or is_bad(site[row]) or any(map(is_bad, items)):
            found.append(None)
            continue
        found.append([clicked[row] == 1, time_us[row], [] if site[row] is None else [decoded(site[row])],
            [decoded(item) for item in items if item is not None],
            [] if creative[row] is None else [creative[row]]])
    about = dict(options, kind=kind, time=time_kind, label=str(label_type), id=str(creative_column.type))
    index.append([about, found])
json.dump(index, open(f'{folder}/index.json', 'w'))
"#;

const CONTRACT: &str = r#"
name = "log"
label = "clicked"
[[field]]
name = "site"
side = "context"
type = "text"
meaning = "the site"
[[field]]
name = "tags"
side = "context"
type = "text"
many = true
meaning = "the tags"
[[field]]
name = "creative"
side = "candidate"
type = "id"
meaning = "the creative"
"#;

fn has_pyarrow() -> bool {
    let import = Command::new("python3").args(["-c", "import pyarrow.csv, pyarrow.parquet"]).output();
    let has_pyarrow = import.is_ok_and(|output| output.status.success());
    if !has_pyarrow {
        eprintln!(
            "SKIPPED: no python3 with pyarrow is on the path (pip install pyarrow), so nothing is compared with it"
        );
    }
    has_pyarrow
}

fn python(script: &str, arguments: &[&str]) -> String {
    let output = Command::new("python3").args(["-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn well_formed_csv_has_the_rows_of_pyarrow_and_what_pyarrow_refuses_is_a_fault() {
    if !has_pyarrow() {
        return;
    }
    let pieces =
        ["a", "猫", " ", "\"\"", "\"a,b\"", "\"\n\"", "\"x\r\ny\"", "\"say \"\"hi\"\"\"", "", "\"", "\\", "a\"b"];
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(11);
    let mut pick = |from: &[&'static str]| from[random.random_range(0..from.len())];
    let mut texts = Vec::new();
    for index in 0..CSV_TEXT_COUNT {
        let delimiter = pick(&[",", ";", "\t"]);
        let line_end = pick(&["\n", "\r\n"]);
        // Most texts are well formed. The last pieces are not, or only in some places.
        let pieces = if index % 4 == 0 { &pieces[..] } else { &pieces[..9] };
        let mut text = String::from(pick(&["", "\u{feff}"]));
        for _ in 0..index % 5 + 1 {
            let cells: Vec<&str> = (0..3).map(|_| pick(pieces)).collect();
            text.push_str(&cells.join(delimiter));
            text.push_str(line_end);
            text.push_str(pick(&["", "", "", line_end]));
        }
        // pyarrow does not read a single row that ends with a quote and has no line end.
        if index % 3 == 0 && index % 5 > 0 {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        texts.push((text, delimiter));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("texts.json");
    let json = texts.iter().map(|(text, delimiter)| json!({ "text": text, "delimiter": delimiter }));
    fs::write(&path, Value::from_iter(json).to_string()).unwrap();

    let (mut compared_count, mut refused_count) = (0, 0);
    for ((text, delimiter), line) in texts.iter().zip(python(READ_CSV, &[path.to_str().unwrap()]).lines()) {
        let expected: Option<Vec<Vec<String>>> = serde_json::from_str(line).unwrap();
        let dialect =
            CsvDialect { delimiter: delimiter.chars().next(), max_cell_lines: 1_000, ..CsvDialect::default() };
        let mut records = CsvRecords::new(text.as_bytes(), &dialect, ',');
        let (mut rows, mut is_faulty) = (Vec::new(), false);
        while let Some(record) = records.read().unwrap() {
            is_faulty |= record.fault.is_some();
            let cell = |index| String::from_utf8(records.cell(index).to_vec()).unwrap();
            rows.push((0..records.cell_count()).map(cell).collect::<Vec<_>>());
        }
        is_faulty |= rows.iter().any(|row| row.len() != rows[0].len());
        match expected {
            // pyarrow accepts quotes anywhere; that is not RFC 4180.
            Some(_) if is_faulty => {}
            Some(expected) => {
                assert_eq!(rows, expected, "{text:?}");
                compared_count += 1;
            }
            None => {
                assert!(is_faulty, "{text:?} is {rows:?}");
                refused_count += 1;
            }
        }
    }
    assert!(compared_count > CSV_TEXT_COUNT / 2 && refused_count > 20, "{compared_count}, {refused_count} refused");
}

#[test]
fn parquet_files_of_pyarrow_have_the_rows_that_were_written() {
    if !has_pyarrow() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    python(WRITE_PARQUET, &[folder.path().to_str().unwrap(), &PARQUET_FILE_COUNT.to_string()]);
    let index: Vec<(Value, Vec<Option<Value>>)> =
        serde_json::from_str(&fs::read_to_string(folder.path().join("index.json")).unwrap()).unwrap();
    let contract = omomi_train::toml::parse_contract(CONTRACT).unwrap();
    let mut bad_row_count = 0;
    for (number, (about, expected)) in index.into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.parquet"));
        let (rows, bad_rows) = read(&contract, &path, [1, 100, 8_192][number % 3]);
        let expected_bad = expected.iter().filter(|row| row.is_none()).count() as u64;
        let expected: Vec<Value> = expected.into_iter().flatten().collect();
        assert_eq!(rows.len(), expected.len(), "{about}");
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected, "{about}");
        }
        assert_eq!(bad_rows, expected_bad, "{about}");
        bad_row_count += bad_rows;
    }
    assert!(bad_row_count > 100, "{bad_row_count}");
}

fn read(contract: &Contract, path: &Path, batch_row_count: usize) -> (Vec<Value>, u64) {
    let options = ReadOptions::default().with(|it| {
        it.batch_row_count = batch_row_count;
        it.max_bad_rows = u64::MAX;
        it.time_column = Some("ts".to_owned());
    });
    let mut reader = LogReader::open(contract, &[path.to_str().unwrap()], options).unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        for row in 0..batch.row_count() {
            let texts = |column: usize| {
                let column = &batch.columns[column];
                column.range(row).map(|index| column.text(index)).collect::<Vec<_>>()
            };
            let creative = &batch.columns[2];
            let creative: Vec<i64> = creative.range(row).map(|index| creative.values[index].cast_signed()).collect();
            let time_us = batch.time_us.as_ref().unwrap()[row];
            rows.push(json!([batch.clicked[row], time_us, texts(0), texts(1), creative]));
        }
    }
    (rows, reader.bad_row_count())
}
