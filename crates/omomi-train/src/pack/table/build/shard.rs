//! Fills one shard of a table. Each key goes into its first line if there is room, otherwise into its second line. If
//! both are full, other keys are moved to make room.
//!
//! Keys for which the lines would give a wrong weight are returned as exceptions. Fails if the shard is too full.

use std::cmp::Reverse;
use std::marker::PhantomData;

use crate::pack::table::Entry;
use crate::pack::table::build::LineWriter;
use omomi::weight_file::table::line::Line;
use omomi::weight_file::table::{Geometry, LINE_LEN, first_line, low_word, step};

/// Most lines that are searched to make room for one key.
const MAX_SEARCH_LINES: usize = 4_096;
/// Most lines that are searched without moving popular keys. In a nearly full table, searching more would seldom help.
const MAX_CAREFUL_SEARCH_LINES: usize = 64;
/// Most pairs of a line and a tag that are barred in a shard. If keys are hashes, there are only one or two.
const MAX_BARRED: usize = 1_000;
/// Most rounds of filling a shard. Another round starts if the lines would give a wrong weight for some keys.
const MAX_ROUNDS: u32 = 8;

/// A shard of the table. Lines are numbered from the start of the shard.
///
/// A slot has the low word of its key. The low word and the line of the key give the key's other line, its tag and its
/// filter bit. Therefore a search reads only one place in memory per line.
pub(super) struct Shard<'a, F> {
    entries: &'a [Entry],
    geometry: Geometry,
    base_line: usize,
    low_words: Vec<u32>,
    weights: Vec<f32>,
    /// For each line, bit `s` is set if slot `s` is occupied.
    occupied: Vec<u16>,
    /// For each line, bit `s` is set if slot `s` has a key whose second line this is.
    moved: Vec<u16>,
    /// Pairs of a line and a tag. No key with this tag may be in this line, because it would be mistaken for another
    /// key.
    barred: Vec<(usize, u32)>,
    /// For each line, the number of the last search that visited it, so that no search visits a line twice.
    visited: Vec<u32>,
    search_count: u32,
    steps: Vec<Step>,
    format: PhantomData<fn() -> F>,
}

/// A key that is in a slot or about to go into one.
#[derive(Clone, Copy)]
struct Resident {
    low_word: u32,
    weight: f32,
    /// Whether the key is in its second line.
    moved: bool,
}

/// A line that a search visited. For the `parent` `(step, slot)`, the key in that slot of that step could move to this
/// line.
#[derive(Clone, Copy)]
struct Step {
    line: usize,
    parent: Option<(usize, usize)>,
}

enum Inserted {
    Yes,
    TagTaken,
    TooFull,
}

impl<'a, F: LineWriter> Shard<'a, F> {
    pub(super) fn new(entries: &'a [Entry], geometry: Geometry, base_line: usize) -> Self {
        Self {
            entries,
            geometry,
            base_line,
            low_words: Vec::new(),
            weights: Vec::new(),
            occupied: Vec::new(),
            moved: Vec::new(),
            barred: Vec::new(),
            visited: Vec::new(),
            search_count: 0,
            steps: Vec::new(),
            format: PhantomData,
        }
    }

    /// Places the entries and writes `lines`. Returns the exceptions: entries that are not in the lines, or for which
    /// the lines give the weight of another key. Returns `None` if the shard is too full.
    pub(super) fn fill(mut self, lines: &mut [Line]) -> Option<Vec<Entry>> {
        let mut round = 1;
        loop {
            let unplaced = self.place()?;
            self.write(lines);
            let mut exceptional = self.wrongly_answered(lines);
            let barred_before = self.barred.len();
            for entry in &exceptional {
                // The first line has another key with this tag. From the next round on, it has no key with this tag.
                self.bar(self.first(entry.key), F::tag_of(low_word(entry.key)));
            }
            if self.barred.len() == barred_before || round == MAX_ROUNDS {
                // For a key without a slot, the lines may give the right weight by chance: that of another key with the
                // same tag and the same weight.
                exceptional.extend(unplaced);
                return Some(exceptional);
            }
            round += 1;
        }
    }

    fn wrongly_answered(&self, lines: &[Line]) -> Vec<Entry> {
        self.entries.iter().filter(|entry| !self.is_answered(lines, entry)).copied().collect()
    }

    /// Whether a look-up in the lines gives the weight of the entry.
    fn is_answered(&self, lines: &[Line], entry: &Entry) -> bool {
        let (low_word, first) = (low_word(entry.key), self.first(entry.key));
        let tag = F::tag_of(low_word);
        let find = |line: usize| F::find_tag(&lines[line], tag).map(|slot| F::weight(&lines[line], slot));
        let found = find(first)
            .or_else(|| if F::overflows(&lines[first], low_word) { find(self.second(first, low_word)) } else { None });
        found.map(f32::to_bits) == Some(entry.weight.to_bits())
    }

    /// Places all entries again. Returns the entries that cannot be placed because of their tags, or `None` if the
    /// shard is too full.
    fn place(&mut self) -> Option<Vec<Entry>> {
        let lines = self.geometry.shard_lines as usize;
        self.low_words = vec![0; lines * F::SLOT_COUNT];
        self.weights = vec![0.0; lines * F::SLOT_COUNT];
        self.occupied = vec![0; lines];
        self.moved = vec![0; lines];
        self.visited = vec![0; lines];
        self.search_count = 0;
        // Fill first lines before second lines, so that no key loses its first line to the overflow of another line.
        let overflow = self.place_in_first_lines();
        if self.barred.len() > MAX_BARRED {
            return None;
        }
        // The first slots of a line have its most popular keys. A search moves them only if moving others does not
        // help, because looking up a key outside its first line takes two lines. If all keys are equally popular,
        // keeping the first slots would only make chains longer.
        let popularity = |entry: &Entry| entry.popularity;
        let differ = self.entries.iter().map(popularity).min() != self.entries.iter().map(popularity).max();
        let kept_slots = if differ { F::SLOT_COUNT / 3 } else { 0 };
        let mut unplaced = Vec::new();
        for entry in overflow {
            match self.insert(entry, kept_slots) {
                Inserted::Yes => {}
                Inserted::TagTaken => unplaced.push(*entry),
                Inserted::TooFull => match self.insert(entry, 0) {
                    Inserted::Yes => {}
                    Inserted::TagTaken => unplaced.push(*entry),
                    Inserted::TooFull => return None,
                },
            }
        }
        Some(unplaced)
    }

    /// Puts keys into their first lines, the most popular first, until the lines are full. Returns the other keys.
    fn place_in_first_lines(&mut self) -> Vec<&'a Entry> {
        let line_count = self.geometry.line_count();
        let (mut overflow, mut own, mut tags) = (Vec::new(), Vec::new(), Vec::new());
        let entries = self.entries;
        for group in entries.chunk_by(|one, other| first_line(line_count, one.key) == first_line(line_count, other.key))
        {
            let line = self.first(group[0].key);
            own.clear();
            own.extend(group.iter());
            own.sort_by_key(|entry: &&Entry| (Reverse(entry.popularity), entry.key));
            tags.clear();
            tags.extend(group.iter().map(|entry| F::tag_of(low_word(entry.key))));
            tags.sort_unstable();
            tags.windows(2).filter(|pair| pair[0] == pair[1]).for_each(|pair| self.bar(line, pair[0]));
            for &entry in &own {
                let low_word = low_word(entry.key);
                let resident = Resident { low_word, weight: entry.weight, moved: false };
                if self.is_full(line) || self.is_barred(line, F::tag_of(low_word)) {
                    overflow.push(entry);
                } else {
                    self.put(line, resident);
                }
            }
        }
        overflow
    }

    fn bar(&mut self, line: usize, tag: u32) {
        if !self.is_barred(line, tag) {
            self.barred.push((line, tag));
        }
    }

    fn is_barred(&self, line: usize, tag: u32) -> bool {
        // The list is short: it usually has no entry or one.
        self.barred.contains(&(line, tag))
    }

    fn first(&self, key: u64) -> usize {
        first_line(self.geometry.line_count(), key) - self.base_line
    }

    fn second(&self, first: usize, low_word: u32) -> usize {
        let lines = self.geometry.shard_lines as usize;
        let line = first + step(self.geometry.shard_lines, low_word);
        if line >= lines { line - lines } else { line }
    }

    /// Returns the other line of a key that is in `line`.
    fn other(&self, line: usize, low_word: u32, moved: bool) -> usize {
        if !moved {
            return self.second(line, low_word);
        }
        let step = step(self.geometry.shard_lines, low_word);
        if line >= step { line - step } else { line + self.geometry.shard_lines as usize - step }
    }

    fn is_full(&self, line: usize) -> bool {
        self.occupied[line].count_ones() as usize == F::SLOT_COUNT
    }

    fn has_tag(&self, line: usize, tag: u32) -> bool {
        let occupied = self.occupied[line];
        let low_words = &self.low_words[line * F::SLOT_COUNT..][..F::SLOT_COUNT];
        (0..F::SLOT_COUNT).any(|slot| F::tag_of(low_words[slot]) == tag && occupied >> slot & 1 == 1)
    }

    /// Puts a key into a line that has room: into the first free slot if this is its first line, otherwise into the
    /// last.
    fn put(&mut self, line: usize, resident: Resident) {
        let free = !self.occupied[line] & ((1 << F::SLOT_COUNT) - 1);
        let slot = if resident.moved { free.ilog2() } else { free.trailing_zeros() } as usize;
        self.low_words[line * F::SLOT_COUNT + slot] = resident.low_word;
        self.weights[line * F::SLOT_COUNT + slot] = resident.weight;
        self.occupied[line] |= 1 << slot;
        self.moved[line] = self.moved[line] & !(1 << slot) | u16::from(resident.moved) << slot;
    }

    fn take(&mut self, line: usize, slot: usize) -> Resident {
        self.occupied[line] &= !(1 << slot);
        let at = line * F::SLOT_COUNT + slot;
        Resident { low_word: self.low_words[at], weight: self.weights[at], moved: self.moved[line] >> slot & 1 == 1 }
    }

    /// Inserts an entry with the shortest chain of moves that does not touch the first `kept_slots` slots of full
    /// lines. The search is breadth first.
    ///
    /// Chains that begin in the entry's first line are tried before chains that begin in its second line. If a key of
    /// the first line moves to its second line, it needs a second look-up instead of the entry. A key that is moved out
    /// of the entry's second line adds one.
    fn insert(&mut self, entry: &Entry, kept_slots: usize) -> Inserted {
        self.search_count += 1;
        self.steps.clear();
        let low_word = low_word(entry.key);
        let first = self.first(entry.key);
        for line in [first, self.second(first, low_word)] {
            self.visit(line, low_word, None);
        }
        if self.steps.is_empty() {
            return Inserted::TagTaken;
        }
        let max_lines = if kept_slots == 0 { MAX_SEARCH_LINES } else { MAX_CAREFUL_SEARCH_LINES };
        let mut at = 0;
        while at < self.steps.len() && at < max_lines {
            let line = self.steps[at].line;
            if !self.is_full(line) {
                self.move_along(at, entry);
                return Inserted::Yes;
            }
            // Try the least popular keys first.
            for slot in (kept_slots..F::SLOT_COUNT).rev() {
                let resident = self.low_words[line * F::SLOT_COUNT + slot];
                let moved = self.moved[line] >> slot & 1 == 1;
                self.visit(self.other(line, resident, moved), resident, Some((at, slot)));
            }
            at += 1;
        }
        Inserted::TooFull
    }

    /// Notes that a key could move to `line`, unless this search has already visited the line, or the line has the
    /// key's tag or must not have it.
    fn visit(&mut self, line: usize, low_word: u32, parent: Option<(usize, usize)>) {
        let tag = F::tag_of(low_word);
        if self.visited[line] != self.search_count && !self.has_tag(line, tag) && !self.is_barred(line, tag) {
            self.visited[line] = self.search_count;
            self.steps.push(Step { line, parent });
        }
    }

    /// Moves keys along the path that ends at step `at`, whose line has room. Then puts `entry` into the slot that
    /// became free at the root of the path.
    fn move_along(&mut self, mut at: usize, entry: &Entry) {
        while let Some((parent, slot)) = self.steps[at].parent {
            let resident = self.take(self.steps[parent].line, slot);
            self.put(self.steps[at].line, Resident { moved: !resident.moved, ..resident });
            at = parent;
        }
        let line = self.steps[at].line;
        let moved = line != self.first(entry.key);
        self.put(line, Resident { low_word: low_word(entry.key), weight: entry.weight, moved });
    }

    fn write(&self, lines: &mut [Line]) {
        lines.fill([0; LINE_LEN]);
        for line in 0..lines.len() {
            for slot in (0..F::SLOT_COUNT).filter(|slot| self.occupied[line] >> slot & 1 == 1) {
                let at = line * F::SLOT_COUNT + slot;
                let low_word = self.low_words[at];
                F::fill(&mut lines[line], slot, F::tag_of(low_word), self.weights[at]);
                if self.moved[line] >> slot & 1 == 1 {
                    F::note_overflow(&mut lines[self.other(line, low_word, true)], low_word);
                }
            }
        }
    }
}
