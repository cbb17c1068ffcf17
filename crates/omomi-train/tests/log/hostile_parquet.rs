//! Small Parquet files that promise gigabytes. What a page header, a dictionary or a compressed page says is checked
//! before memory is allocated for it, and long texts are copied for a few rows at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::Field;
use omomi_train::log::{LogError, LogReader, ReadOptions};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use crate::memory::{Counting, peak_of};
use crate::rows::{contract, name};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;
/// Most memory for reading any log here, whatever it promises. Memory that grows counts twice.
const MAX_PEAK_LEN: usize = 384 * MIB;
const ROW_COUNT: usize = 1_000;

/// The texts of a column: `keys` into `texts`.
fn keyed(texts: &[String], keys: impl IntoIterator<Item = i32>) -> ArrayRef {
    let keys = Int32Array::from_iter_values(keys);
    let texts = StringArray::from_iter_values(texts);
    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(texts)))
}

fn in_lists(items: ArrayRef, row_count: usize) -> ArrayRef {
    let item = Arc::new(Field::new("item", items.data_type().clone(), true));
    let lens = std::iter::repeat_n(items.len() / row_count, row_count);
    Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lens), items, None))
}

fn zstd() -> WriterPropertiesBuilder {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    WriterProperties::builder().set_compression(zstd).set_dictionary_page_size_limit(256 * MIB)
}

/// Writes a log of some kilobytes. `columns` are the columns beside those that every row needs.
fn write(path: &Path, columns: &[(&str, ArrayRef)], properties: WriterPropertiesBuilder) {
    let row_count = columns[0].1.len();
    let ids = |id: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![id; row_count])) };
    let empty = || -> ArrayRef { Arc::new(StringArray::from(vec![""; row_count])) };
    let mut all = vec![
        ("clicked", ids(0)),
        ("media_id", ids(7)),
        ("title", empty()),
        ("floor_price", ids(1)),
        ("tags", in_lists(empty(), row_count)),
        ("segments", in_lists(ids(1), row_count)),
    ];
    for (name, array) in columns {
        all.iter_mut().find(|(other, _)| other == name).unwrap().1 = Arc::clone(array);
    }
    let batch = RecordBatch::try_from_iter_with_nullable(all.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(File::create(path).unwrap(), batch.schema(), options).unwrap();
    // Small batches, so that a page is not longer than the writer wants.
    for start in (0..row_count).step_by(100) {
        writer.write(&batch.slice(start, (row_count - start).min(100))).unwrap();
    }
    writer.close().unwrap();
    assert!(fs::metadata(path).unwrap().len() < 4 << 20, "{} is large itself", path.display());
}

/// Reads a log, keeping one batch at a time. Returns the number of good rows, and asserts the bound on memory.
fn row_count_of(path: &Path, max_bad_rows: u64, max_peak_len: usize) -> Result<u64, LogError> {
    let (outcome, peak_len) = peak_of(|| {
        let contract = contract();
        let options = ReadOptions::default().with(|it| it.max_bad_rows = max_bad_rows);
        let mut reader = LogReader::open(&contract, &[name(path)], options)?;
        let mut count = 0;
        while let Some(batch) = reader.next_batch()? {
            count += batch.row_count() as u64;
        }
        Ok(count)
    });
    let (len, file) = (fs::metadata(path).unwrap().len(), path.file_name().unwrap().display());
    println!("| {file} | {len} | {} MiB | {:?} |", peak_len / MIB, outcome.as_ref().map_err(ToString::to_string));
    assert!(peak_len <= max_peak_len, "{file}: {} MiB of memory", peak_len / MIB);
    outcome
}

fn in_folder(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

#[test]
fn a_long_text_that_repeats_in_every_row_is_read_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let long = [String::new(), "x".repeat(MIB)];
    let all = |text: i32, count: usize| std::iter::repeat_n(text, count);
    let path = in_folder(&folder, "keys.parquet");
    write(&path, &[("title", keyed(&long, all(1, ROW_COUNT)))], zstd());
    assert_eq!(row_count_of(&path, 0, MAX_PEAK_LEN).unwrap(), ROW_COUNT as u64);

    // The dictionary ends within the file: the rest are plain texts.
    let texts = [long[1].clone(), "y".repeat(3 * MIB)];
    let keys = all(0, ROW_COUNT - 100).chain(all(1, 1)).chain(all(0, 99));
    let path = in_folder(&folder, "mixed.parquet");
    write(&path, &[("title", keyed(&texts, keys))], zstd().set_dictionary_page_size_limit(2 * MIB));
    assert_eq!(row_count_of(&path, 0, MAX_PEAK_LEN).unwrap(), ROW_COUNT as u64);

    let path = in_folder(&folder, "plain.parquet");
    let pages = zstd().set_dictionary_enabled(false).set_data_page_size_limit(MIB).set_write_batch_size(1);
    write(&path, &[("title", keyed(&long, all(1, ROW_COUNT)))], pages);
    assert_eq!(row_count_of(&path, 0, MAX_PEAK_LEN).unwrap(), ROW_COUNT as u64);

    let path = in_folder(&folder, "lists.parquet");
    let lists = in_lists(keyed(&long, all(1, 4 * ROW_COUNT)), ROW_COUNT);
    write(&path, &[("tags", lists)], zstd());
    assert_eq!(row_count_of(&path, 0, MAX_PEAK_LEN).unwrap(), ROW_COUNT as u64);

    // Texts in place of ids: every row is bad.
    let path = in_folder(&folder, "ids.parquet");
    write(&path, &[("media_id", keyed(&long, all(1, ROW_COUNT)))], zstd());
    assert_eq!(row_count_of(&path, ROW_COUNT as u64, MAX_PEAK_LEN).unwrap(), 0);
}

#[test]
fn a_list_above_16_mib_in_all_costs_only_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let texts = ["a".to_owned(), "x".repeat(MIB)];
    // 40 MiB in the second of three rows.
    let keys = (0..120).map(|index| i32::from((40..80).contains(&index)));
    let path = in_folder(&folder, "list.parquet");
    write(&path, &[("tags", in_lists(keyed(&texts, keys), 3))], zstd().set_dictionary_enabled(false));
    let error = row_count_of(&path, 0, MAX_PEAK_LEN).unwrap_err().to_string();
    assert!(error.contains("row 2, column `tags`: expected at most 16 MiB, found more"), "{error}");
    assert_eq!(row_count_of(&path, 1, MAX_PEAK_LEN).unwrap(), 2);
}

#[test]
fn a_dictionary_with_long_values_is_not_decompressed() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("one value", vec!["x".repeat(17 * MIB)], "column `title` with a dictionary of 17 MiB"),
        ("two values", vec!["x".repeat(40 * MIB), "y".repeat(40 * MIB)], "column `title` with a dictionary of 80 MiB"),
    ];
    for (name, texts, words) in cases {
        let path = in_folder(&folder, &format!("{name}.parquet"));
        let last = i32::try_from(texts.len()).unwrap() - 1;
        write(&path, &[("title", keyed(&texts, (0..10).map(|row| row.min(last))))], zstd());
        let error = row_count_of(&path, 10, MIB).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("dictionaries of at most 64 MiB"), "{error}");
    }
}

/// Some decoders do not stop at the length that a page header says. Brotli takes up to 16 MiB itself.
#[test]
fn a_page_that_is_longer_than_its_header_says_is_not_decompressed() {
    let folder = tempfile::tempdir().unwrap();
    let text = ["x".repeat(100 * MIB)];
    for (name, compression) in
        [("brotli", Compression::BROTLI(BrotliLevel::default())), ("gzip", Compression::GZIP(GzipLevel::default()))]
    {
        let path = in_folder(&folder, &format!("{name}.parquet"));
        let properties = zstd().set_dictionary_enabled(false).set_compression(compression);
        write(&path, &[("title", keyed(&text, [0]))], properties);
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(&path).unwrap()).unwrap();
        let title = metadata.row_group(0).columns().iter().find(|chunk| chunk.column_path().string() == "title");
        let mut at = usize::try_from(title.unwrap().data_page_offset()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        // The type of a data page, and then its length, as Thrift's compact protocol writes them.
        assert_eq!(bytes[at..at + 3], [0x15, 0, 0x15]);
        at += 3;
        let mut low_bits = 100;
        while bytes[at] >= 0x80 {
            bytes[at] = 0x80 | low_bits;
            low_bits = 0;
            at += 1;
        }
        bytes[at] = low_bits;
        fs::write(&path, &bytes).unwrap();
        let error = row_count_of(&path, 10, 32 * MIB).unwrap_err().to_string();
        assert!(error.contains("column `title` has a page that is longer than its header says"), "{error}");
    }
}
