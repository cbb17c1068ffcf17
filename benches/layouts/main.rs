//! Compares layouts of the table. The result is in `FORMAT.md`.
//!
//! * (a) two-choice lines: the library's table
//! * (b) hash and displace: a pilot byte for every five keys, then exactly one line (`displaced.rs`)
//! * (c) popularity-aware: the most popular features are in a separate table that fits into the cache of a core; keys
//!   that it does not have are looked up in the other table
//!
//! ```text
//! taskset -c 1 cargo bench --bench layouts                          # 1 and 10 million weights
//! taskset -c 1 cargo bench --bench layouts -- 100000000             # another number of weights; this one takes 6 GB
//! taskset -c 1 cargo bench --bench layouts -- 1000000 uniform huge  # one popularity, one page size
//! ```
//!
//! Contestants take turns. All rows of the table are medians over the rounds.

#[path = "../support/mod.rs"]
mod support;

mod displaced;

use std::hint::black_box;

use displaced::{Displaced, Reader};
use memmap2::MmapMut;
use omomi::Instructions;
use omomi::weight_file::table::{Geometry, Table};
use omomi_train::pack::table::{BuiltTable, build};

use support::contest::is_smoke;
use support::core_time::CoreTime;
use support::look_ups::{Pages, Popularity, Touches, ids, key_of, weights};

/// Lookups per call.
const BATCH: usize = 4_096;
/// Lookups until they repeat.
const QUERY_COUNT: usize = 1 << 22;
/// Calls of a contestant per round: about 10 ms.
const CALLS: usize = 256;
const ROUND_COUNT: usize = 15;
/// Numbers of features in the small table: with tags and filters they take 70 KB and 280 KB.
const POPULAR_COUNTS: [u64; 2] = [1 << 13, 1 << 15];

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let mut counts: Vec<u64> = given.iter().filter_map(|argument| argument.parse().ok()).collect();
    if is_smoke() {
        counts = vec![100_000];
    } else if counts.is_empty() {
        counts = vec![1_000_000, 10_000_000];
    }
    let is_asked = |word: &str, rivals: &[&str]| {
        let asked = |word: &str| given.iter().any(|argument| argument == word);
        asked(word) || !rivals.iter().any(|rival| asked(rival))
    };
    println!(
        "| weights | popularity | pages | layout | bytes per weight | lines per look-up | ns per look-up | times floor |"
    );
    println!("| ---: | --- | --- | --- | ---: | ---: | ---: | ---: |");
    for count in counts {
        let world = World::new(count);
        for (word, popularity) in
            [("uniform", Popularity::Even), ("0.7", Popularity::Zipf(0.7)), ("1.0", Popularity::Zipf(1.0))]
        {
            for (page_word, pages) in [("small", Pages::Small), ("huge", Pages::Huge)] {
                if is_asked(word, &["uniform", "0.7", "1.0"]) && is_asked(page_word, &["small", "huge"]) {
                    compare(&world, popularity, pages);
                }
            }
        }
    }
}

/// One set of weights, in every layout.
struct World {
    count: u64,
    whole: BuiltTable,
    displaced: Displaced,
    /// For each size of the small table: the number of popular features, their table, and the table of all others.
    split: Vec<(u64, BuiltTable, BuiltTable)>,
}

impl World {
    fn new(count: u64) -> Self {
        let weights = weights(count);
        let split = POPULAR_COUNTS.iter().filter(|&&popular| popular < count).map(|&popular| {
            let popular_keys: std::collections::HashSet<u64> = (0..popular).map(key_of).collect();
            let (popular_weights, others): (Vec<_>, Vec<_>) =
                weights.iter().partition(|weight| popular_keys.contains(&weight.0));
            (popular, built(&popular_weights), built(&others))
        });
        let split = split.collect();
        Self { count, whole: built(&weights), displaced: displaced::build(&weights), split }
    }
}

/// Builds the library's table of these weights.
fn built(weights: &[(u64, f32)]) -> BuiltTable {
    build(&weights.iter().copied().collect()).expect("a table")
}

/// A table of the library, in memory with a given page size.
struct Placed {
    memory: MmapMut,
    exceptions: Vec<u8>,
    scales: Vec<u8>,
    geometry: Geometry,
}

impl Placed {
    fn new(built: &BuiltTable, pages: Pages) -> Self {
        Self {
            memory: pages.hold(&built.weights),
            exceptions: built.exceptions.clone(),
            scales: built.scales.clone(),
            geometry: built.geometry,
        }
    }

    fn table(&self) -> Table<'_> {
        Table::new(&self.memory, &self.exceptions, &self.scales, self.geometry).expect("a table")
    }
}

/// One row of the output: the name and the cost of a layout, and its lookups.
struct Contestant<'a> {
    name: String,
    bytes_per_weight: f64,
    lines_per_look_up: f64,
    call: Box<dyn FnMut(usize) -> usize + 'a>,
}

fn compare(world: &World, popularity: Popularity, pages: Pages) {
    let query_count = if is_smoke() { 4 * BATCH } else { QUERY_COUNT };
    let keys: Vec<u64> = ids(popularity, world.count, query_count).into_iter().map(key_of).collect();
    let batch_count = keys.len() / BATCH;
    let batch = |turn: usize| &keys[turn % batch_count * BATCH..][..BATCH];
    let instructions = Instructions::detect();

    let whole = Placed::new(&world.whole, pages);
    let table = whole.table();
    let mut expected = vec![0.0; keys.len()];
    let expected_count = table.gather(instructions, &keys, &mut expected);
    let touches = Touches::of(&table, whole.geometry, &keys, BATCH);
    let lines_per_look_up = touches.len() as f64 / keys.len() as f64;
    let bytes_per_weight = |len: usize| len as f64 / world.count as f64;
    let whole_bytes = bytes_per_weight(whole.memory.len() + whole.exceptions.len());
    let pilots = pages.hold(&world.displaced.pilots);
    let lines = pages.hold(world.displaced.lines.as_flattened());
    let reader = Reader { pilots: &pilots, lines: lines.as_chunks().0 };
    let split: Vec<_> = world
        .split
        .iter()
        .map(|(popular, small, large)| (popular, Placed::new(small, pages), Placed::new(large, pages)))
        .collect();
    let (memory, mut found) = (&whole.memory, vec![0.0; BATCH]);
    let mut contestants = vec![
        Contestant {
            name: "floor of (a)".to_owned(),
            bytes_per_weight: whole_bytes,
            lines_per_look_up,
            call: Box::new(move |turn| touches.touch(memory, turn % batch_count) as usize),
        },
        Contestant {
            name: "(a) two-choice lines".to_owned(),
            bytes_per_weight: whole_bytes,
            lines_per_look_up,
            call: Box::new(move |turn| table.gather(instructions, batch(turn), &mut found)),
        },
    ];

    assert_gives(&keys, &expected, expected_count, world.displaced.unplaced_count, |keys, weights| {
        reader.gather(keys, weights)
    });
    let mut found = vec![0.0; BATCH];
    contestants.push(Contestant {
        name: format!("(b) hash and displace, {} keys not placed", world.displaced.unplaced_count),
        bytes_per_weight: bytes_per_weight(pilots.len() + lines.len()),
        lines_per_look_up: 2.0,
        call: Box::new(move |turn| reader.gather(batch(turn), &mut found)),
    });

    for (popular, small, large) in &split {
        let (small_table, large_table) = (small.table(), large.table());
        let mut rest = Rest::default();
        let gather = move |rest: &mut Rest, keys: &[u64], weights: &mut [f32]| {
            let found_count = small_table.gather(instructions, keys, weights);
            rest.gather(keys, weights, |keys, weights| large_table.gather(instructions, keys, weights)) + found_count
        };
        assert_gives(&keys, &expected, expected_count, 0, |keys, weights| gather(&mut rest, keys, weights));
        let touched = keys.iter().map(|&key| {
            let small_lines = small_table.lines_touched(key);
            if small_table.get(key).is_some() { small_lines } else { small_lines + large_table.lines_touched(key) }
        });
        let mut found = vec![0.0; BATCH];
        contestants.push(Contestant {
            name: format!("(c) the {popular} most popular first, then (a)"),
            bytes_per_weight: bytes_per_weight(small.memory.len() + large.memory.len()),
            lines_per_look_up: touched.sum::<usize>() as f64 / keys.len() as f64,
            call: Box::new(move |turn| gather(&mut rest, batch(turn), &mut found)),
        });
    }
    let start = format!("| {} | {} | {} |", world.count, popularity.name(), pages.name());
    for row in measure(contestants) {
        println!("{start} {row}");
    }
}

/// The keys that the first table did not have.
#[derive(Default)]
struct Rest {
    places: Vec<usize>,
    keys: Vec<u64>,
    weights: Vec<f32>,
}

impl Rest {
    /// Looks up the keys whose weight is 0, and writes their weights. No weight in a table is 0 here. Does not branch
    /// on weights.
    fn gather(&mut self, keys: &[u64], weights: &mut [f32], look_up: impl Fn(&[u64], &mut [f32]) -> usize) -> usize {
        self.places.resize(keys.len() + 1, 0);
        self.keys.resize(keys.len() + 1, 0);
        self.weights.resize(keys.len() + 1, 0.0);
        let mut count = 0;
        for (place, (&key, weight)) in keys.iter().zip(&*weights).enumerate() {
            self.places[count] = place;
            self.keys[count] = key;
            count += usize::from(weight.to_bits() == 0);
        }
        let found_count = look_up(&self.keys[..count], &mut self.weights);
        for (&place, &weight) in self.places[..count].iter().zip(&self.weights) {
            weights[place] = weight;
        }
        found_count
    }
}

fn assert_gives(
    keys: &[u64],
    expected: &[f32],
    expected_count: usize,
    unplaced_count: usize,
    mut gather: impl FnMut(&[u64], &mut [f32]) -> usize,
) {
    let mut found = vec![0.0; keys.len()];
    let found_count = gather(keys, &mut found);
    let differing = found.iter().zip(expected).filter(|(found, expected)| found != expected).count();
    if unplaced_count == 0 {
        // An unseen key can be mistaken for a known one: 1 in 100 million.
        assert!(found_count.abs_diff(expected_count) < 3 && differing < 3, "{found_count}, {differing}");
    }
}

/// Times all contestants in turns and returns one row of medians for each.
fn measure(mut contestants: Vec<Contestant<'_>>) -> Vec<String> {
    let (round_count, calls) = if is_smoke() { (1, 1) } else { (ROUND_COUNT, CALLS) };
    let mut times = vec![Vec::new(); contestants.len()];
    for round in 0..round_count {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            for turn in 0..calls / 4 {
                black_box((contestant.call)(round * calls + turn));
            }
            let start = CoreTime::now();
            for turn in calls / 4..calls / 4 + calls {
                black_box((contestant.call)(round * calls + turn));
            }
            times.push(start.elapsed().as_secs_f64() * 1e9 / (calls * BATCH) as f64);
        }
    }
    let floors = times[0].clone();
    let rows = contestants.iter().zip(times).map(|(contestant, times)| {
        let ratio = median(times.iter().zip(&floors).map(|(time, floor)| time / floor));
        let Contestant { name, bytes_per_weight, lines_per_look_up, .. } = contestant;
        format!(
            "{name} | {bytes_per_weight:.2} | {lines_per_look_up:.2} | {:.2} | {ratio:.2} |",
            median(times.iter().copied())
        )
    });
    rows.collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
