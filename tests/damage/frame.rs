//! Damage to the frame of a file: header, section table, positions, padding, checksums. Unless a test says otherwise,
//! every checksum is correct, so that the tested check is reached.

use omomi::weight_file::layout::{
    self, CHUNK_COUNT_OFFSET, CHUNK_LEN, END_LEN, FORMAT_VERSION_OFFSET, HEADER_LEN, OLDEST_READER_OFFSET,
    SECTION_COUNT_OFFSET, SECTION_ENTRY_LEN, SECTION_FLAGS_OFFSET, SECTION_LEN_OFFSET, SECTION_OFFSET_OFFSET,
    TOTAL_LEN_OFFSET,
};
use omomi::{Code, Model};

use crate::sealing::{
    Section, assemble, crc, entry_at, put, reseal, sections_of, u32_at, u64_at, with_unknown_section,
};
use crate::{assert_refused, tiny_file};

/// Returns a whole file with `value` at `offset`, sealed.
fn with(offset: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = tiny_file::bytes();
    put(&mut bytes, offset, value);
    reseal(&mut bytes);
    bytes
}

/// Returns a whole file with `value` at `offset` in the entry of the section at `index`, sealed.
fn with_entry(index: usize, offset: usize, value: &[u8]) -> Vec<u8> {
    with(entry_at(index) + offset, value)
}

const NEAR_MAX: [u64; 6] = [u64::MAX, u64::MAX - 1, u64::MAX - 63, u64::MAX - 4_095, 1 << 63, (1 << 63) - 64];

#[test]
fn a_file_that_was_taken_apart_and_assembled_again_is_accepted() {
    // Otherwise the files of the tests below might be refused for another reason than the expected one.
    let bytes = assemble(&sections_of(&tiny_file::bytes()));
    assert_eq!(Model::from_bytes(bytes).unwrap().weight_count(), 4);
    let mut bytes = tiny_file::bytes();
    reseal(&mut bytes);
    assert_eq!(bytes, tiny_file::bytes());
}

#[test]
fn an_empty_file_is_truncated() {
    assert_refused(&[], Code::Truncated, "expected 128 bytes, found 0");
}

#[test]
fn other_files_are_not_weight_files() {
    let others: [&[u8]; 5] = [b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"PAR1", b"{", &[0; 5_000]];
    for bytes in others {
        assert_refused(bytes, Code::NotAWeightFile, "not a weight file");
    }
}

#[test]
fn a_file_that_was_transferred_as_text_is_not_a_weight_file() {
    let text = tiny_file::bytes().iter().copied().filter(|&byte| byte != b'\r').collect::<Vec<_>>();
    assert_refused(&text, Code::NotAWeightFile, "not a weight file");
}

#[test]
fn the_other_byte_order_is_named() {
    // A machine that writes its own byte order also writes the checksum in that order.
    let mut bytes = tiny_file::bytes();
    bytes[layout::BYTE_ORDER_OFFSET..][..4].reverse();
    assert_refused(&bytes, Code::WrongByteOrder, "0x04030201");
    assert_refused(&with(layout::BYTE_ORDER_OFFSET, &[0; 4]), Code::WrongByteOrder, "0x00000000");
}

#[test]
fn a_file_that_needs_a_newer_reader_is_too_new() {
    for version in [2_u32, 3, u32::MAX] {
        assert_refused(&with(OLDEST_READER_OFFSET, &version.to_le_bytes()), Code::TooNew, &version.to_string());
    }
}

#[test]
fn a_later_version_that_this_reader_can_read_is_accepted() {
    assert!(Model::from_bytes(with(FORMAT_VERSION_OFFSET, &2_u32.to_le_bytes())).is_ok());
}

#[test]
fn version_0_is_too_old() {
    assert_refused(&with(FORMAT_VERSION_OFFSET, &[0; 4]), Code::TooOld, "expected format version 1 or later, found 0");
}

#[test]
fn a_file_shorter_than_its_header_says_is_truncated_and_a_longer_one_is_too_long() {
    let len = tiny_file::bytes().len() as u64;
    for promised in NEAR_MAX.into_iter().chain([len + 1]) {
        assert_refused(&with(TOTAL_LEN_OFFSET, &promised.to_le_bytes()), Code::Truncated, &promised.to_string());
    }
    for promised in [0, 1, 127, 128, len - 1] {
        assert_refused(&with(TOTAL_LEN_OFFSET, &promised.to_le_bytes()), Code::TooLong, &promised.to_string());
    }
}

#[test]
fn any_other_chunk_length_is_malformed() {
    for len in [0_u32, 1, 4_096, 1 << 21, u32::MAX] {
        assert_refused(&with(layout::CHUNK_LEN_OFFSET, &len.to_le_bytes()), Code::Malformed, "expected chunks of");
    }
}

#[test]
fn a_reserved_byte_of_the_header_that_is_not_zero_is_malformed() {
    for offset in [layout::HEADER_ZEROS_OFFSET, layout::HEADER_CRC_OFFSET - 1] {
        assert_refused(&with(offset, &[1]), Code::Malformed, "reserved bytes of the header");
    }
}

#[test]
fn a_number_of_sections_outside_its_limits_is_malformed() {
    for count in [0_u32, 65, 1 << 27, u32::MAX] {
        assert_refused(&with(SECTION_COUNT_OFFSET, &count.to_le_bytes()), Code::Malformed, "1 to 64 sections");
    }
}

#[test]
fn a_section_table_beyond_the_end_is_truncated() {
    let mut bytes = tiny_file::bytes();
    bytes.truncate(HEADER_LEN + 2 * SECTION_ENTRY_LEN);
    let len = bytes.len() as u64;
    put(&mut bytes, TOTAL_LEN_OFFSET, &len.to_le_bytes());
    reseal(&mut bytes);
    assert_refused(&bytes, Code::Truncated, "expected 416 bytes, found 192");
}

#[test]
fn a_file_with_only_empty_sections_is_malformed() {
    assert_refused(&assemble(&[]), Code::Malformed, "1 to 64 sections");
    for section in sections_of(&tiny_file::bytes()).iter().filter(|section| section.kind != 5) {
        let mut sections = sections_of(&tiny_file::bytes());
        sections.iter_mut().find(|other| other.kind == section.kind).unwrap().content.clear();
        assert_refused(&assemble(&sections), Code::Malformed, "cannot be 0 bytes long");
    }
}

#[test]
fn a_file_without_one_of_the_required_sections_is_malformed() {
    for kind in 1..=7 {
        let sections: Vec<Section> =
            sections_of(&tiny_file::bytes()).into_iter().filter(|section| section.kind != kind).collect();
        assert_refused(&assemble(&sections), Code::Malformed, "section is missing");
    }
}

#[test]
fn a_file_without_the_optional_sections_is_accepted() {
    let sections: Vec<Section> =
        sections_of(&tiny_file::bytes()).into_iter().filter(|section| section.kind != 8).collect();
    assert!(Model::from_bytes(assemble(&sections)).is_ok());
}

#[test]
fn an_unknown_section_that_is_required_is_too_new() {
    for kind in [11, 1_000, u32::MAX] {
        let bytes = with_unknown_section(&tiny_file::bytes(), kind, true, vec![1, 2, 3]);
        assert_refused(&bytes, Code::TooNew, &format!("section of kind {kind}"));
    }
}

#[test]
fn an_unknown_section_that_is_optional_is_skipped_but_verified() {
    for content in [vec![], vec![1, 2, 3], vec![7; CHUNK_LEN + 1]] {
        let mut bytes = with_unknown_section(&tiny_file::bytes(), 11, false, content.clone());
        assert!(Model::from_bytes(bytes.clone()).is_ok());
        if !content.is_empty() {
            let offset = usize::try_from(u64_at(&bytes, entry_at(9) + SECTION_OFFSET_OFFSET)).unwrap();
            bytes[offset + content.len() - 1] ^= 1;
            assert_refused(&bytes, Code::Damaged, "section of kind 11, chunk");
        }
    }
}

#[test]
fn flags_that_are_wrong_or_unknown_are_malformed() {
    for flags in [2_u32, 3, 1 << 31] {
        assert_refused(&with_entry(0, SECTION_FLAGS_OFFSET, &flags.to_le_bytes()), Code::Malformed, "unknown flags");
    }
    assert_refused(&with_entry(0, SECTION_FLAGS_OFFSET, &[0; 4]), Code::Malformed, "wrong required flag");
    assert_refused(&with_entry(7, SECTION_FLAGS_OFFSET, &[1, 0, 0, 0]), Code::Malformed, "wrong required flag");
}

#[test]
fn sections_out_of_order_or_twice_are_malformed() {
    let sections = sections_of(&tiny_file::bytes());
    for index in 0..sections.len() - 1 {
        let mut swapped = sections.clone();
        swapped.swap(index, index + 1);
        assert_refused(&assemble(&swapped), Code::Malformed, "out of order");
        let mut twice = sections.clone();
        twice.insert(index, sections[index].clone());
        assert_refused(&assemble(&twice), Code::Malformed, "out of order");
    }
}

#[test]
fn overlapping_sections_are_malformed() {
    // The second section begins where the first one does, and the chunk indices are correct.
    let bytes = tiny_file::bytes();
    let first = u64_at(&bytes, entry_at(0) + SECTION_OFFSET_OFFSET);
    assert_refused(&with_entry(1, SECTION_OFFSET_OFFSET, &first.to_le_bytes()), Code::Malformed, "out of place");
    // The first section is so long that it overlaps the second one.
    let len = u64_at(&bytes, entry_at(0) + SECTION_LEN_OFFSET) + 64;
    assert_refused(&with_entry(0, SECTION_LEN_OFFSET, &len.to_le_bytes()), Code::Malformed, "out of place");
}

#[test]
fn a_section_that_overlaps_the_header_or_the_section_table_is_malformed() {
    for offset in [0_u64, 64, 128] {
        assert_refused(&with_entry(0, SECTION_OFFSET_OFFSET, &offset.to_le_bytes()), Code::Malformed, "out of place");
    }
}

#[test]
fn a_hole_between_sections_is_malformed() {
    let bytes = tiny_file::bytes();
    for index in 0..8 {
        let offset = u64_at(&bytes, entry_at(index) + SECTION_OFFSET_OFFSET);
        for moved in [offset + 1, offset + 64, offset + 4_096] {
            let bytes = with_entry(index, SECTION_OFFSET_OFFSET, &moved.to_le_bytes());
            assert_refused(&bytes, Code::Malformed, "out of place");
        }
    }
}

#[test]
fn offsets_and_lengths_near_the_largest_number_are_malformed() {
    for index in 0..8 {
        for value in NEAR_MAX {
            let bytes = with_entry(index, SECTION_OFFSET_OFFSET, &value.to_le_bytes());
            assert_refused(&bytes, Code::Malformed, "out of place");
            let error = Model::from_bytes(with_entry(index, SECTION_LEN_OFFSET, &value.to_le_bytes())).unwrap_err();
            assert_eq!(error.code(), Code::Malformed, "section {index}, length {value}: {error}");
        }
    }
    // Only the positions after it limit the length of an unknown section.
    let bytes = with_unknown_section(&tiny_file::bytes(), 11, false, vec![0; 64]);
    for value in NEAR_MAX.into_iter().chain([u64::from(u32::MAX) << 20, 1 << 40]) {
        let mut bytes = bytes.clone();
        put(&mut bytes, entry_at(9) + SECTION_LEN_OFFSET, &value.to_le_bytes());
        let chunks = u32::try_from(value.div_ceil(CHUNK_LEN as u64)).unwrap_or(u32::MAX);
        put(&mut bytes, entry_at(9) + layout::SECTION_CHUNK_COUNT_OFFSET, &chunks.to_le_bytes());
        reseal(&mut bytes);
        let error = Model::from_bytes(bytes).unwrap_err();
        assert_eq!(error.code(), Code::Malformed, "length {value}: {error}");
    }
}

#[test]
fn chunk_numbers_that_do_not_follow_from_the_lengths_are_malformed() {
    for value in [0_u32, 2, 7, u32::MAX] {
        let bytes = with_entry(1, layout::SECTION_FIRST_CHUNK_OFFSET, &value.to_le_bytes());
        assert_refused(&bytes, Code::Malformed, "out of place");
        let bytes = with_entry(1, layout::SECTION_CHUNK_COUNT_OFFSET, &value.to_le_bytes());
        assert_refused(&bytes, Code::Malformed, "out of place");
        let bytes = with(CHUNK_COUNT_OFFSET, &value.to_le_bytes());
        if value != u32_at(&tiny_file::bytes(), CHUNK_COUNT_OFFSET) {
            assert_refused(&bytes, Code::Malformed, "checksums are out of place");
        }
    }
}

#[test]
fn checksums_in_another_place_are_malformed() {
    let offset = u64_at(&tiny_file::bytes(), layout::CHECKSUMS_OFFSET_OFFSET);
    for moved in NEAR_MAX.into_iter().chain([0, 128, offset - 64, offset + 64]) {
        let bytes = with(layout::CHECKSUMS_OFFSET_OFFSET, &moved.to_le_bytes());
        assert_refused(&bytes, Code::Malformed, "checksums are out of place");
    }
}

#[test]
fn bytes_that_belong_to_no_part_are_malformed_even_if_the_header_counts_them() {
    let mut bytes = tiny_file::bytes();
    let len = bytes.len() as u64 + 8;
    let end = bytes.split_off(bytes.len() - END_LEN);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&end[8..]);
    put(&mut bytes, TOTAL_LEN_OFFSET, &len.to_le_bytes());
    reseal(&mut bytes);
    assert_refused(&bytes, Code::Malformed, "its header says");
}

#[test]
fn an_end_that_contradicts_the_header_is_damaged() {
    let len = tiny_file::bytes().len();
    for offset in [len - END_LEN, len - END_LEN + 7, len - 8, len - 1] {
        let mut bytes = tiny_file::bytes();
        bytes[offset] ^= 0x20;
        assert_refused(&bytes, Code::Damaged, "end mark");
    }
}

#[test]
fn padding_that_is_not_zero_is_damaged() {
    let bytes = tiny_file::bytes();
    let mut padding: Vec<usize> = Vec::new();
    for index in 0..8 {
        let entry = entry_at(index);
        let end = u64_at(&bytes, entry + SECTION_OFFSET_OFFSET) + u64_at(&bytes, entry + SECTION_LEN_OFFSET);
        if !end.is_multiple_of(64) {
            padding.push(usize::try_from(end).unwrap());
        }
    }
    // The padding after the section table, before the weights, and after an odd number of checksums.
    let weights = usize::try_from(u64_at(&bytes, entry_at(3) + SECTION_OFFSET_OFFSET)).unwrap();
    padding.push(weights - 1);
    assert!(padding.len() >= 5, "{padding:?}");
    for position in padding {
        let mut bytes = bytes.clone();
        bytes[position] = 1;
        reseal(&mut bytes);
        assert_refused(&bytes, Code::Damaged, "padding");
    }
}

#[test]
fn padding_after_an_odd_number_of_checksums_that_is_not_zero_is_damaged() {
    let mut bytes = tiny_file::bytes();
    assert_eq!(u32_at(&bytes, CHUNK_COUNT_OFFSET) % 2, 1);
    let position = bytes.len() - END_LEN - 1;
    bytes[position] = 1;
    assert_refused(&bytes, Code::Damaged, "padding");
}

#[test]
fn two_chunks_that_changed_places_are_damaged_even_if_their_checksums_did_too() {
    let content: Vec<u8> = (0..2 * CHUNK_LEN).map(|index| u8::from(index >= CHUNK_LEN)).collect();
    let mut bytes = with_unknown_section(&tiny_file::bytes(), 11, false, content);
    assert!(Model::from_bytes(bytes.clone()).is_ok());
    let start = usize::try_from(u64_at(&bytes, entry_at(9) + SECTION_OFFSET_OFFSET)).unwrap();
    let (one, other) = bytes[start..start + 2 * CHUNK_LEN].split_at_mut(CHUNK_LEN);
    one.swap_with_slice(other);
    assert_refused(&bytes, Code::Damaged, "section of kind 11, chunk 0");
    swap_checksums(&mut bytes, 9, 10);
    assert_refused(&bytes, Code::Damaged, "section of kind 11, chunk 0");
}

#[test]
fn two_sections_that_changed_places_are_damaged_even_if_their_checksums_did_too() {
    let bytes = with_unknown_section(&tiny_file::bytes(), 11, false, vec![1; 64]);
    let mut bytes = with_unknown_section(&bytes, 12, false, vec![2; 64]);
    let start = usize::try_from(u64_at(&bytes, entry_at(9) + SECTION_OFFSET_OFFSET)).unwrap();
    let (one, other) = bytes[start..start + 128].split_at_mut(64);
    one.swap_with_slice(other);
    swap_checksums(&mut bytes, 9, 10);
    assert_refused(&bytes, Code::Damaged, "section of kind 11, chunk 0");
}

#[test]
fn a_section_of_another_file_is_damaged_even_with_its_checksum() {
    // The section has the weights of another generation: equal layout and length, but another file id.
    let (mut bytes, other) = (tiny_file::bytes(), tiny_file::with_generation(2));
    assert_eq!(bytes.len(), other.len());
    assert_ne!(bytes[layout::FILE_ID_OFFSET..][..16], other[layout::FILE_ID_OFFSET..][..16]);
    let checksum = checksums_at(&bytes) + 4 * 3;
    let other_checksum = u32_at(&other, checksum);
    put(&mut bytes, checksum, &other_checksum.to_le_bytes());
    seal_checksums(&mut bytes);
    assert_refused(&bytes, Code::Damaged, "weights, chunk 0");
}

#[test]
fn each_checksum_of_the_frame_names_its_part() {
    for (offset, part) in [
        (layout::HEADER_CRC_OFFSET, "header"),
        (layout::SECTION_TABLE_CRC_OFFSET, "section table"),
        (layout::CHECKSUMS_CRC_OFFSET, "checksums"),
    ] {
        let mut bytes = tiny_file::bytes();
        bytes[offset] ^= 1;
        let header_crc = crc(&[&bytes[..layout::HEADER_CRC_OFFSET]]);
        if offset != layout::HEADER_CRC_OFFSET {
            put(&mut bytes, layout::HEADER_CRC_OFFSET, &header_crc.to_le_bytes());
        }
        assert_refused(&bytes, Code::Damaged, &format!("damaged in its {part}"));
    }
}

fn checksums_at(bytes: &[u8]) -> usize {
    usize::try_from(u64_at(bytes, layout::CHECKSUMS_OFFSET_OFFSET)).unwrap()
}

fn swap_checksums(bytes: &mut [u8], one: usize, other: usize) {
    let start = checksums_at(bytes);
    for byte in 0..4 {
        bytes.swap(start + 4 * one + byte, start + 4 * other + byte);
    }
    seal_checksums(bytes);
}

/// Computes the checksum of the checksums and that of the header, but not those of the chunks.
fn seal_checksums(bytes: &mut [u8]) {
    let start = checksums_at(bytes);
    let len = 4 * u32_at(bytes, CHUNK_COUNT_OFFSET) as usize;
    let checksums_crc = crc(&[&bytes[layout::FILE_ID_OFFSET..][..16], &bytes[start..start + len]]);
    put(bytes, layout::CHECKSUMS_CRC_OFFSET, &checksums_crc.to_le_bytes());
    let header_crc = crc(&[&bytes[..layout::HEADER_CRC_OFFSET]]);
    put(bytes, layout::HEADER_CRC_OFFSET, &header_crc.to_le_bytes());
}
