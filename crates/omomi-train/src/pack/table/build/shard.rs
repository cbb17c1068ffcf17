//! One shard while it is filled: each key in its first line where there is room, else in its second, moving others where that
//! is what it takes.

use std::cmp::Reverse;
use std::marker::PhantomData;

use crate::pack::table::Entry;
use crate::pack::table::line_writer::LineWriter;
use omomi::weight_file::table::line::Line;
use omomi::weight_file::table::{Geometry, LINE_LEN, first_line, low_word, step};

/// Most lines looked at to make room for one key.
const MAX_SEARCH_LINES: usize = 4_096;
/// Most lines looked at while popular keys are left where they are: in a nearly full table more would seldom help.
const MAX_CAREFUL_SEARCH_LINES: usize = 64;
/// Most pairs of a line and a tag that are barred in a shard: of hashes, one or two are.
const MAX_BARRED: usize = 1_000;
/// Times that a shard is filled anew because of keys that its lines would answer wrongly.
const MAX_ROUNDS: u32 = 8;

/// A shard of the table. Lines are counted from its own start.
///
/// A slot holds the low word of its key: with the line that the key stands in, it gives the key's other line, its tag and its
/// filter bit. So a search touches one place in memory for each line.
pub(super) struct Shard<'a, F> {
    entries: &'a [Entry],
    geometry: Geometry,
    base_line: usize,
    low_words: Vec<u32>,
    weights: Vec<f32>,
    /// Bit `s` of a line is set where its slot `s` is occupied.
    occupied: Vec<u16>,
    /// Bit `s` of a line is set where its slot `s` has a key whose second line this is.
    moved: Vec<u16>,
    /// Lines and tags that do not go together: keys that have both would be taken for each other.
    barred: Vec<(usize, u32)>,
    /// For each line the number of the last search that came by, so that none visits it twice.
    visited: Vec<u32>,
    search_count: u32,
    steps: Vec<Step>,
    format: PhantomData<fn() -> F>,
}

/// A key on its way into a slot.
#[derive(Clone, Copy)]
struct Resident {
    low_word: u32,
    weight: f32,
    /// Whether it stands in its second line.
    moved: bool,
}

/// A line that a search came by: the key in slot `slot` of the step `parent` could move here.
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

    /// Places the entries, writes `lines`, and returns the entries that have no place there or would get another's weight; nothing
    /// if the shard is too full.
    pub(super) fn fill(mut self, lines: &mut [Line]) -> Option<Vec<Entry>> {
        let mut round = 1;
        loop {
            let unplaced = self.place()?;
            self.write(lines);
            let mut exceptional = self.wrongly_answered(lines);
            let barred_before = self.barred.len();
            for entry in &exceptional {
                // Another key's tag stands in the first line: from the next round on no key with it does.
                self.bar(self.first(entry.key), F::tag_of(low_word(entry.key)));
            }
            if self.barred.len() == barred_before || round == MAX_ROUNDS {
                // A key without a place may have got its weight by luck, from a key with the same tag and weight.
                exceptional.extend(unplaced);
                return Some(exceptional);
            }
            round += 1;
        }
    }

    fn wrongly_answered(&self, lines: &[Line]) -> Vec<Entry> {
        self.entries.iter().filter(|entry| !self.is_answered(lines, entry)).copied().collect()
    }

    /// Whether the lines give the entry its weight.
    fn is_answered(&self, lines: &[Line], entry: &Entry) -> bool {
        let (low_word, first) = (low_word(entry.key), self.first(entry.key));
        let tag = F::tag_of(low_word);
        let find = |line: usize| F::find_tag(&lines[line], tag).map(|slot| F::weight(&lines[line], slot));
        let found = find(first)
            .or_else(|| if F::overflows(&lines[first], low_word) { find(self.second(first, low_word)) } else { None });
        found.map(f32::to_bits) == Some(entry.weight.to_bits())
    }

    /// Places the entries anew and returns those that have no place because of their tags; nothing if the shard is too full.
    fn place(&mut self) -> Option<Vec<Entry>> {
        let lines = self.geometry.shard_lines as usize;
        self.low_words = vec![0; lines * F::SLOT_COUNT];
        self.weights = vec![0.0; lines * F::SLOT_COUNT];
        self.occupied = vec![0; lines];
        self.moved = vec![0; lines];
        self.visited = vec![0; lines];
        self.search_count = 0;
        // First lines first: a key that fits there must not be driven out by another's overflow.
        let overflow = self.place_in_first_lines();
        if self.barred.len() > MAX_BARRED {
            return None;
        }
        // The first slots of a line hold its most popular keys. No search moves them while others will do: a key that leaves its
        // first line takes two lines to look up from then on. Where all are as popular, that would only make chains longer.
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

    /// Puts the most popular keys of each line there, the most popular first, and returns the others.
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
        // One or none in a shard, as a rule.
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

    /// The other line of a key that stands in `line`.
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

    /// Puts a key into a line that has room: into the first free slot where it is at home, else into the last.
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

    /// Makes room for an entry by the shortest chain of moves, found breadth first, that leaves the first `kept_slots` slots of
    /// full lines as they are.
    ///
    /// The chains that begin in its first line come before those of its second: a resident of the first line that moves over
    /// costs no more second look-ups than the entry itself would, while one that is driven out of the second line adds one.
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
            // The least popular first.
            for slot in (kept_slots..F::SLOT_COUNT).rev() {
                let resident = self.low_words[line * F::SLOT_COUNT + slot];
                let moved = self.moved[line] >> slot & 1 == 1;
                self.visit(self.other(line, resident, moved), resident, Some((at, slot)));
            }
            at += 1;
        }
        Inserted::TooFull
    }

    /// Notes that a key could move to `line`, unless a search has been there or the line may not have the key's tag.
    fn visit(&mut self, line: usize, low_word: u32, parent: Option<(usize, usize)>) {
        let tag = F::tag_of(low_word);
        if self.visited[line] != self.search_count && !self.has_tag(line, tag) && !self.is_barred(line, tag) {
            self.visited[line] = self.search_count;
            self.steps.push(Step { line, parent });
        }
    }

    /// Moves the residents along the path that ends at step `at`, whose line has room, then puts `entry` where its root got
    /// free.
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
