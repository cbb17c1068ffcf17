//! Builds a table: each key in its first line where there is room, else in its second, moving others where that is what it takes.
//!
//! Shards are built on their own, so the result does not depend on the number of threads: the same weights give the same
//! bytes.

use std::thread;

use super::{Geometry, LINE_LEN, MAX_SHARD_LINES, SLOT_COUNT, Table, WEIGHTS_OFFSET};
use super::{filter_bit, first_line, second_line, tag_of};
use crate::weight_file::layout::{EXCEPTION_KEY_OFFSET, EXCEPTION_LEN, EXCEPTION_WEIGHT_OFFSET};

/// Share of the slots that is filled. Fuller tables need longer chains of moves and touch more second lines.
const LOAD: f64 = 0.95;
/// Most lines looked at to make room for one key.
const MAX_SEARCH_LINES: usize = 4_096;
/// Times that a table which turned out too full is tried with one per cent more lines.
const MAX_TRIES: u32 = 20;

/// The bytes of a built table.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltTable {
    /// How many lines there are.
    pub geometry: Geometry,
    /// The section of lines.
    pub weights: Vec<u8>,
    /// The section of exceptions.
    pub exceptions: Vec<u8>,
}

/// The keys could not be placed. Keys that are hashes never come to this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the table of {key_count} keys could not be built: too many of them share their lines; expected feature keys, which are hashes"
)]
pub struct TableFull {
    /// Number of keys.
    pub key_count: usize,
}

/// Builds a table of `entries`, in strictly ascending order of key.
///
/// Memory: about 8.5 bytes a weight for the result, beside the entries and a few MiB a thread.
///
/// # Errors
///
/// [`TableFull`] for keys that are no hashes.
///
/// # Panics
///
/// If the entries are out of order.
pub fn build(entries: &[(u64, f32)]) -> Result<BuiltTable, TableFull> {
    assert!(entries.is_sorted_by(|one, other| one.0 < other.0), "entries must rise strictly by key");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count of lines below 2^32"
    )]
    let mut line_count = (entries.len() as f64 / (SLOT_COUNT as f64 * LOAD)).ceil().max(2.0) as u64;
    for _ in 0..MAX_TRIES {
        let Some(geometry) = geometry_of(line_count) else { break };
        let mut weights = vec![0; usize::try_from(geometry.line_count()).unwrap_or(usize::MAX) * LINE_LEN];
        if let Some(unplaced) = fill_shards(entries, geometry, &mut weights) {
            let exceptions = find_exceptions(entries, geometry, &weights, unplaced);
            return Ok(BuiltTable { geometry, weights, exceptions });
        }
        line_count += line_count / 100 + 1;
    }
    Err(TableFull { key_count: entries.len() })
}

fn geometry_of(line_count: u64) -> Option<Geometry> {
    let shard_count = u32::try_from(line_count.div_ceil(u64::from(MAX_SHARD_LINES))).ok()?;
    let shard_lines = u32::try_from(line_count.div_ceil(u64::from(shard_count))).ok()?;
    let geometry = Geometry { shard_count, shard_lines };
    (geometry.line_count() <= u64::from(u32::MAX)).then_some(geometry)
}

/// Fills every shard, with as many threads as there are processors, and returns the entries that no line could take.
fn fill_shards(entries: &[(u64, f32)], geometry: Geometry, weights: &mut [u8]) -> Option<Vec<(u64, f32)>> {
    let shard_lines = geometry.shard_lines as usize;
    let line_count = geometry.line_count();
    let mut rest = entries;
    let mut jobs = Vec::new();
    for (index, bytes) in weights.chunks_mut(shard_lines * LINE_LEN).enumerate() {
        let base_line = index * shard_lines;
        // Keys in ascending order are in ascending order of their first line.
        let count = rest.partition_point(|entry| first_line(line_count, entry.0) < base_line + shard_lines);
        let (own, others) = rest.split_at(count);
        rest = others;
        jobs.push((Shard::new(own, geometry, base_line), bytes));
    }
    let thread_count = thread::available_parallelism().map_or(1, usize::from).min(jobs.len()).max(1);
    let jobs_per_thread = jobs.len().div_ceil(thread_count);
    thread::scope(|scope| {
        let mut workers = Vec::new();
        while !jobs.is_empty() {
            let own: Vec<_> = jobs.drain(..jobs_per_thread.min(jobs.len())).collect();
            workers.push(scope.spawn(move || {
                let mut unplaced = Vec::new();
                for (shard, bytes) in own {
                    unplaced.extend(shard.fill(bytes)?);
                }
                Some(unplaced)
            }));
        }
        let mut unplaced = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(own) => unplaced.extend(own?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Some(unplaced)
    })
}

/// Looks every key up again. Those that get another's weight, and those that no line could take, are the exceptions.
fn find_exceptions(
    entries: &[(u64, f32)],
    geometry: Geometry,
    weights: &[u8],
    mut exceptional: Vec<(u64, f32)>,
) -> Vec<u8> {
    if let Some(table) = Table::new(weights, &[], geometry) {
        let is_wrong = |entry: &&(u64, f32)| table.get(entry.0).map(f32::to_bits) != Some(entry.1.to_bits());
        let thread_count = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let parts = entries.chunks(entries.len().div_ceil(thread_count).max(1));
            let look_up = |part: &'_ [(u64, f32)]| part.iter().filter(is_wrong).copied().collect::<Vec<_>>();
            let workers: Vec<_> = parts.map(|part| scope.spawn(move || look_up(part))).collect();
            for worker in workers {
                exceptional.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
    }
    exceptional.sort_by_key(|entry| entry.0);
    exceptional.dedup_by_key(|entry| entry.0);
    let mut bytes = Vec::with_capacity(exceptional.len() * EXCEPTION_LEN);
    for (key, weight) in exceptional {
        let mut record = [0; EXCEPTION_LEN];
        record[EXCEPTION_KEY_OFFSET..][..8].copy_from_slice(&key.to_le_bytes());
        record[EXCEPTION_WEIGHT_OFFSET..][..4].copy_from_slice(&weight.to_le_bytes());
        bytes.extend_from_slice(&record);
    }
    bytes
}

/// A shard while it is filled. Lines are counted from its own start. Keys stand in the lines themselves, not as indices into the
/// entries, so that a search touches one place in memory for each line.
struct Shard<'a> {
    entries: &'a [(u64, f32)],
    geometry: Geometry,
    base_line: usize,
    keys: Vec<[u64; SLOT_COUNT]>,
    weights: Vec<[f32; SLOT_COUNT]>,
    /// Bit `s` of a line is set where its slot `s` is occupied.
    occupied: Vec<u8>,
    /// For each line the number of the last search that came by, so that none visits it twice.
    visited: Vec<u32>,
    search_count: u32,
    steps: Vec<Step>,
}

/// A line that a search came by: the key in slot `slot` of the step `parent` could move here.
#[derive(Clone, Copy)]
struct Step {
    line: usize,
    parent: Option<(usize, usize)>,
}

impl<'a> Shard<'a> {
    fn new(entries: &'a [(u64, f32)], geometry: Geometry, base_line: usize) -> Self {
        let (keys, weights, occupied, visited, steps) = Default::default();
        Self { entries, geometry, base_line, keys, weights, occupied, visited, search_count: 0, steps }
    }

    /// Places the entries, writes the lines to `bytes`, and returns the entries that may share no line because of their
    /// tags; nothing if the shard is too full.
    fn fill(mut self, bytes: &mut [u8]) -> Option<Vec<(u64, f32)>> {
        let lines = self.geometry.shard_lines as usize;
        self.keys = vec![[0; SLOT_COUNT]; lines];
        self.weights = vec![[0.0; SLOT_COUNT]; lines];
        self.occupied = vec![0; lines];
        self.visited = vec![0; lines];
        let mut unplaced = Vec::new();
        let mut overflow = Vec::new();
        // First lines first: a key that fits there must not be driven out by another's overflow.
        for &entry in self.entries {
            let line = self.first(entry.0);
            if self.has_tag(line, entry.0) {
                unplaced.push(entry);
            } else if !self.put(line, entry) {
                overflow.push(entry);
            }
        }
        for entry in overflow {
            match self.insert(entry) {
                Inserted::Yes => {}
                Inserted::TagTaken => unplaced.push(entry),
                Inserted::TooFull => return None,
            }
        }
        self.write(bytes);
        Some(unplaced)
    }

    fn first(&self, key: u64) -> usize {
        first_line(self.geometry.line_count(), key) - self.base_line
    }

    fn second(&self, key: u64) -> usize {
        second_line(self.geometry, self.first(key) + self.base_line, key) - self.base_line
    }

    fn is_full(&self, line: usize) -> bool {
        self.occupied[line] == u8::MAX
    }

    fn has_tag(&self, line: usize, key: u64) -> bool {
        let (tag, occupied) = (tag_of(key), self.occupied[line]);
        (0..SLOT_COUNT).any(|slot| tag_of(self.keys[line][slot]) == tag && occupied >> slot & 1 == 1)
    }

    fn put(&mut self, line: usize, (key, weight): (u64, f32)) -> bool {
        let slot = self.occupied[line].trailing_ones() as usize;
        if slot == SLOT_COUNT {
            return false;
        }
        self.keys[line][slot] = key;
        self.weights[line][slot] = weight;
        self.occupied[line] |= 1 << slot;
        true
    }

    fn take(&mut self, line: usize, slot: usize) -> (u64, f32) {
        self.occupied[line] &= !(1 << slot);
        (self.keys[line][slot], self.weights[line][slot])
    }

    /// Makes room for an entry by the shortest chain of moves, found breadth first.
    ///
    /// The chains that begin in its first line come before those of its second: a resident of the first line that moves over
    /// costs no more second look-ups than the entry itself would, while one that is driven out of the second line adds one.
    fn insert(&mut self, entry: (u64, f32)) -> Inserted {
        self.search_count += 1;
        self.steps.clear();
        for line in [self.first(entry.0), self.second(entry.0)] {
            self.visit(line, entry.0, None);
        }
        if self.steps.is_empty() {
            return Inserted::TagTaken;
        }
        let mut at = 0;
        while at < self.steps.len() && at < MAX_SEARCH_LINES {
            let line = self.steps[at].line;
            if !self.is_full(line) {
                self.move_along(at, entry);
                return Inserted::Yes;
            }
            for slot in 0..SLOT_COUNT {
                let resident = self.keys[line][slot];
                let first = self.first(resident);
                let other = if line == first { self.second(resident) } else { first };
                self.visit(other, resident, Some((at, slot)));
            }
            at += 1;
        }
        Inserted::TooFull
    }

    /// Notes that `key` could move to `line`, unless a search has been there or the line has the key's tag.
    fn visit(&mut self, line: usize, key: u64, parent: Option<(usize, usize)>) {
        if self.visited[line] != self.search_count && !self.has_tag(line, key) {
            self.visited[line] = self.search_count;
            self.steps.push(Step { line, parent });
        }
    }

    /// Moves the residents along the path that ends at step `at`, whose line has room, then puts `entry` where its root got
    /// free.
    fn move_along(&mut self, mut at: usize, entry: (u64, f32)) {
        while let Some((parent, slot)) = self.steps[at].parent {
            let resident = self.take(self.steps[parent].line, slot);
            self.put(self.steps[at].line, resident);
            at = parent;
        }
        self.put(self.steps[at].line, entry);
    }

    fn write(&self, bytes: &mut [u8]) {
        for line in 0..self.keys.len() {
            for slot in (0..SLOT_COUNT).filter(|slot| self.occupied[line] >> slot & 1 == 1) {
                let (key, weight) = (self.keys[line][slot], self.weights[line][slot]);
                or_word(bytes, line, slot, tag_of(key));
                bytes[line * LINE_LEN + WEIGHTS_OFFSET + slot * size_of::<f32>()..][..size_of::<f32>()]
                    .copy_from_slice(&weight.to_le_bytes());
                let first = self.first(key);
                if line != first {
                    let (word, bit) = filter_bit(key);
                    or_word(bytes, first, word, bit);
                }
            }
        }
    }
}

enum Inserted {
    Yes,
    TagTaken,
    TooFull,
}

/// Sets `bits` in the tag word of a slot.
fn or_word(bytes: &mut [u8], line: usize, slot: usize, bits: u32) {
    let at = line * LINE_LEN + slot * size_of::<u32>();
    for (byte, bits) in bytes[at..at + size_of::<u32>()].iter_mut().zip(bits.to_le_bytes()) {
        *byte |= bits;
    }
}
