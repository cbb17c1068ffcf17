//! Looks up features in batches, 9 of 10 of them known.
//!
//! The baselines are the memory floor (the same lines touched with the same prefetch, and nothing else) and the maps
//! that a server would have on its heap.
//!
//! ```text
//! taskset -c 1 cargo bench --bench lookup                            # 10 million weights; less than 2 minutes
//! LOOKUP_WEIGHTS=100000000 taskset -c 1 cargo bench --bench lookup   # other sizes; 100 million take 8 GB and minutes
//! taskset -c 1 cargo bench --bench lookup -- Zipf                    # only contests with "Zipf" in their name
//! ```
//!
//! The table is looked up both in 4 KiB pages, like a mapped file, and in 2 MiB pages, like a copied one. The maps are
//! where the allocator puts them. `HashMap<String, f64>` gets texts that are made in advance, and is left out above
//! 10 million weights.

mod support;

use omomi::Instructions;
use omomi::weight_file::table::{Geometry, Table};
use omomi_train::pack::table::{BuiltTable, build};

use support::contest::{Bench, Contest};
use support::look_ups::{Pages, Popularity, Touches, ids, key_of, weight_of, weights};
use support::peers::{KeyMap, TextMap, text_key};
use support::ratios::Target;

/// Lookups per call: a request of about 200 candidates with 20 features each.
const BATCH: usize = 4_096;
/// Lookups until they repeat: so many that repetition does not keep their lines in the caches.
const QUERY_COUNT: usize = 1 << 22;
const TEXT_MAP_LIMIT: u64 = 10_000_000;

fn main() {
    let mut bench = Bench::from_args("lookup");
    let asked_for = std::env::var("LOOKUP_WEIGHTS").ok().map(|count| count.parse().expect("a number of weights"));
    let weight_count = if bench.is_smoke() { 10_000 } else { asked_for.unwrap_or(10_000_000) };
    let world = World::new(weight_count);
    for popularity in [Popularity::Zipf(1.0), Popularity::Even] {
        let queries = Queries::new(popularity, weight_count, bench.is_smoke());
        for pages in [Pages::Small, Pages::Huge] {
            look_up(&mut bench, &world, &queries, pages);
        }
    }
    bench.finish();
}

/// One set of weights, in a table and in maps.
struct World {
    weight_count: u64,
    geometry: Geometry,
    lines: Vec<u8>,
    exceptions: Vec<u8>,
    scales: Vec<u8>,
    key_map: KeyMap,
    text_map: Option<TextMap>,
}

impl World {
    fn new(weight_count: u64) -> Self {
        let weights = weights(weight_count);
        let built = build(&weights.iter().copied().collect()).expect("a table");
        let text_map = (weight_count <= TEXT_MAP_LIMIT)
            .then(|| TextMap::new((0..weight_count).map(|id| (text_of(id), f64::from(weight_of(id))))));
        let BuiltTable { geometry, weights: lines, exceptions, scales } = built;
        Self { weight_count, geometry, lines, exceptions, scales, key_map: KeyMap::new(&weights), text_map }
    }
}

fn text_of(id: u64) -> String {
    text_key("creative_id", id)
}

struct Queries {
    popularity: Popularity,
    ids: Vec<u64>,
    keys: Vec<u64>,
}

impl Queries {
    fn new(popularity: Popularity, weight_count: u64, smoke: bool) -> Self {
        let ids = ids(popularity, weight_count, if smoke { 4 * BATCH } else { QUERY_COUNT });
        let keys = ids.iter().map(|&id| key_of(id)).collect();
        Self { popularity, ids, keys }
    }
}

fn look_up(bench: &mut Bench, world: &World, queries: &Queries, pages: Pages) {
    let memory = pages.hold(&world.lines);
    let memory: &[u8] = &memory;
    let table = Table::new(memory, &world.exceptions, &world.scales, world.geometry).expect("a table");
    let touches = Touches::of(&table, world.geometry, &queries.keys, BATCH);
    let texts: Vec<String> = match world.text_map {
        Some(_) => queries.ids.iter().map(|&id| text_of(id)).collect(),
        None => Vec::new(),
    };
    assert_answers(world, queries, &table, &texts);

    let millions = world.weight_count / 1_000_000;
    let name = format!("{millions}M weights, {}, {}", queries.popularity.name(), pages.name());
    bench.note(&format!("{name}: {:.3} lines touched per look-up", touches.len() as f64 / queries.keys.len() as f64));
    let mut contest = Contest::new(&name, "look-up", BATCH as u64);
    let mut turn = Turn::default();
    contest.enter("memory floor", move || touches.touch(memory, turn.next(touches.batch_count())));
    for instructions in Instructions::all().into_iter().rev() {
        let (mut turn, mut found) = (Turn::default(), vec![0.0; BATCH]);
        contest.enter(&format!("omomi, {}", instructions.name()), move || {
            table.gather(instructions, turn.batch(&queries.keys), &mut found)
        });
    }
    let (mut turn, mut found) = (Turn::default(), vec![0.0; BATCH]);
    contest.enter("hashbrown u64 -> f32", move || world.key_map.gather(turn.batch(&queries.keys), &mut found));
    if let Some(map) = &world.text_map {
        let (mut turn, mut found) = (Turn::default(), vec![0.0; BATCH]);
        contest.enter("HashMap<String, f64>", move || {
            for (text, weight) in turn.batch(&texts).iter().zip(&mut found) {
                *weight = map.get(text).unwrap_or(0.0);
            }
            found[0]
        });
    }
    let ours = match Instructions::detect().name() {
        "avx512" => "omomi, avx512",
        "avx2" => "omomi, avx2",
        "neon" => "omomi, neon",
        _ => "omomi, plain",
    };
    contest.target(Target::AtMostTimes(ours, 1.5, "memory floor"));
    if let Popularity::Zipf(_) = queries.popularity {
        contest.target(Target::TimesFaster(ours, 3.5, "hashbrown u64 -> f32"));
        if world.text_map.is_some() {
            contest.target(Target::TimesFaster(ours, 20.0, "HashMap<String, f64>"));
        }
    }
    bench.run(contest);
}

/// Goes through the batches again and again.
#[derive(Default)]
struct Turn(usize);

impl Turn {
    fn next(&mut self, count: usize) -> usize {
        let turn = self.0;
        self.0 = (turn + 1) % count;
        turn
    }

    fn batch<'a, T>(&mut self, all: &'a [T]) -> &'a [T] {
        let turn = self.next(all.len() / BATCH);
        &all[turn * BATCH..(turn + 1) * BATCH]
    }
}

fn assert_answers(world: &World, queries: &Queries, table: &Table<'_>, texts: &[String]) {
    let expected: Vec<Option<f32>> =
        queries.ids.iter().map(|&id| (id < world.weight_count).then(|| weight_of(id))).collect();
    let expected_count = expected.iter().flatten().count();
    let assert_same = |name: &str, found: &[f32], found_count: usize| {
        // An unseen key can be mistaken for a known one: 1 in 100 million.
        assert!(found_count - expected_count < 3, "{name}: {found_count} found, {expected_count} known");
        let differing = found.iter().zip(&expected).filter(|(found, expected)| **found != expected.unwrap_or(0.0));
        assert!(differing.count() < 3, "{name}");
    };
    let mut found = vec![0.0; queries.keys.len()];
    for instructions in Instructions::all() {
        let found_count = table.gather(instructions, &queries.keys, &mut found);
        assert_same(instructions.name(), &found, found_count);
    }
    let found_count = world.key_map.gather(&queries.keys, &mut found);
    assert_same("hashbrown", &found, found_count);
    if let Some(map) = &world.text_map {
        for (text, expected) in texts.iter().zip(&expected) {
            assert_eq!(map.get(text), expected.map(f64::from));
        }
    }
}
