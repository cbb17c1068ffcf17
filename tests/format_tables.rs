//! Checks that the tables of `FORMAT.md` and the constants of `layout` agree. A change of only one of them fails.

use omomi::weight_file::layout::{self, SectionKind};
use omomi::weight_file::table::{Encoding, LINE_LEN, MAX_SHARD_LINES};

const FORMAT: &str = include_str!("../src/weight_file/FORMAT.md");

/// A row of an `offset | size | type | meaning` table.
#[derive(Debug)]
struct Row {
    offset: usize,
    len: usize,
    kind: &'static str,
    meaning: &'static str,
}

/// Returns the cells of the first table after `heading`, without its two header lines.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let start = FORMAT.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    FORMAT[start..]
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn rows(heading: &str) -> Vec<Row> {
    table(heading)
        .iter()
        .map(|cells| {
            let [offset, len, kind, meaning] = cells[..] else { panic!("{cells:?}") };
            Row { offset: offset.parse().unwrap(), len: len.parse().unwrap(), kind, meaning }
        })
        .collect()
}

/// Asserts that the rows of a table are at `offsets`, without gaps, and end at `end`.
#[track_caller]
fn assert_table(heading: &str, offsets: &[usize], end: usize) {
    let rows = rows(heading);
    assert_eq!(rows.iter().map(|row| row.offset).collect::<Vec<_>>(), offsets, "{heading}");
    let next = rows.iter().skip(1).map(|row| row.offset).chain([end]);
    for (row, next) in rows.iter().zip(next) {
        assert_eq!(row.offset + row.len, next, "{heading}: {row:?}");
        let len = match row.kind {
            "u32" => 4,
            "u64" | "f64" => 8,
            _ => row.len,
        };
        assert_eq!(row.len, len, "{heading}: {row:?}");
    }
}

#[test]
fn the_header_is_where_the_page_says() {
    assert_table(
        "### Header",
        &[
            0,
            layout::BYTE_ORDER_OFFSET,
            layout::FORMAT_VERSION_OFFSET,
            layout::OLDEST_READER_OFFSET,
            layout::SECTION_COUNT_OFFSET,
            layout::TOTAL_LEN_OFFSET,
            layout::GENERATION_OFFSET,
            layout::FILE_ID_OFFSET,
            layout::CHUNK_LEN_OFFSET,
            layout::CHUNK_COUNT_OFFSET,
            layout::CHECKSUMS_OFFSET_OFFSET,
            layout::SECTION_TABLE_CRC_OFFSET,
            layout::CHECKSUMS_CRC_OFFSET,
            layout::HEADER_ZEROS_OFFSET,
            layout::HEADER_CRC_OFFSET,
        ],
        layout::HEADER_LEN,
    );
}

#[test]
fn the_values_in_the_header_match_the_page() {
    let rows = rows("### Header");
    let hex: Vec<String> = layout::MAGIC.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(rows[0].meaning.contains(&hex.join(" ")));
    assert!(rows[1].meaning.ends_with(&format!("{:#010x}", layout::BYTE_ORDER)));
    assert!(rows[2].meaning.ends_with(&format!(": {}", layout::FORMAT_VERSION)));
    assert!(rows[4].meaning.ends_with(&format!("1 to {}", layout::MAX_SECTIONS)));
    assert!(rows[8].meaning.replace(',', "").ends_with(&layout::CHUNK_LEN.to_string()));
    let end_mark: Vec<String> = layout::END_MARK.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(FORMAT.contains(&format!("The end mark is `{}`", end_mark.join(" "))));
}

#[test]
fn an_entry_of_the_section_table_is_where_the_page_says() {
    assert_table(
        "### Section table",
        &[
            layout::SECTION_KIND_OFFSET,
            layout::SECTION_FLAGS_OFFSET,
            layout::SECTION_OFFSET_OFFSET,
            layout::SECTION_LEN_OFFSET,
            layout::SECTION_FIRST_CHUNK_OFFSET,
            layout::SECTION_CHUNK_COUNT_OFFSET,
        ],
        layout::SECTION_ENTRY_LEN,
    );
}

#[test]
fn the_sections_match_the_page() {
    let start = FORMAT.find("| kind | section |").unwrap();
    let rows = FORMAT[start..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> = rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect();
    assert_eq!(rows.len(), SectionKind::ALL.len());
    for (row, kind) in rows.iter().zip(SectionKind::ALL) {
        assert_eq!(row[0], kind.number().to_string());
        assert_eq!(row[1], kind.name());
        assert_eq!(row[2], if kind.is_required() { "yes" } else { "no" }, "{}", kind.name());
    }
    let known: Vec<u32> =
        SectionKind::ALL.into_iter().filter(|kind| kind.must_be_known()).map(SectionKind::number).collect();
    assert!(
        known == [1, 2, 3, 4, 5, 6, 7, 10] && FORMAT.contains("set for kinds 1 to 7 and 10, not for kinds 8 and 9")
    );
    for (kind, len) in [
        (3, layout::TABLE_LEN),
        (4, LINE_LEN),
        (5, layout::EXCEPTION_LEN),
        (6, layout::CALIBRATOR_LEN),
        (9, layout::SIGNATURE_LEN),
        (10, layout::DEFAULT_WEIGHTS_LEN),
    ] {
        assert!(rows[kind - 1][3].contains(&format!("{len} bytes")), "{:?}", rows[kind - 1]);
    }
    assert!(FORMAT.contains("Alignment is 4,096 for kind 4, and 64 for every other kind."));
    assert_eq!((layout::alignment(4), layout::alignment(5)), (4_096, 64));
    assert!(FORMAT.replace('\n', " ").contains("Kinds 1, 2 and 8 are at most 4 MiB long, kind 7 at most 8 MiB"));
    assert_eq!((layout::MAX_JSON_LEN, layout::MAX_GOLDEN_LEN), (4 << 20, 8 << 20));
}

#[test]
fn the_table_section_is_where_the_page_says() {
    assert_table(
        "### Table",
        &[
            layout::TABLE_LAYOUT_OFFSET,
            layout::TABLE_ENCODING_OFFSET,
            layout::TABLE_WEIGHT_COUNT_OFFSET,
            layout::TABLE_SHARD_COUNT_OFFSET,
            layout::TABLE_SHARD_LINES_OFFSET,
            layout::TABLE_BIAS_OFFSET,
            layout::TABLE_ZEROS_OFFSET,
        ],
        layout::TABLE_LEN,
    );
    assert!(rows("### Table")[4].meaning.replace(',', "").ends_with(&format!("2 to {MAX_SHARD_LINES}")));
}

#[test]
fn the_encodings_and_their_lines_are_where_the_page_says() {
    let names = Encoding::ALL.map(|encoding| format!("{}, {}", encoding.number(), encoding.name())).join("; ");
    assert!(rows("### Table")[1].meaning.ends_with(&names));
    assert!(FORMAT.contains(&format!("After these {} bytes come the *scales*", layout::TABLE_SCALES_OFFSET)));
    for encoding in Encoding::ALL {
        let slots = encoding.slot_count();
        let filter_bits = if encoding == Encoding::F32 { 16 } else { 32 };
        let heading =
            format!("With the encoding {}, {slots} slots and a filter of {filter_bits} bits:", encoding.name());
        // The parts are: tags (with the filter) and weights; or two parts of the tags, weights, and filter.
        match encoding {
            Encoding::F32 => assert_table(&heading, &[0, 4 * slots], LINE_LEN),
            Encoding::F16 => assert_table(&heading, &[0, 2 * slots, 3 * slots, 5 * slots], LINE_LEN),
            Encoding::I8 => assert_table(&heading, &[0, 2 * slots, 3 * slots, 4 * slots], LINE_LEN),
        }
        for row in rows(&heading).iter().filter(|row| row.kind.contains(" x ")) {
            assert!(row.kind.starts_with(&format!("{slots} x ")), "{row:?}");
        }
        // The table of sizes must not claim more than the lines can hold.
        let sizes = FORMAT.lines().find(|line| line.starts_with(&format!("| {} | 9", encoding.name()))).unwrap();
        let cells: Vec<&str> = sizes.trim_matches('|').split('|').map(str::trim).collect();
        let filled: f64 = cells[1].trim_end_matches(" %").parse().unwrap();
        let bytes: f64 = cells[2].parse().unwrap();
        assert!((LINE_LEN as f64 / (slots as f64 * filled / 100.0) - bytes).abs() < 0.01, "{sizes}");
    }
}

#[test]
fn an_exception_is_where_the_page_says() {
    assert_table(
        "### Exceptions",
        &[layout::EXCEPTION_KEY_OFFSET, layout::EXCEPTION_WEIGHT_OFFSET, layout::EXCEPTION_ZEROS_OFFSET],
        layout::EXCEPTION_LEN,
    );
}

#[test]
fn the_default_weights_are_where_the_page_says() {
    assert_table(
        "### Default weights",
        &[layout::DEFAULT_UNSEEN_OFFSET, layout::DEFAULT_MISSING_OFFSET],
        layout::DEFAULT_WEIGHTS_LEN,
    );
    let max = format!("from -{} to {}", layout::MAX_WEIGHT, layout::MAX_WEIGHT);
    assert!(rows("### Default weights").iter().all(|row| row.kind == "f32" && row.meaning.ends_with(&max)));
}

#[test]
fn the_calibrator_is_where_the_page_says() {
    assert_table(
        "## 6. Calibrator and probability",
        &[
            layout::CALIBRATOR_KIND_OFFSET,
            layout::CALIBRATOR_ZEROS_OFFSET,
            layout::CALIBRATOR_MIN_OFFSET,
            layout::CALIBRATOR_MAX_OFFSET,
            layout::CALIBRATOR_TAIL_OFFSET,
        ],
        layout::CALIBRATOR_LEN,
    );
}

#[test]
fn the_signature_and_the_signed_data_are_where_the_page_says() {
    assert_table(
        "## 8. Signature",
        &[
            layout::SIGNATURE_ALGORITHM_OFFSET,
            layout::SIGNATURE_ZEROS_OFFSET,
            layout::SIGNATURE_KEY_ID_OFFSET,
            layout::SIGNATURE_BYTES_OFFSET,
        ],
        layout::SIGNATURE_LEN,
    );
    let algorithm = format!("algorithm: {}, Ed25519", layout::SIGNATURE_ED25519);
    assert!(rows("## 8. Signature")[0].meaning.starts_with(&algorithm));
    assert_table(
        "The signed data is not in the file; it is computed from it. It begins with these bytes:",
        &[
            0,
            layout::SIGNED_FORMAT_VERSION_OFFSET,
            layout::SIGNED_OLDEST_READER_OFFSET,
            layout::SIGNED_GENERATION_OFFSET,
            layout::SIGNED_FILE_ID_OFFSET,
            layout::SIGNED_SECTION_COUNT_OFFSET,
            layout::SIGNED_ZEROS_OFFSET,
        ],
        layout::SIGNED_FRONT_LEN,
    );
    let domain = std::str::from_utf8(&layout::SIGNED_DOMAIN).unwrap().trim_end_matches('\0');
    assert_eq!(domain.len(), layout::SIGNED_DOMAIN.len() - 1);
    assert!(FORMAT.contains(&format!("`{domain}` and a zero")));
    assert_table(
        "Then, for each section except the signature, in the order of the section table:",
        &[
            layout::SIGNED_KIND_OFFSET,
            layout::SIGNED_FLAGS_OFFSET,
            layout::SIGNED_LEN_OFFSET,
            layout::SIGNED_DIGEST_OFFSET,
        ],
        layout::SIGNED_SECTION_LEN,
    );
}

#[test]
fn the_limits_of_a_contract_and_of_a_request_match_the_page() {
    use omomi::contract::{MAX_BUCKET_EDGES, MAX_CROSS_MEMBERS, MAX_CROSSES, MAX_FIELDS_PER_SIDE};
    use omomi::contract::{MAX_MEANING_LEN_BYTES, MAX_NAME_LEN_BYTES, MAX_UNIT_LEN_BYTES};
    use omomi::request::{MAX_CANDIDATES, MAX_VALUES_PER_FIELD};
    let page = FORMAT.replace('\n', " ").replace("   ", " ").replace("  ", " ").replace(',', "");
    for words in [
        format!("at most {MAX_FIELDS_PER_SIDE} on a side"),
        format!("at most {MAX_CROSSES} crosses"),
        format!("2 to {MAX_CROSS_MEMBERS} distinct members"),
        format!("1 to {MAX_BUCKET_EDGES} edges"),
        format!("[A-Za-z0-9_]{{0{}}}", MAX_NAME_LEN_BYTES - 1),
        format!("name is printable and has at most {MAX_NAME_LEN_BYTES} bytes"),
        format!("meaning is printable and has at most {MAX_MEANING_LEN_BYTES} bytes"),
        format!("unit is printable and has at most {MAX_UNIT_LEN_BYTES} bytes"),
        format!("at most {MAX_CANDIDATES} candidates"),
        format!("at most {MAX_VALUES_PER_FIELD} categories"),
        format!("at most {} bytes: the bytes of each text", layout::MAX_GOLDEN_ROW_LEN),
        format!("text required printable 1 to {} bytes", layout::MAX_LOGIC_ID_LEN),
        format!("at most {} levels deep", layout::MAX_JSON_DEPTH),
        format!("a text or key has at most {} bytes", layout::MAX_JSON_TEXT_LEN),
        format!("at most {} values", layout::MAX_JSON_VALUES),
        format!("start of 1900 ({})", layout::MIN_TRAINING_END_US),
        format!("start of 2200 ({})", layout::MAX_TRAINING_END_US + 1),
        format!("bias from -{} to {}", layout::MAX_WEIGHT, layout::MAX_WEIGHT),
        format!("at most 2^{} look-ups", layout::FREE_GOLDEN_LOOKUPS.ilog2()),
        format!("and {} more for each byte", layout::GOLDEN_LOOKUPS_PER_BYTE),
        format!("({})", layout::MAX_GOLDEN_LOOKUPS),
    ] {
        assert!(page.contains(&words), "the page does not say `{words}`");
    }
}
