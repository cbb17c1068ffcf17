//! Changes single weights of a finished weight file, whose keys are not known.
//!
//! A changed weight becomes an exception of the table: a reader looks there first. So nothing else of the table moves,
//! and a key that the table does not have needs no place in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::draft::Draft;
use super::signing::{PrivateKey, sign};
use super::writer::{WriteError, answer, default_weights_section, provenance_section};
use omomi::request::RequestRows;
use omomi::score::Model;
use omomi::weight_file::DefaultWeights;
use omomi::weight_file::golden::{self, GoldenRequest};
use omomi::weight_file::layout::{self, EXCEPTION_LEN, SectionKind};
use omomi::weight_file::table::line::{F16Line, F32Line, I8Line, LineFormat};
use omomi::weight_file::table::{Encoding, Geometry, LINE_LEN, first_line, low_word, step};

/// Most exceptions of an amended file. With more, readers would search them for every look-up.
pub(crate) const MAX_EXCEPTIONS: usize = 128;

/// What to change.
#[derive(Debug, Default)]
pub(crate) struct Amendment {
    pub(crate) generation: u64,
    pub(crate) bias: Option<f64>,
    /// Weights by key, as they are stored: before their scale.
    pub(crate) weights: BTreeMap<u64, f32>,
    /// How many of these keys the table does not have yet, by field or cross.
    pub(crate) new_by_field: BTreeMap<String, u64>,
    /// Keys of the table whose weights become 0.
    pub(crate) zeros: Vec<u64>,
    /// Fields and crosses whose scale becomes so small that their weights add nothing.
    pub(crate) zero_scales: Vec<usize>,
    pub(crate) default_weights: Option<Vec<DefaultWeights>>,
    pub(crate) provenance: Map<String, Value>,
    /// Requests that are added to the golden requests.
    pub(crate) golden: Vec<RequestRows>,
}

/// Returns the bytes of the changed file, with its golden answers, signed if there is a key.
pub(crate) fn amended(model: &Model, amendment: &Amendment, key: Option<&PrivateKey>) -> Result<Vec<u8>, WriteError> {
    let file = model.file();
    let mut draft = Draft::of_file(file.bytes().to_vec())?.with_generation(amendment.generation)?;
    let mut table = file.section(SectionKind::Table).to_vec();
    if let Some(bias) = amendment.bias {
        put(&mut table, layout::TABLE_BIAS_OFFSET, &bias.to_le_bytes());
    }
    let count = model.weight_count() + amendment.new_by_field.values().sum::<u64>();
    put(&mut table, layout::TABLE_WEIGHT_COUNT_OFFSET, &count.to_le_bytes());
    for &group in &amendment.zero_scales {
        put(&mut table, layout::TABLE_LEN + group * size_of::<f32>(), &f32::MIN_POSITIVE.to_le_bytes());
    }
    draft.replace(SectionKind::Table, &table)?;

    let mut exceptions = exceptions_of(file.section(SectionKind::Exceptions));
    for key in &amendment.zeros {
        if let Some(weight) = exceptions.get_mut(key) {
            *weight = 0.0;
        }
    }
    exceptions.extend(&amendment.weights);
    if exceptions.len() > MAX_EXCEPTIONS {
        let found = exceptions.len();
        let problem = format!(
            "expected at most {MAX_EXCEPTIONS} weights that were changed in a file, found {found}: every look-up would \
             become slower; pack a state"
        );
        return Err(WriteError::Parts(problem));
    }
    draft.replace(SectionKind::Exceptions, &exceptions_section(&exceptions))?;
    let geometry = geometry_of(model, &table);
    let lines = draft.section_mut(SectionKind::Weights).as_chunks_mut::<LINE_LEN>().0;
    for &key in &amendment.zeros {
        match geometry.encoding {
            Encoding::F32 => zero::<F32Line>(lines, geometry, key, F32Line::WEIGHTS_OFFSET, size_of::<f32>()),
            Encoding::F16 => zero::<F16Line>(lines, geometry, key, F16Line::WEIGHTS_OFFSET, size_of::<u16>()),
            Encoding::I8 => zero::<I8Line>(lines, geometry, key, I8Line::WEIGHTS_OFFSET, size_of::<i8>()),
        }
    }
    if let Some(defaults) = &amendment.default_weights {
        draft = draft.with_section(SectionKind::DefaultWeights, &default_weights_section(defaults))?;
    }
    if let Some(Value::Object(mut sizes)) = file.field_sizes()?.filter(|_| !amendment.new_by_field.is_empty()) {
        for (field, count) in &amendment.new_by_field {
            let before = sizes.get(field).and_then(Value::as_u64).unwrap_or(0);
            sizes.insert(field.clone(), Value::from(before + count));
        }
        draft.replace(SectionKind::FieldSizes, Value::Object(sizes).to_string().as_bytes())?;
    }
    let provenance = provenance_section(model.logic_id(), &amendment.provenance);
    draft.replace(SectionKind::Provenance, provenance.as_bytes())?;
    let rows = model.golden_requests()?.into_iter().map(|request| request.rows);
    let blank = rows.chain(amendment.golden.iter().cloned()).map(|rows| GoldenRequest {
        logits: vec![0.0; rows.candidates.len()],
        probabilities: vec![0.0; rows.candidates.len()],
        rows,
    });
    let mut golden: Vec<GoldenRequest> = blank.collect();
    draft.replace(SectionKind::Golden, golden::to_json(&golden).as_bytes())?;

    let draft = Model::with_unchecked_answers(draft.seal())?;
    answer(&draft, &mut golden)?;
    let Some(bytes) = draft.into_bytes() else { unreachable!("the draft is held here alone") };
    let mut draft = Draft::of_file(bytes)?;
    draft.replace(SectionKind::Golden, golden::to_json(&golden).as_bytes())?;
    let bytes = draft.seal();
    match key {
        None => Ok(bytes),
        Some(key) => sign(bytes, key),
    }
}

/// Returns how many exceptions a file has.
pub(crate) fn exception_count(model: &Model) -> usize {
    model.file().section(SectionKind::Exceptions).len() / EXCEPTION_LEN
}

/// Returns whether the exceptions of a file have a key.
pub(crate) fn is_exception(model: &Model, key: u64) -> bool {
    exceptions_of(model.file().section(SectionKind::Exceptions)).contains_key(&key)
}

fn exceptions_of(bytes: &[u8]) -> BTreeMap<u64, f32> {
    let of_record = |record: &[u8; EXCEPTION_LEN]| {
        let [k0, k1, k2, k3, k4, k5, k6, k7, w0, w1, w2, w3, ..] = *record;
        (u64::from_le_bytes([k0, k1, k2, k3, k4, k5, k6, k7]), f32::from_le_bytes([w0, w1, w2, w3]))
    };
    bytes.as_chunks().0.iter().map(of_record).collect()
}

fn exceptions_section(exceptions: &BTreeMap<u64, f32>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(exceptions.len() * EXCEPTION_LEN);
    for (key, weight) in exceptions {
        bytes.extend(key.to_le_bytes());
        bytes.extend(weight.to_le_bytes());
        bytes.extend([0; 4]);
    }
    bytes
}

fn geometry_of(model: &Model, table: &[u8]) -> Geometry {
    let number = |offset: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&table[offset..offset + 4]);
        u32::from_le_bytes(bytes)
    };
    Geometry {
        encoding: model.table().encoding(),
        shard_count: number(layout::TABLE_SHARD_COUNT_OFFSET),
        shard_lines: number(layout::TABLE_SHARD_LINES_OFFSET),
    }
}

/// Makes the weight of a key in the lines 0, if they have the key. Looks where a reader does.
fn zero<F: LineFormat>(lines: &mut [[u8; LINE_LEN]], geometry: Geometry, key: u64, offset: usize, len: usize) {
    let low_word = low_word(key);
    let tag = F::tag_of(low_word);
    let first = first_line(geometry.line_count(), key);
    let shard_lines = geometry.shard_lines as usize;
    let base = first / shard_lines * shard_lines;
    let second = base + (first - base + step(geometry.shard_lines, low_word)) % shard_lines;
    let found = match F::find_tag(&lines[first], tag) {
        Some(slot) => Some((first, slot)),
        None if !F::overflows(&lines[first], low_word) => None,
        None => F::find_tag(&lines[second], tag).map(|slot| (second, slot)),
    };
    if let Some((line, slot)) = found {
        lines[line][offset + slot * len..offset + (slot + 1) * len].fill(0);
    }
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}
