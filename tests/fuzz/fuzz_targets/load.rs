//! Passes arbitrary bytes to the loader: it refuses them, or the model that it accepts can be scored. It never panics,
//! hangs or reads out of bounds.
//!
//! Random changes rarely survive the first checksum. So each input is loaded three times: unchanged; with corrected
//! checksums; and taken apart and assembled again with corrected positions too.

#![no_main]

#[path = "../../damage/sealing.rs"]
#[allow(dead_code, reason = "shared with the damage tests, which use more of it")]
mod sealing;

use libfuzzer_sys::fuzz_target;
use omomi::Model;
use omomi::weight_file::layout::{self, HEADER_LEN, MAX_SECTIONS, SECTION_ENTRY_LEN};
use omomi::Instructions;

fuzz_target!(|bytes: &[u8]| {
    load(bytes.to_vec());
    let mut resealed = bytes.to_vec();
    sealing::reseal(&mut resealed);
    load(resealed);
    if let Some(sections) = sections_within(bytes) {
        load(sealing::assemble(&sections));
    }
});

/// Returns the sections of a file whose table is intact, as far as they are inside the file.
fn sections_within(bytes: &[u8]) -> Option<Vec<sealing::Section>> {
    if bytes.len() < HEADER_LEN {
        return None;
    }
    let section_count = sealing::u32_at(bytes, layout::SECTION_COUNT_OFFSET) as usize;
    if section_count > MAX_SECTIONS {
        return None;
    }
    let table = bytes.get(HEADER_LEN..HEADER_LEN + section_count * SECTION_ENTRY_LEN)?;
    let section = |entry: &[u8]| {
        let offset = usize::try_from(sealing::u64_at(entry, layout::SECTION_OFFSET_OFFSET)).ok()?;
        let len = usize::try_from(sealing::u64_at(entry, layout::SECTION_LEN_OFFSET)).ok()?;
        // Contents that grew, or that are cut off at the end of the file, are kept: other lengths are worth trying.
        let content = bytes.get(offset..offset.saturating_add(len).min(bytes.len()))?;
        Some(sealing::Section {
            kind: sealing::u32_at(entry, layout::SECTION_KIND_OFFSET),
            flags: sealing::u32_at(entry, layout::SECTION_FLAGS_OFFSET),
            content: content.to_vec(),
        })
    };
    table.chunks_exact(SECTION_ENTRY_LEN).map(section).collect()
}

/// Loads a file and, if it is accepted, scores it by every path.
fn load(bytes: Vec<u8>) {
    let Ok(model) = Model::from_bytes(bytes) else { return };
    for golden in model.golden_requests().expect("an accepted file has golden requests") {
        let count = golden.rows.candidates.len();
        for instructions in Instructions::all() {
            let (scorer, mut request) =
                model.scorer_for(&golden.rows, instructions).expect("a model binds to its own contract");
            request.fill(&golden.rows).expect("golden rows fit into a request");
            scorer.predict(&mut request, count).expect("golden rows can be scored");
            for (answer, logit) in request.answers(count).zip(&golden.logits) {
                assert_eq!(answer.logit.to_bits(), logit.to_bits());
                assert!(answer.probability > 0.0 && answer.probability <= 1.0);
            }
        }
    }
}
