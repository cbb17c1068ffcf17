//! Opens a weight file over any bytes, and verifies every byte.

use std::ops::Range;

use serde_json::Value;

use super::checksum;
use super::header::{Header, Record, Section};
use super::layout::{self, CHUNK_LEN, HEADER_LEN, SECTION_ENTRY_LEN, SectionKind};
use super::table::{Encoding, Geometry, Table, TableShape};
use crate::bounded_json::{self, JsonLimits, JsonProblem};
use crate::contract::Contract;
use crate::error::Error;
use crate::printable::{is_control, quoted};

/// A weight file over `B`: a slice, a vector, a mapping.
#[derive(Debug)]
pub struct WeightFile<B> {
    bytes: B,
    header: Header,
}

/// The content of a verified file, except for the weights.
#[derive(Debug, Clone)]
pub struct Content {
    /// The contract.
    pub contract: Contract,
    /// When the training data ends, in microseconds since 1970, if the provenance says it.
    pub training_end_us: Option<i64>,
    /// Name of the serving logic, from the provenance.
    pub logic_id: String,
    /// Number of weights.
    pub weight_count: u64,
    /// Number of weights in the exceptions section.
    pub exception_count: u64,
    /// The encoding and the number of lines of the table.
    pub geometry: Geometry,
    /// The bias, on the logit scale.
    pub bias: f64,
    /// The map from sigmoid to published probability.
    pub calibrator: Calibrator,
    /// What the fields add without a weight of their own, in contract order; empty if the file does not say.
    pub default_weights: Vec<DefaultWeights>,
    /// What the table knows besides its bytes.
    pub(crate) table_shape: TableShape,
}

/// What a field adds to the logit where the table has no weight for it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DefaultWeights {
    /// Weight of each unseen category.
    pub unseen: f32,
    /// Weight of the field without a value.
    pub missing: f32,
}

/// The map from sigmoid to published probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibrator {
    /// Smallest probability.
    pub min: f64,
    /// Largest probability.
    pub max: f64,
}

impl Calibrator {
    /// Whether every published probability is above 0 and below 1, even after rounding to f32.
    #[doc(hidden)]
    #[must_use]
    pub fn is_open(&self) -> bool {
        let [min, max] = [self.min, self.max].map(|sigmoid| self.probability(sigmoid));
        self.min < self.max && min > 0.0 && max < 1.0
    }

    /// Returns the published probability of a sigmoid.
    #[inline]
    #[must_use]
    pub fn probability(&self, sigmoid: f64) -> f32 {
        // Comparisons, because `max` and `min` of f64 handle NaN, which costs twice as much and never occurs here.
        let raised = if sigmoid > self.min { sigmoid } else { self.min };
        let limited = if raised < self.max { raised } else { self.max };
        #[expect(clippy::cast_possible_truncation, reason = "probabilities are published as f32")]
        let probability = limited as f32;
        probability
    }
}

/// Returns the range of a section's bytes in its file.
fn range_of(section: &Section) -> Range<usize> {
    let start = usize::try_from(section.offset).unwrap_or(usize::MAX);
    let len = usize::try_from(section.len_bytes).unwrap_or(usize::MAX);
    start..start.saturating_add(len)
}

fn malformed(problem: impl Into<String>) -> Error {
    Error::Malformed { problem: problem.into() }
}

impl<B: AsRef<[u8]>> WeightFile<B> {
    /// Decodes the header and the section table. Reads no section: until [`WeightFile::verify`] has returned, nothing
    /// else in the file can be trusted.
    ///
    /// # Errors
    ///
    /// Each kind of damage has its own variant of [`Error`].
    pub fn open(bytes: B) -> Result<Self, Error> {
        let header = Header::decode(bytes.as_ref())?;
        Ok(Self { bytes, header })
    }

    /// Returns the header and the section table.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the bytes that were passed to [`WeightFile::open`].
    pub(crate) const fn source(&self) -> &B {
        &self.bytes
    }

    /// Gives back the bytes that were passed to [`WeightFile::open`].
    #[doc(hidden)]
    #[must_use]
    pub fn into_inner(self) -> B {
        self.bytes
    }

    /// Returns the bytes of the whole file.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Returns the bytes of a section; empty if the file has none of that kind.
    pub fn section(&self, kind: SectionKind) -> &[u8] {
        self.header
            .sections
            .iter()
            .find(|section| section.kind_number == kind.number())
            .map_or(&[][..], |section| self.section_bytes(section))
    }

    /// Returns how the model was trained and packed: the tree of the provenance section. Takes a few megabytes at most.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] if the section is not a JSON object within the limits of `FORMAT.md`.
    pub fn provenance(&self) -> Result<Value, Error> {
        read_json_object(self.section(SectionKind::Provenance), "provenance")
    }

    /// Returns the number of weights of each field and cross, by name, as far as the file says it.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] if the section is not a JSON object within the limits of `FORMAT.md`.
    pub fn field_sizes(&self) -> Result<Option<Value>, Error> {
        let section = self.section(SectionKind::FieldSizes);
        if section.is_empty() { Ok(None) } else { read_json_object(section, "field sizes").map(Some) }
    }

    /// Reads and checks every byte and every section: steps 5 and 6 of `FORMAT.md`, except for the golden requests,
    /// which need a scorer ([`crate::Model::load`] recomputes them).
    ///
    /// # Errors
    ///
    /// Each kind of damage has its own variant of [`Error`].
    pub fn verify(&self) -> Result<Content, Error> {
        self.verify_asking(&mut || Ok(()))
    }

    /// Verifies like [`WeightFile::verify`], and calls `go_on` before each chunk, because reading a large file takes
    /// seconds. Stops with the error that `go_on` returns.
    pub(crate) fn verify_asking<E: From<Error>>(&self, go_on: &mut dyn FnMut() -> Result<(), E>) -> Result<Content, E> {
        self.verify_bytes(go_on)?;
        self.decode_verified(go_on)
    }

    /// Decodes and checks the content of a file whose bytes [`WeightFile::verify_bytes`] has checked.
    pub(crate) fn decode_verified<E: From<Error>>(
        &self,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Content, E> {
        go_on()?;
        let content = self.decode_content()?;
        go_on()?;
        self.validate_table(&content, go_on)?;
        Ok(content)
    }

    #[doc(hidden)]
    pub fn section_bytes(&self, section: &Section) -> &[u8] {
        // The header was checked against the length of these bytes.
        self.bytes().get(range_of(section)).unwrap_or(&[])
    }

    /// Returns the ranges of the bytes that a table is built on: weights, exceptions and scales. Models keep them,
    /// because a request has no time to search for them.
    pub(crate) fn table_ranges(&self) -> [Range<usize>; 3] {
        let range_of = |kind: SectionKind| {
            let mut sections = self.header.sections.iter();
            sections.find(|section| section.kind_number == kind.number()).map_or(0..0, range_of)
        };
        let table = range_of(SectionKind::Table);
        let scales = table.end.min(table.start + layout::TABLE_SCALES_OFFSET)..table.end;
        [range_of(SectionKind::Weights), range_of(SectionKind::Exceptions), scales]
    }

    /// Reads every byte and compares it with its checksum. Parses no section.
    pub(crate) fn verify_bytes<E: From<Error>>(&self, go_on: &mut dyn FnMut() -> Result<(), E>) -> Result<(), E> {
        let mut end = (HEADER_LEN + self.header.sections.len() * SECTION_ENTRY_LEN) as u64;
        for section in &self.header.sections {
            self.verify_zeros(end, section.offset)?;
            end = section.offset + section.len_bytes;
        }
        self.verify_zeros(end, self.header.checksums_offset)?;
        let checksums_len = u64::from(self.header.chunk_count) * size_of::<u32>() as u64;
        let checksums_end = self.header.checksums_offset + checksums_len;
        self.verify_zeros(checksums_end, self.header.total_len_bytes - layout::END_LEN as u64)?;
        let checksums = self.range(self.header.checksums_offset, checksums_end);
        let (expected, found) = (self.header.checksums_crc, checksum::of_part(&self.header.file_id, checksums));
        if expected != found {
            return Err(Error::Damaged { part: "checksums".to_owned(), expected, found }.into());
        }
        let checksums = Record(checksums);
        for section in &self.header.sections {
            for (index, chunk) in (0_u32..).zip(self.section_bytes(section).chunks(CHUNK_LEN)) {
                go_on()?;
                let expected = checksums.u32((section.first_chunk + index) as usize * size_of::<u32>());
                let found = checksum::of_chunk(&self.header.file_id, section.kind_number, index, chunk);
                if expected != found {
                    let part = format!("{}, chunk {index}", section.name());
                    return Err(Error::Damaged { part, expected, found }.into());
                }
            }
        }
        Ok(())
    }

    fn range(&self, start: u64, end: u64) -> &[u8] {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        self.bytes().get(start..end).unwrap_or(&[])
    }

    fn verify_zeros(&self, start: u64, end: u64) -> Result<(), Error> {
        let padding = self.range(start, end);
        if padding.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        // Writers leave only zeros here, so the bytes were changed in transit: report damage, not a fault of the
        // writer. The file has no checksum of padding, so the expected one is that of zeros.
        Err(Error::Damaged {
            part: format!("padding from byte {start} to {end}"),
            expected: checksum::plain(&vec![0; padding.len()]),
            found: checksum::plain(padding),
        })
    }

    /// Decodes the content without verifying checksums or the lines of the table. For files that another process has
    /// just verified; for any other file, call [`WeightFile::verify`].
    ///
    /// # Errors
    ///
    /// Returns the error of the first section that cannot be decoded.
    #[doc(hidden)]
    pub fn decode_content(&self) -> Result<Content, Error> {
        let contract_bytes = self.section(SectionKind::Contract);
        let contract = Contract::from_json(contract_bytes).map_err(Error::FileContract)?;
        if !contract.is_canonical_json(contract_bytes) {
            return Err(malformed("its contract is not in canonical form"));
        }
        let provenance = self.section(SectionKind::Provenance);
        check_json_object(provenance, "provenance", layout::MAX_JSON_VALUES)?;
        let logic_id = logic_id(provenance)?;
        let training_end_us = training_end_us(provenance)?;
        let field_sizes = self.section(SectionKind::FieldSizes);
        if !field_sizes.is_empty() {
            check_json_object(field_sizes, "field sizes", layout::MAX_JSON_VALUES)?;
        }
        // Its values are never in a tree, so their number is only limited by the length of the section.
        check_json_object(self.section(SectionKind::Golden), "golden requests", usize::MAX)?;
        let (weight_count, geometry, bias) = self.table_parameters()?;
        let exceptions = self.section(SectionKind::Exceptions);
        let scales = self.scales();
        let table = Table::new(self.section(SectionKind::Weights), exceptions, scales, geometry)
            .ok_or_else(|| malformed("the length of its weights section differs from what its table section says"))?;
        let (exception_count, table_shape) = (table.exception_count(), table.shape());
        let calibrator = self.calibrator()?;
        let default_weights = self.default_weights(&contract)?;
        Ok(Content {
            contract,
            training_end_us,
            logic_id,
            weight_count,
            exception_count,
            geometry,
            bias,
            calibrator,
            default_weights,
            table_shape,
        })
    }

    /// Checks that the lines of the table are valid, and that they hold as many weights as the table says.
    fn validate_table<E: From<Error>>(
        &self,
        content: &Content,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let Content { contract, weight_count, exception_count, .. } = content;
        let sections = [SectionKind::Weights, SectionKind::Exceptions].map(|kind| self.section(kind));
        let table = Table::with_shape(sections[0], sections[1], self.scales(), content.table_shape);
        // `decode_content` has created the same table.
        let table = table.unwrap_or_else(|| unreachable!());
        let occupied_count = table.validate_asking(contract.fields().len() + contract.crosses().len(), go_on)?;
        if !(occupied_count..=occupied_count + exception_count).contains(weight_count) {
            return Err(malformed(format!(
                "its table section says {weight_count} weights, but its lines have {occupied_count} and its exceptions {exception_count}"
            ))
            .into());
        }
        Ok(())
    }

    /// The scales, which follow the parameters of the table.
    fn scales(&self) -> &[u8] {
        self.section(SectionKind::Table).get(layout::TABLE_SCALES_OFFSET..).unwrap_or(&[])
    }

    fn table_parameters(&self) -> Result<(u64, Geometry, f64), Error> {
        let bytes = self.section(SectionKind::Table);
        let record = Record(bytes);
        let table_layout = record.u32(layout::TABLE_LAYOUT_OFFSET);
        if table_layout != layout::LAYOUT_TWO_CHOICE_LINES {
            return Err(Error::UnknownRequired { what: "table layout", found: table_layout });
        }
        let encoding = record.u32(layout::TABLE_ENCODING_OFFSET);
        let Some(encoding) = Encoding::from_number(encoding) else {
            return Err(Error::UnknownRequired { what: "weight encoding", found: encoding });
        };
        let bias = record.f64(layout::TABLE_BIAS_OFFSET);
        let zeros = bytes.get(layout::TABLE_ZEROS_OFFSET..layout::TABLE_LEN).unwrap_or(&[]);
        if bias.is_nan() || bias.abs() > f64::from(layout::MAX_WEIGHT) {
            let max = layout::MAX_WEIGHT;
            return Err(malformed(format!(
                "its table section is not valid: expected a bias from -{max} to {max}, found {bias:e}"
            )));
        }
        if zeros.iter().any(|&byte| byte != 0) {
            return Err(malformed("its table section is not valid"));
        }
        let geometry = Geometry {
            encoding,
            shard_count: record.u32(layout::TABLE_SHARD_COUNT_OFFSET),
            shard_lines: record.u32(layout::TABLE_SHARD_LINES_OFFSET),
        };
        Ok((record.u64(layout::TABLE_WEIGHT_COUNT_OFFSET), geometry, bias))
    }

    fn default_weights(&self, contract: &Contract) -> Result<Vec<DefaultWeights>, Error> {
        let bytes = self.section(SectionKind::DefaultWeights);
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let (expected, found) = (contract.fields().len(), bytes.len() / layout::DEFAULT_WEIGHTS_LEN);
        if found != expected {
            return Err(malformed(format!(
                "expected default weights for the {expected} fields of its contract, found them for {found}"
            )));
        }
        let of_field = |(bytes, field): (&[u8], &crate::contract::Field)| {
            let record = Record(bytes);
            let weights = DefaultWeights {
                unseen: record.f32(layout::DEFAULT_UNSEEN_OFFSET),
                missing: record.f32(layout::DEFAULT_MISSING_OFFSET),
            };
            let is_valid = |weight: f32| weight.abs() <= layout::MAX_WEIGHT;
            if is_valid(weights.unseen) && is_valid(weights.missing) {
                return Ok(weights);
            }
            let max = layout::MAX_WEIGHT;
            let DefaultWeights { unseen, missing } = weights;
            Err(malformed(format!(
                "expected default weights from -{max} to {max}, found {unseen:e} and {missing:e} for the field `{}`",
                field.name
            )))
        };
        bytes.chunks_exact(layout::DEFAULT_WEIGHTS_LEN).zip(contract.fields()).map(of_field).collect()
    }

    fn calibrator(&self) -> Result<Calibrator, Error> {
        let bytes = self.section(SectionKind::Calibrator);
        let record = Record(bytes);
        let kind = record.u32(layout::CALIBRATOR_KIND_OFFSET);
        if kind != layout::CALIBRATOR_NONE {
            return Err(Error::UnknownRequired { what: "calibrator", found: kind });
        }
        let min = record.f64(layout::CALIBRATOR_MIN_OFFSET);
        let max = record.f64(layout::CALIBRATOR_MAX_OFFSET);
        let zeros = record.u32(layout::CALIBRATOR_ZEROS_OFFSET) == 0
            && bytes.iter().skip(layout::CALIBRATOR_TAIL_OFFSET).all(|&byte| byte == 0);
        // Also false for NaN.
        if !(zeros && min > 0.0 && min < max && max < 1.0) {
            return Err(malformed("its calibrator section is not valid"));
        }
        let calibrator = Calibrator { min, max };
        if !calibrator.is_open() {
            return Err(malformed(format!(
                "its calibrator section is not valid: expected limits that are above 0 and below 1 as f32, found {min:e} and 1 - {:e}",
                1.0 - max
            )));
        }
        Ok(calibrator)
    }
}

const fn json_limits(max_values: usize) -> JsonLimits<'static> {
    JsonLimits {
        max_depth: layout::MAX_JSON_DEPTH,
        max_values,
        max_objects: usize::MAX,
        max_text_len_bytes: layout::MAX_JSON_TEXT_LEN,
        known_keys: None,
        max_items: &[],
    }
}

/// Checks that a section is JSON of one object within the limits. Keeps nothing of it.
fn check_json_object(bytes: &[u8], section: &str, max_values: usize) -> Result<(), Error> {
    let outcome = bounded_json::check(bytes, &json_limits(max_values));
    outcome.map_err(|problem| json_problem(section, &problem))?;
    // The first byte that is not white space shows what the value is.
    match bytes.trim_ascii_start().first() {
        Some(b'{') => Ok(()),
        _ => Err(malformed(format!("its {section} section is JSON, but not an object"))),
    }
}

fn read_json_object(bytes: &[u8], section: &str) -> Result<Value, Error> {
    check_json_object(bytes, section, layout::MAX_JSON_VALUES)?;
    let value = bounded_json::read(bytes, &json_limits(layout::MAX_JSON_VALUES));
    value.map_err(|problem| json_problem(section, &problem))
}

fn json_problem(section: &str, problem: &JsonProblem) -> Error {
    malformed(match problem {
        JsonProblem::NotJson(_) => format!("its {section} section is not JSON: {problem}"),
        JsonProblem::Limit(_) => format!("its {section} section is beyond a limit: {problem}"),
    })
}

/// Returns the text of the last member `key` of an object that was checked, and of the objects before it in `path`.
fn member<'a>(bytes: &'a [u8], path: &[&str]) -> Option<&'a str> {
    let (key, rest) = path.split_first()?;
    let mut found = None;
    let Ok(_) = bounded_json::each_member::<std::convert::Infallible>(bytes, &mut |name, value| {
        if name == *key {
            found = Some(value.get());
        }
        Ok(())
    });
    if rest.is_empty() { found } else { member(found?.as_bytes(), rest) }
}

fn logic_id(provenance: &[u8]) -> Result<String, Error> {
    let logic_id = member(provenance, &["logic_id"]).and_then(|text| serde_json::from_str::<String>(text).ok());
    let logic_id = logic_id.filter(|logic_id| !logic_id.is_empty());
    let logic_id = logic_id.ok_or_else(|| malformed("its provenance has no logic id"))?;
    if !is_logic_id(&logic_id) {
        let (max, len) = (layout::MAX_LOGIC_ID_LEN, logic_id.len());
        return Err(malformed(format!(
            "expected a logic id of at most {max} bytes of printable text on one line, found {len} bytes"
        )));
    }
    Ok(logic_id)
}

/// Whether a text may be a logic id, which is in labels, logs and reports.
#[doc(hidden)]
#[must_use]
pub fn is_logic_id(text: &str) -> bool {
    (1..=layout::MAX_LOGIC_ID_LEN).contains(&text.len()) && !text.chars().any(is_control)
}

fn training_end_us(provenance: &[u8]) -> Result<Option<i64>, Error> {
    let Some(text) = member(provenance, &["training", "training_window", "last_us"]) else { return Ok(None) };
    if text == "null" {
        return Ok(None);
    }
    let end_us = text.parse::<i64>().ok().filter(|_| text != "-0");
    let end_us = end_us.filter(|end_us| (layout::MIN_TRAINING_END_US..=layout::MAX_TRAINING_END_US).contains(end_us));
    end_us.map(Some).ok_or_else(|| {
        malformed(format!(
            "expected an end of the training data from the year 1900 to 2199, in whole microseconds since 1970, found {}",
            quoted(text)
        ))
    })
}
