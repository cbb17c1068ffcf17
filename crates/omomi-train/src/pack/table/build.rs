//! Builds a table, shard by shard. Shards are independent, so several threads build them. The result does not depend on
//! the number of threads: the same weights give the same bytes. [`LineWriter`] writes the lines that
//! [`omomi::weight_file::table::line`] reads.
//!
//! Fails if the keys are not hashes and too many of them share their lines.

mod shard;

use std::sync::{Mutex, mpsc};
use std::thread;

use half::f16;

use super::{EncodedWeights, Entry};
use omomi::weight_file::layout::{EXCEPTION_KEY_OFFSET, EXCEPTION_LEN, EXCEPTION_WEIGHT_OFFSET};
use omomi::weight_file::table::line::{self, F16Line, F32Line, FILTER_OFFSET, I8Line, Line, LineFormat};
use omomi::weight_file::table::{Encoding, Geometry, LINE_LEN, MAX_SHARD_LINES, Table, first_line};
use shard::Shard;

/// How many table sizes are tried, each 1 % larger than the previous one, until all keys have room.
const MAX_TRIES: usize = 20;

/// The bytes of a built table.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltTable {
    /// The kind of lines and their number.
    pub geometry: Geometry,
    /// The section of lines.
    pub weights: Vec<u8>,
    /// The section of exceptions.
    pub exceptions: Vec<u8>,
    /// The scales at the end of the table section.
    pub scales: Vec<u8>,
}

impl BuiltTable {
    /// Returns the table over these bytes.
    #[must_use]
    pub fn table(&self) -> Table<'_> {
        let table = Table::new(&self.weights, &self.exceptions, &self.scales, self.geometry);
        table.unwrap_or_else(|| unreachable!("the builder made them of one geometry"))
    }
}

/// The keys do not fit into a table. This does not happen for keys that are hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the table of {key_count} keys could not be built: too many of them share their lines; expected feature keys, \
     which are hashes"
)]
pub struct TableFull {
    /// Number of keys.
    pub key_count: usize,
}

/// Options for building a table.
#[non_exhaustive]
pub struct BuildOptions<'a> {
    /// Number of threads. Never more threads run than there are shards; a shard has about half a million to a million
    /// weights.
    pub thread_count: usize,
    /// Called with the number of finished shards and the number of all shards.
    pub watch: &'a mut dyn FnMut(usize, usize),
}

/// Builds a table of `weights`, which are in strictly ascending order of key. Uses one thread per processor.
///
/// Memory: the result (8.5 bytes per weight in f32, 5.4 in f16, 4.4 in i8) and 10 MiB per thread, in addition to the
/// weights.
///
/// # Errors
///
/// Returns [`TableFull`] if the keys are not hashes, so that too many share their lines.
///
/// # Panics
///
/// Panics if the entries are out of order.
pub fn build(weights: &EncodedWeights) -> Result<BuiltTable, TableFull> {
    build_with(weights, &mut BuildOptions::new(&mut |_, _| ()))
}

impl<'a> BuildOptions<'a> {
    /// Options with one thread per processor.
    pub fn new(watch: &'a mut dyn FnMut(usize, usize)) -> Self {
        Self { thread_count: thread::available_parallelism().map_or(1, usize::from), watch }
    }
}

/// Builds a table of `weights` with the given options; see [`build`].
///
/// # Errors
///
/// Returns [`TableFull`] if the keys are not hashes, so that too many share their lines.
///
/// # Panics
///
/// Panics if the entries are out of order.
pub fn build_with(weights: &EncodedWeights, options: &mut BuildOptions<'_>) -> Result<BuiltTable, TableFull> {
    for geometry in geometries(weights.encoding(), weights.entries().len() as u64) {
        let mut lines = vec![0; geometry.weights_len_bytes()];
        if let Some(exceptions) = fill(weights, geometry, &mut lines, options) {
            let scales = scales_section(weights);
            return Ok(BuiltTable { geometry, weights: lines, exceptions, scales });
        }
    }
    Err(TableFull { key_count: weights.entries().len() })
}

/// Returns the geometries to try for a table of this many weights, smallest first. The first one nearly always has
/// room.
pub(in crate::pack) fn geometries(encoding: Encoding, weight_count: u64) -> impl Iterator<Item = Geometry> {
    #[expect(clippy::cast_precision_loss, reason = "a count of lines below 2^32")]
    let line_count = weight_count as f64 / (encoding.slot_count() as f64 * load(encoding));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of lines below 2^32")]
    let min = line_count.ceil().max(2.0) as u64;
    let next = |line_count: &u64| Some(line_count + line_count / 100 + 1);
    std::iter::successors(Some(min), next)
        .take(MAX_TRIES)
        .map_while(move |line_count| geometry_of(encoding, line_count))
}

/// Writes the lines of a table of `weights` to `lines`, which must be zeros. Returns the section of exceptions, or
/// `None` if there is not enough room.
///
/// # Panics
///
/// Panics if the entries are out of order.
pub(in crate::pack) fn fill(
    weights: &EncodedWeights,
    geometry: Geometry,
    lines: &mut [u8],
    options: &mut BuildOptions<'_>,
) -> Option<Vec<u8>> {
    let entries = weights.entries();
    assert!(entries.is_sorted_by(|one, other| one.key < other.key), "entries must rise strictly by key");
    let exceptional = match weights.encoding() {
        Encoding::F32 => fill_shards::<F32Line>(entries, geometry, lines, options),
        Encoding::F16 => fill_shards::<F16Line>(entries, geometry, lines, options),
        Encoding::I8 => fill_shards::<I8Line>(entries, geometry, lines, options),
    };
    exceptional.map(exceptions_section)
}

/// Returns the scales in the form in which they follow the parameters in the table section.
pub(in crate::pack) fn scales_section(weights: &EncodedWeights) -> Vec<u8> {
    weights.scales().iter().flat_map(|scale| scale.to_le_bytes()).collect()
}

/// Returns how many bytes a weight takes in a table, including its share of the empty slots.
#[must_use]
pub fn bytes_per_weight(encoding: Encoding) -> f64 {
    LINE_LEN as f64 / (encoding.slot_count() as f64 * load(encoding))
}

/// Returns the share of the slots that is filled. Fuller tables need longer chains of moves and more look-ups in second
/// lines. The more slots a line has, the more evenly keys fill the lines, and the fuller the lines can be.
const fn load(encoding: Encoding) -> f64 {
    match encoding {
        Encoding::F32 => 0.95,
        Encoding::F16 => 0.99,
        Encoding::I8 => 0.975,
    }
}

fn geometry_of(encoding: Encoding, line_count: u64) -> Option<Geometry> {
    let shard_count = u32::try_from(line_count.div_ceil(u64::from(MAX_SHARD_LINES))).ok()?;
    let shard_lines = u32::try_from(line_count.div_ceil(u64::from(shard_count))).ok()?;
    let geometry = Geometry { encoding, shard_count, shard_lines };
    (geometry.line_count() <= u64::from(u32::MAX)).then_some(geometry)
}

/// Fills every shard. Returns the entries for which the lines give a wrong weight or none, or `None` if a shard is too
/// full.
fn fill_shards<F: LineWriter>(
    entries: &[Entry],
    geometry: Geometry,
    bytes: &mut [u8],
    options: &mut BuildOptions<'_>,
) -> Option<Vec<Entry>> {
    let shard_lines = geometry.shard_lines as usize;
    let line_count = geometry.line_count();
    let (lines, _) = bytes.as_chunks_mut::<LINE_LEN>();
    let mut rest = entries;
    let jobs: Vec<(Shard<'_, F>, &mut [Line])> = lines
        .chunks_mut(shard_lines)
        .enumerate()
        .map(|(index, lines)| {
            let base_line = index * shard_lines;
            // Keys in ascending order are in ascending order of their first line.
            let count = rest.partition_point(|entry| first_line(line_count, entry.key) < base_line + shard_lines);
            let (own, others) = rest.split_at(count);
            rest = others;
            (Shard::new(own, geometry, base_line), lines)
        })
        .collect();
    let job_count = jobs.len();
    let thread_count = options.thread_count.clamp(1, job_count.max(1));
    let jobs = Mutex::new(jobs.into_iter());
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..thread_count {
            let (sender, jobs) = (sender.clone(), &jobs);
            scope.spawn(move || {
                // Each thread takes one shard at a time, so that all threads finish at about the same time.
                while let Some((shard, lines)) = jobs.lock().ok().and_then(|mut jobs| jobs.next()) {
                    // The receiver is gone after it received a shard that was too full.
                    if sender.send(shard.fill(lines)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut exceptional = Vec::new();
        for (done_count, own) in (1..).zip(receiver) {
            exceptional.extend(own?);
            (options.watch)(done_count, job_count);
        }
        Some(exceptional)
    })
}

fn exceptions_section(mut exceptional: Vec<Entry>) -> Vec<u8> {
    exceptional.sort_by_key(|entry| entry.key);
    exceptional.dedup_by_key(|entry| entry.key);
    let mut bytes = Vec::with_capacity(exceptional.len() * EXCEPTION_LEN);
    for entry in exceptional {
        let mut record = [0; EXCEPTION_LEN];
        record[EXCEPTION_KEY_OFFSET..][..8].copy_from_slice(&entry.key.to_le_bytes());
        record[EXCEPTION_WEIGHT_OFFSET..][..4].copy_from_slice(&entry.weight.to_le_bytes());
        bytes.extend_from_slice(&record);
    }
    bytes
}

/// The writing half of a line format.
pub(super) trait LineWriter: LineFormat {
    /// Notes in its first line that a key had to leave it.
    fn note_overflow(line: &mut Line, low_word: u32);

    /// Fills an empty slot. The encoding must be able to hold `weight` exactly.
    fn fill(line: &mut Line, slot: usize, tag: u32, weight: f32);
}

impl LineWriter for F32Line {
    fn note_overflow(line: &mut Line, low_word: u32) {
        let (slot, bit) = Self::filter_bit(low_word);
        or_word(line, slot, bit);
    }

    fn fill(line: &mut Line, slot: usize, tag: u32, weight: f32) {
        or_word(line, slot, tag);
        put(line, Self::WEIGHTS_OFFSET + slot * size_of::<f32>(), weight.to_le_bytes());
    }
}

impl LineWriter for F16Line {
    fn note_overflow(line: &mut Line, low_word: u32) {
        note_small_overflow(line, low_word);
    }

    fn fill(line: &mut Line, slot: usize, tag: u32, weight: f32) {
        put_small_tag(line, Self::SLOT_COUNT, slot, tag);
        put(line, Self::WEIGHTS_OFFSET + slot * size_of::<u16>(), f16::from_f32(weight).to_bits().to_le_bytes());
    }
}

impl LineWriter for I8Line {
    fn note_overflow(line: &mut Line, low_word: u32) {
        note_small_overflow(line, low_word);
    }

    fn fill(line: &mut Line, slot: usize, tag: u32, weight: f32) {
        put_small_tag(line, Self::SLOT_COUNT, slot, tag);
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers from -127 to 127")]
        let number = weight as i8;
        put(line, Self::WEIGHTS_OFFSET + slot, number.to_le_bytes());
    }
}

/// Adds bits to the tag word of slot `slot` in a line of f32 weights.
fn or_word(line: &mut Line, slot: usize, bits: u32) {
    let word = F32Line::word(line, slot) | bits;
    put(line, slot * size_of::<u32>(), word.to_le_bytes());
}

fn note_small_overflow(line: &mut Line, low_word: u32) {
    let filter = line::small_filter(line) | line::small_filter_bit(low_word);
    put(line, FILTER_OFFSET, filter.to_le_bytes());
}

fn put_small_tag(line: &mut Line, slot_count: usize, slot: usize, tag: u32) {
    let [low, middle, high, _] = tag.to_le_bytes();
    put(line, slot * size_of::<u16>(), [low, middle]);
    put(line, slot_count * size_of::<u16>() + slot, [high]);
}

fn put<const LEN: usize>(line: &mut Line, offset: usize, bytes: [u8; LEN]) {
    line[offset..offset + LEN].copy_from_slice(&bytes);
}
