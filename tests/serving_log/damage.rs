//! Hostile and damaged segments: nothing that was not written is ever read, and nothing panics.

use std::collections::HashSet;
use std::fs;

use omomi::serving_log::{Account, PredictionId, SegmentProblem, SegmentReader, Served, ServingLog};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::small_model;
use crate::world::{PATIENCE, Thread, click, mixed_contract, model_of, options, segments_in};

/// A small segment with several blocks and every kind of record.
fn segment() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.details_per_million = 150_000)).unwrap();
    let mut threads = [small_model::contract(), mixed_contract()].map(|it| Thread::new(&log, &model_of(&it)));
    for index in 0..6 {
        for thread in &mut threads {
            thread.record(&format!("request-{index}"), index);
            thread.ring.event(&click(PredictionId::of("1", "", 0).unwrap())).unwrap();
            let served = Served::of("2").with(|it| (it.impression, it.arm, it.bucket) = ("imp", "b", Some(1)));
            thread.ring.record(&mut thread.request, 7, &served).unwrap();
        }
        assert!(log.flush(PATIENCE));
    }
    drop((threads, log));
    fs::read(&segments_in(folder.path(), false)[0]).unwrap()
}

/// Everything that can be read, as texts: of rings, records and footers; and whether anything was noticed.
fn texts_of(bytes: &[u8]) -> (Vec<String>, bool) {
    let mut texts = Vec::new();
    let mut account = Account::new();
    let outcome = account.read(bytes, &mut |_, block, record| {
        let model = record.head.model.map(|model| &block.models[model]);
        texts.push(format!("{} {record:?} {model:?}", block.ring));
    });
    let is_sealed = matches!(&outcome, Ok((_, Some(_))));
    let is_whole = account.writers().all(|(_, writer)| writer.skipped_bytes == 0 && writer.malformed_count == 0);
    (texts, !is_sealed || !is_whole)
}

#[test]
fn a_segment_that_is_cut_anywhere_is_readable_up_to_its_last_whole_block() {
    let bytes = segment();
    let (all, is_noticed) = texts_of(&bytes);
    assert!(all.len() > 40 && !is_noticed, "{}", all.len());
    let mut counts = HashSet::new();
    for len in 0..bytes.len() {
        let (texts, is_noticed) = texts_of(&bytes[..len]);
        assert_eq!(texts, all[..texts.len()], "cut at {len}");
        assert!(is_noticed, "cut at {len}");
        counts.insert(texts.len());
    }
    assert!(counts.len() >= 6 && counts.contains(&all.len()), "{counts:?}");
}

#[test]
fn any_flipped_bit_is_noticed_and_costs_only_its_own_block() {
    let bytes = segment();
    let (all, _) = texts_of(&bytes);
    let known: HashSet<&String> = all.iter().collect();
    let mut least = usize::MAX;
    for index in (0..bytes.len()).filter(|index| *index < 2_000 || index % 5 == 0) {
        let mut damaged = bytes.clone();
        damaged[index] ^= 1 << (index % 8);
        let (texts, is_noticed) = texts_of(&damaged);
        assert!(is_noticed, "byte {index}");
        assert!(texts.iter().all(|text| known.contains(text)), "byte {index}");
        if index >= 256 {
            least = least.min(texts.len());
        }
    }
    assert!(least >= all.len() / 2, "{least} of {} records", all.len());
}

/// Where frames begin, from their lengths.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![256];
    while let Some(start) = starts.last().copied().filter(|start| *start < bytes.len()) {
        let len = u32::from_le_bytes(*bytes[start + 12..].first_chunk().unwrap());
        starts.push(start + 24 + len as usize);
    }
    starts
}

/// Computes the checksums of a mutant again, so that every change reaches the decoder.
fn reseal(bytes: &mut [u8], starts: &[usize]) {
    let checksum = crc32(&bytes[..252]);
    bytes[252..256].copy_from_slice(&checksum.to_le_bytes());
    for pair in starts.windows(2) {
        let frame = pair[0]..pair[1];
        let mut covered = bytes[16..32].to_vec();
        covered.extend_from_slice(&bytes[frame.start..frame.start + 16]);
        covered.extend_from_slice(&bytes[frame.start + 24..frame.end]);
        let checksum = crc32(&covered);
        bytes[frame.start + 16..frame.start + 20].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

#[test]
fn mutants_with_good_checksums_never_panic() {
    let bytes = segment();
    let starts = frames(&bytes);
    let mut resealed = bytes.clone();
    reseal(&mut resealed, &starts);
    assert_eq!(resealed, bytes, "the test computes the checksums of the library");
    let mut random = Pcg64Mcg::seed_from_u64(20);
    let count: u32 = std::env::var("OMOMI_MUTANTS").map_or(3_000, |count| count.parse().unwrap());
    let mut malformed_count = 0;
    for _ in 0..count {
        let mut mutant = bytes.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..mutant.len());
            match random.random_range(0..4) {
                0 => mutant[at] = random.random(),
                1 => mutant[at] ^= 1 << random.random_range(0..8),
                2 => {
                    let end = (at + 4).min(mutant.len());
                    let value = [0, 1, u32::MAX, i32::MAX as u32, 65_535][random.random_range(0..5)];
                    mutant[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
                }
                _ => {
                    let end = (at + 8).min(mutant.len());
                    mutant[at..end].fill(if random.random() { 0xff } else { 0 });
                }
            }
        }
        // Lengths stay those of the frames, so that what is inside is reached.
        for start in &starts[..starts.len() - 1] {
            mutant[*start..start + 16].copy_from_slice(&bytes[*start..start + 16]);
        }
        reseal(&mut mutant, &starts);
        malformed_count += u32::from(texts_of(&mutant).1);
    }
    assert!(malformed_count > count / 10, "{malformed_count} of {count}");
}

#[test]
fn other_files_and_later_versions_are_told_apart() {
    let bytes = segment();
    let problem = |bytes: &[u8]| SegmentReader::new(bytes).unwrap_err();
    assert_eq!(problem(b"PAR1 is another format"), SegmentProblem::NotASegment);
    assert_eq!(problem(b""), SegmentProblem::CutInHeader { found: 0 });
    assert_eq!(problem(&bytes[..255]), SegmentProblem::CutInHeader { found: 255 });
    let mut newer = bytes.clone();
    newer[12] = 2;
    assert!(matches!(problem(&newer), SegmentProblem::DamagedHeader { .. }));
    reseal(&mut newer, &frames(&bytes));
    assert_eq!(problem(&newer), SegmentProblem::TooNew { needed: 2, found: 1 });
}

/// Each place that could be a frame is checked, which a file full of such places must not make slow.
#[test]
fn a_segment_full_of_beginnings_of_frames_is_given_up_soon() {
    let mut bytes = segment()[..256].to_vec();
    let len = 8 << 20;
    while bytes.len() < len {
        bytes.extend_from_slice(b"OLF1\x01\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\0");
    }
    let began = std::time::Instant::now();
    let (texts, is_noticed) = texts_of(&bytes);
    assert!(texts.is_empty() && is_noticed);
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}
