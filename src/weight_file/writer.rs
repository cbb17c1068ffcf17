//! Makes weight files: lays the parts out, computes the golden answers, and puts the file under its name so that no reader
//! ever sees half of it.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use super::golden::{self, GoldenRequest};
use super::header::{Section, place_end, place_section};
use super::layout::{self, CHUNK_LEN, FILE_ID_LEN, HEADER_LEN, SECTION_ENTRY_LEN, SectionKind};
use super::map::LoadMode;
use super::table::{self, BuiltTable, EncodedWeights, Entry, TableFull};
use super::{Calibrator, checksum};
use crate::contract::Contract;
use crate::error::Error;
use crate::instructions::Instructions;
use crate::new_file::NewFile;
use crate::score::Model;
use crate::value::RequestRows;

/// What a weight file is made of.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// Generation of the training run.
    pub generation: u64,
    /// Name of the serving logic; goes into the provenance.
    pub logic_id: &'a str,
    /// How the model came to be. Anything that changes from run to run with the same input makes other bytes.
    pub provenance: Map<String, Value>,
    /// The weight that is always on, on the logit scale.
    pub bias: f64,
    /// The weights, in strictly ascending order of key.
    pub weights: &'a EncodedWeights,
    /// From sigmoid to published probability.
    pub calibrator: Calibrator,
    /// Number of weights of each field and cross, by name.
    pub field_sizes: Vec<(String, u64)>,
    /// Requests whose answers the file must give ever after.
    pub golden: &'a [RequestRows],
}

/// Why a weight file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file of that name exists, the disk failed, or what was read back is not what was written.
    #[error(transparent)]
    File(#[from] Error),
    /// The keys could not be placed.
    #[error(transparent)]
    Table(#[from] TableFull),
    /// The parts do not make a valid file.
    #[error("{0}")]
    Parts(String),
}

/// Makes the bytes of a weight file, golden answers included, and verifies them. The same parts give the same bytes.
///
/// # Errors
///
/// [`WriteError`] for parts that do not make a valid file.
pub fn to_bytes(parts: &Parts<'_>) -> Result<Vec<u8>, WriteError> {
    if parts.logic_id.is_empty() {
        return Err(WriteError::Parts("the logic id is empty; name the serving logic".to_owned()));
    }
    if let Some(&Entry { key, weight, .. }) = parts.weights.entries().iter().find(|entry| !entry.weight.is_finite()) {
        return Err(WriteError::Parts(format!("the weight of key {key:#018x} is {weight}, expected a finite number")));
    }
    if parts.golden.is_empty() || parts.golden.iter().any(|rows| rows.candidates.is_empty()) {
        return Err(WriteError::Parts("expected at least one golden request, each with a candidate".to_owned()));
    }
    let built = table::build(parts.weights)?;
    // Answers have a fixed length in the file, so the first draft has everything in its final place but them.
    let draft = parts.golden.iter().map(|rows| GoldenRequest {
        rows: rows.clone(),
        logits: vec![0.0; rows.candidates.len()],
        probabilities: vec![0.0; rows.candidates.len()],
    });
    let mut golden: Vec<GoldenRequest> = draft.collect();
    let draft = Model::with_unchecked_answers(assemble(parts, &built, &golden)?)?;
    answer(&draft, &mut golden)?;
    drop(draft);
    let bytes = assemble(parts, &built, &golden)?;
    drop(built);
    Ok(bytes)
}

/// Makes a weight file under `path` and returns the verified model over it.
///
/// The bytes go to a temporary sibling, are synced, read back and verified with the golden requests; then the file is made
/// read-only and gets its name, and the folder is synced. Whoever looks sees no file of that name, or all of it.
///
/// # Errors
///
/// [`Error::AlreadyExists`] if there is a file of that name: it is never touched, since servers may have it mapped.
pub fn write(parts: &Parts<'_>, path: &Path) -> Result<Arc<Model>, WriteError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.to_owned() },
        _ => Error::File { action: "write", path: path.to_owned(), source: error },
    };
    // Started first, so that a name which is taken is found before the work.
    let file = NewFile::create(path, false).map_err(failed)?;
    file.file().write_all(&to_bytes(parts)?).map_err(failed)?;
    file.sync().map_err(failed)?;
    Model::load(file.sibling(), LoadMode::Map)?;
    file.make_read_only().map_err(failed)?;
    file.commit().map_err(failed)?;
    Ok(Model::load(path, LoadMode::Map)?)
}

fn answer(model: &Arc<Model>, golden: &mut [GoldenRequest]) -> Result<(), WriteError> {
    for request in golden {
        let (scorer, mut block) = model.scorer_for(&request.rows, Instructions::PLAIN)?;
        block.fill(&request.rows)?;
        let count = request.rows.candidates.len();
        scorer.predict_plain(&mut block, count)?;
        request.logits = block.answers(count).map(|answer| answer.logit).collect();
        request.probabilities = block.answers(count).map(|answer| answer.probability).collect();
        if request.logits.iter().any(|logit| logit.is_nan()) {
            return Err(WriteError::Parts("a golden request has a malformed candidate".to_owned()));
        }
    }
    Ok(())
}

fn assemble(parts: &Parts<'_>, built: &BuiltTable, golden: &[GoldenRequest]) -> Result<Vec<u8>, WriteError> {
    let mut provenance = parts.provenance.clone();
    provenance.insert("logic_id".to_owned(), Value::from(parts.logic_id));
    let field_sizes: Map<String, Value> =
        parts.field_sizes.iter().map(|(name, count)| (name.clone(), Value::from(*count))).collect();
    let contract = parts.contract.canonical_json();
    let provenance = Value::Object(provenance).to_string();
    let table = table_section(parts, built);
    let calibrator = calibrator_section(parts.calibrator);
    let golden = golden::to_json(golden);
    let field_sizes = Value::Object(field_sizes).to_string();
    assemble_sections(
        parts.generation,
        &[
            (SectionKind::Contract, contract.as_bytes()),
            (SectionKind::Provenance, provenance.as_bytes()),
            (SectionKind::Table, &table),
            (SectionKind::Weights, &built.weights),
            (SectionKind::Exceptions, &built.exceptions),
            (SectionKind::Calibrator, &calibrator),
            (SectionKind::Golden, golden.as_bytes()),
            (SectionKind::FieldSizes, field_sizes.as_bytes()),
        ],
    )
    .ok_or_else(|| WriteError::Parts("the parts are larger than any file".to_owned()))
}

fn table_section(parts: &Parts<'_>, built: &BuiltTable) -> Vec<u8> {
    let mut bytes = vec![0; layout::TABLE_LEN];
    put(&mut bytes, layout::TABLE_LAYOUT_OFFSET, &layout::LAYOUT_TWO_CHOICE_LINES.to_le_bytes());
    put(&mut bytes, layout::TABLE_ENCODING_OFFSET, &built.geometry.encoding.number().to_le_bytes());
    put(&mut bytes, layout::TABLE_WEIGHT_COUNT_OFFSET, &(parts.weights.entries().len() as u64).to_le_bytes());
    put(&mut bytes, layout::TABLE_SHARD_COUNT_OFFSET, &built.geometry.shard_count.to_le_bytes());
    put(&mut bytes, layout::TABLE_SHARD_LINES_OFFSET, &built.geometry.shard_lines.to_le_bytes());
    put(&mut bytes, layout::TABLE_BIAS_OFFSET, &parts.bias.to_le_bytes());
    bytes.extend_from_slice(&built.scales);
    bytes
}

fn calibrator_section(calibrator: Calibrator) -> Vec<u8> {
    let mut bytes = vec![0; layout::CALIBRATOR_LEN];
    put(&mut bytes, layout::CALIBRATOR_KIND_OFFSET, &layout::CALIBRATOR_NONE.to_le_bytes());
    put(&mut bytes, layout::CALIBRATOR_LEAST_OFFSET, &calibrator.least.to_le_bytes());
    put(&mut bytes, layout::CALIBRATOR_GREATEST_OFFSET, &calibrator.greatest.to_le_bytes());
    bytes
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

/// Lays sections out, in ascending order of kind, and seals them. Whether they make sense is the reader's question.
fn assemble_sections(generation: u64, contents: &[(SectionKind, &[u8])]) -> Option<Vec<u8>> {
    let mut sections: Vec<Section> = Vec::new();
    let mut end = (HEADER_LEN + contents.len() * SECTION_ENTRY_LEN) as u64;
    let mut chunk_count = 0;
    for (kind, content) in contents {
        let section = place_section(end, chunk_count, kind.number(), content.len() as u64)?;
        end = section.offset + section.len_bytes;
        chunk_count += section.chunk_count;
        sections.push(section);
    }
    let end = place_end(end, chunk_count)?;
    let mut file = vec![0; usize::try_from(end.total_len_bytes).ok()?];
    for (section, (_, content)) in sections.iter().zip(contents) {
        put(&mut file, usize::try_from(section.offset).ok()?, content);
    }
    let file_id = file_id(generation, contents);
    let mut checksum_at = usize::try_from(end.checksums_offset).ok()?;
    let checksums_start = checksum_at;
    for (kind, content) in contents {
        for (index, chunk) in (0_u32..).zip(content.chunks(CHUNK_LEN)) {
            put(&mut file, checksum_at, &checksum::of_chunk(&file_id, kind.number(), index, chunk).to_le_bytes());
            checksum_at += size_of::<u32>();
        }
    }
    let checksums_crc = checksum::of_part(&file_id, &file[checksums_start..checksum_at]);
    let end_at = usize::try_from(end.end_offset).ok()?;
    put(&mut file, end_at, &end.total_len_bytes.to_le_bytes());
    put(&mut file, end_at + size_of::<u64>(), &layout::END_MARK);

    for (index, section) in sections.iter().enumerate() {
        let at = HEADER_LEN + index * SECTION_ENTRY_LEN;
        let flags = if section.required { layout::FLAG_REQUIRED } else { 0 };
        put(&mut file, at + layout::SECTION_KIND_OFFSET, &section.kind_number.to_le_bytes());
        put(&mut file, at + layout::SECTION_FLAGS_OFFSET, &flags.to_le_bytes());
        put(&mut file, at + layout::SECTION_OFFSET_OFFSET, &section.offset.to_le_bytes());
        put(&mut file, at + layout::SECTION_LEN_OFFSET, &section.len_bytes.to_le_bytes());
        put(&mut file, at + layout::SECTION_FIRST_CHUNK_OFFSET, &section.first_chunk.to_le_bytes());
        put(&mut file, at + layout::SECTION_CHUNK_COUNT_OFFSET, &section.chunk_count.to_le_bytes());
    }
    let section_table_end = HEADER_LEN + sections.len() * SECTION_ENTRY_LEN;
    let section_table_crc = checksum::of_part(&file_id, &file[HEADER_LEN..section_table_end]);
    put(&mut file, 0, &layout::MAGIC);
    put(&mut file, layout::BYTE_ORDER_OFFSET, &layout::BYTE_ORDER.to_le_bytes());
    put(&mut file, layout::FORMAT_VERSION_OFFSET, &layout::FORMAT_VERSION.to_le_bytes());
    put(&mut file, layout::OLDEST_READER_OFFSET, &layout::FORMAT_VERSION.to_le_bytes());
    put(&mut file, layout::SECTION_COUNT_OFFSET, &u32::try_from(sections.len()).ok()?.to_le_bytes());
    put(&mut file, layout::TOTAL_LEN_OFFSET, &end.total_len_bytes.to_le_bytes());
    put(&mut file, layout::GENERATION_OFFSET, &generation.to_le_bytes());
    put(&mut file, layout::FILE_ID_OFFSET, &file_id);
    put(&mut file, layout::CHUNK_LEN_OFFSET, &u32::try_from(CHUNK_LEN).ok()?.to_le_bytes());
    put(&mut file, layout::CHUNK_COUNT_OFFSET, &chunk_count.to_le_bytes());
    put(&mut file, layout::CHECKSUMS_OFFSET_OFFSET, &end.checksums_offset.to_le_bytes());
    put(&mut file, layout::SECTION_TABLE_CRC_OFFSET, &section_table_crc.to_le_bytes());
    put(&mut file, layout::CHECKSUMS_CRC_OFFSET, &checksums_crc.to_le_bytes());
    let header_crc = checksum::plain(&file[..layout::HEADER_CRC_OFFSET]);
    put(&mut file, layout::HEADER_CRC_OFFSET, &header_crc.to_le_bytes());
    Some(file)
}

/// The identity of a content: the same content has the same.
fn file_id(generation: u64, contents: &[(SectionKind, &[u8])]) -> [u8; FILE_ID_LEN] {
    let mut hasher = Xxh3::new();
    hasher.update(&generation.to_le_bytes());
    for (kind, content) in contents {
        hasher.update(&kind.number().to_le_bytes());
        hasher.update(&(content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    hasher.digest128().to_le_bytes()
}
