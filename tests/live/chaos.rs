//! Scores requests without a pause while the store suffers everything that people, disks and dying publishers can do to
//! it. Each answer is that of one published generation, bit for bit. After each disturbance, the right generation is
//! served. At the end, the process is as large as before.
//!
//! `OMOMI_CHAOS_SECONDS` is the duration for each load mode (10). `OMOMI_CHAOS_SEED` repeats the disturbances of
//! another run. `--nocapture` prints what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use omomi::live::{LiveModel, LiveScorer};
use omomi::store::{Current, Digest};
use omomi::{Answer, CandidateSet, Capacity, LoadMode, Request, RequestLayout};

use crate::world::{CANDIDATE_COUNT, World, expected_answers, layout, options, replace, same_bits, schema};
use crate::{again, small_model};

/// The orders that the operators of these tests give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Follow,
    Freeze,
    Off,
    Pin(u64),
}

/// Weights repeat after this many generations.
const CONTENT_COUNT: u64 = 1_000;
/// Number of weight files that the publisher keeps.
const KEPT_COUNT: usize = 8;
/// Maximum growth of the resident set. The allocator's share varies by half of it from run to run, for any duration.
const RESIDENT_SLACK_BYTES: u64 = 16 << 20;
/// Requests between pauses: on a machine with two cores, the background thread needs time from the scoring threads.
const REQUESTS_PER_BREATH: usize = 16;
const BREATH: Duration = Duration::from_micros(300);
/// Number of mappings that the allocator may add.
const MAPPING_SLACK_COUNT: usize = 16;

#[test]
fn no_answer_of_a_mapping_server_is_wrong_no_matter_what_happens_to_the_store() {
    in_a_separate_process("no_answer_of_a_mapping_server_is_wrong_no_matter_what_happens_to_the_store", LoadMode::Map);
}

#[test]
fn no_answer_of_a_copying_server_is_wrong_no_matter_what_happens_to_the_store() {
    in_a_separate_process("no_answer_of_a_copying_server_is_wrong_no_matter_what_happens_to_the_store", LoadMode::Copy);
}

/// Runs the test in its own process, because the final measurement is about a whole process without other tests.
fn in_a_separate_process(test: &str, load_mode: LoadMode) {
    if again::role().is_some() {
        return rage(load_mode);
    }
    // One after the other, so that each scoring thread has a core.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = again::command(&format!("chaos::{test}"), "chaos").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}

fn rage(load_mode: LoadMode) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let duration = Duration::from_secs(number("OMOMI_CHAOS_SECONDS").unwrap_or(10));
    let seed =
        number("OMOMI_CHAOS_SEED").unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    println!("load mode {}, seed {seed}", load_mode.name());

    let mut chaos = Chaos::new(load_mode, seed);
    // Memory that is allocated once is allocated before the first measurement.
    chaos.rage_for(duration / 10);
    let before = chaos.measure();
    let tally = chaos.rage_for(duration);
    let after = chaos.measure();
    println!("{tally}\nbefore: {before:?}\nafter: {after:?}");

    assert!(tally.swap_count > 0 && tally.request_count > 0);
    assert!(after.descriptor_count <= before.descriptor_count, "{before:?} {after:?}");
    assert_eq!(after.weight_file_mapping_count, before.weight_file_mapping_count);
    assert!(after.mapping_count <= before.mapping_count + MAPPING_SLACK_COUNT, "{before:?} {after:?}");
    assert!(after.resident_bytes <= before.resident_bytes + RESIDENT_SLACK_BYTES, "{before:?} {after:?}");

    drop(chaos);
    let end = Resources::of_this_process();
    assert_eq!(end.weight_file_mapping_count, 0, "all mappings of weight files end with their server");
}

/// The publisher, the operators and the store, with the expected state of a server.
struct Chaos {
    world: World,
    /// Looks on demand only, so the generation that it serves is known.
    live: Arc<LiveModel>,
    /// Looks all the time, even in the middle of a disturbance.
    hasty: Arc<LiveModel>,
    load_mode: LoadMode,
    random: Random,
    answers: Arc<Answers>,
    candidates: Arc<CandidateSet>,
    next_generation: u64,
    /// Generations whose weight file is as it was packed.
    intact: BTreeSet<u64>,
    /// Every generation that has a file, intact or not.
    existing: BTreeSet<u64>,
    /// The generation that `current` names, if it names it with the right digest.
    current: Option<u64>,
    control: Control,
    served: u64,
}

/// The answers of each generation, computed before it is published.
struct Answers(Vec<OnceLock<Vec<Answer>>>);

impl Answers {
    fn compute(&self, generation: u64) {
        self.slot(generation).get_or_init(|| expected_answers(generation));
    }

    fn of(&self, generation: u64) -> &[Answer] {
        self.slot(generation).get().unwrap_or_else(|| panic!("generation {generation} was never published"))
    }

    fn slot(&self, generation: u64) -> &OnceLock<Vec<Answer>> {
        &self.0[usize::try_from(generation % CONTENT_COUNT).unwrap()]
    }
}

/// Counts of what was done.
struct Tally {
    blow_counts: BTreeMap<&'static str, u64>,
    swap_count: u64,
    request_count: u64,
    off_count: u64,
    scorer_count: u64,
    took: Duration,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { blow_counts, swap_count, request_count, off_count, scorer_count, took } = self;
        writeln!(
            formatter,
            "{swap_count} swaps in {:.1} s, {request_count} requests scored, {off_count} while off, {scorer_count} scorers",
            took.as_secs_f64()
        )?;
        blow_counts.iter().try_for_each(|(name, count)| write!(formatter, "  {name}: {count}"))
    }
}

type Blow = (&'static str, fn(&mut Chaos));

const BLOWS: [Blow; 17] = [
    ("publish", Chaos::publish),
    ("publish", Chaos::publish),
    ("publish", Chaos::publish),
    ("publish", Chaos::publish),
    ("publish", Chaos::publish),
    ("publish a damaged file", Chaos::publish_a_damaged_file),
    ("publish a file that others may write", Chaos::publish_a_writable_file),
    ("publish under another generation's name", Chaos::publish_under_another_name),
    ("die while publishing", Chaos::die_while_publishing),
    ("remove a file", Chaos::remove_a_file),
    ("damage a file that was good", Chaos::damage_a_good_file),
    ("pin", Chaos::pin),
    ("pin", Chaos::pin),
    ("freeze", Chaos::freeze),
    ("off", Chaos::switch_off),
    ("write nonsense into control or current", Chaos::write_nonsense),
    ("replace candidates", Chaos::replace_candidates),
];

impl Chaos {
    fn new(load_mode: LoadMode, seed: u64) -> Self {
        let answers = Arc::new(Answers((0..CONTENT_COUNT).map(|_| OnceLock::new()).collect()));
        let world = World::new();
        answers.compute(1);
        world.publish(1);
        let open = |options| Arc::new(LiveModel::open(world.dir(), &schema(), options).unwrap());
        let live = open(options().with(|it| it.load_mode = load_mode));
        let poll_interval = Duration::from_millis(1);
        let hasty = open(options().with(|it| {
            it.load_mode = load_mode;
            it.name = "hasty".to_owned();
            it.poll_interval = poll_interval;
        }));
        let candidates = Arc::new(CandidateSet::new(&layout(), CANDIDATE_COUNT, 8).unwrap());
        let mut chaos = Self {
            world,
            live,
            hasty,
            load_mode,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            answers,
            candidates,
            next_generation: 2,
            intact: [1].into(),
            existing: [1].into(),
            current: Some(1),
            control: Control::Follow,
            served: 1,
        };
        (0..CANDIDATE_COUNT).for_each(|index| chaos.put_candidate(index, index));
        chaos
    }

    /// Makes one disturbance after another. After each, the server looks and a question is checked, while two threads
    /// score.
    fn rage_for(&mut self, duration: Duration) -> Tally {
        let started = Instant::now();
        let mut blow_counts = BTreeMap::new();
        let mut swap_count = 0;
        let scored = Scored::default();
        let (answers, candidates) = (Arc::clone(&self.answers), Arc::clone(&self.candidates));
        let servers = [Arc::clone(&self.live), Arc::clone(&self.hasty)];
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=2)
                .map(|number| {
                    let (scored, servers, answers, candidates) = (&scored, &servers, &answers, &candidates);
                    let random = Random(self.random.next().wrapping_add(number) | 1);
                    scope.spawn(move || scored.score(servers, answers, candidates, random))
                })
                .collect();
            let stop = StopOnDrop(&scored.is_over);
            let scorer = self.live.scorer(&layout()).unwrap();
            let mut request = scorer.new_request();
            request.fill(&small_model::full_rows(CANDIDATE_COUNT as i64)).unwrap();
            while started.elapsed() < duration && threads.iter().all(|thread| !thread.is_finished()) {
                // Sometimes the server sees only the combined result of several disturbances.
                for _ in 0..=self.random.below(2) {
                    let (name, blow) = BLOWS[self.random.below(BLOWS.len())];
                    blow(self);
                    *blow_counts.entry(name).or_default() += 1;
                }
                self.tidy_up();
                self.live.look_now();
                let before = self.served;
                self.served = self.settled();
                swap_count += u64::from(self.served != before);
                let expected = if self.control == Control::Off { Err("switched_off") } else { Ok(self.served) };
                assert_eq!(ask(&scorer, &mut request, &answers), expected, "{:?}", self.live.status());
            }
            drop(stop);
        });
        Tally {
            blow_counts,
            swap_count,
            request_count: scored.request_count.into_inner(),
            off_count: scored.off_count.into_inner(),
            scorer_count: scored.scorer_count.into_inner(),
            took: started.elapsed(),
        }
    }

    /// Returns the generation that a look must bring into service.
    fn settled(&self) -> u64 {
        let wanted = match self.control {
            Control::Off | Control::Freeze => None,
            Control::Pin(generation) => Some(generation),
            Control::Follow => self.current.filter(|generation| *generation > self.served),
        };
        wanted.filter(|generation| self.intact.contains(generation)).unwrap_or(self.served)
    }

    /// Measures while nothing scores, a new generation is served, and everything older is gone.
    fn measure(&mut self) -> Resources {
        self.set_control(Control::Follow);
        self.publish();
        for _ in 0..3 {
            self.live.look_now();
            self.hasty.look_now();
        }
        self.served = self.settled();
        for live in [&self.live, &self.hasty] {
            assert_eq!(live.model().map(|model| model.generation()), Some(self.served), "{:?}", live.status());
        }
        Resources::of_this_process()
    }

    fn new_generation(&mut self) -> u64 {
        self.next_generation += 1;
        let generation = self.next_generation - 1;
        self.answers.compute(generation);
        generation
    }

    fn publish(&mut self) {
        // Half of the time there is no decision: otherwise most generations would never be served.
        if self.random.below(2) == 0 {
            self.set_control(Control::Follow);
        }
        let generation = self.new_generation();
        self.world.publish(generation);
        self.intact.insert(generation);
        self.existing.insert(generation);
        self.current = Some(generation);
    }

    fn publish_a_damaged_file(&mut self) {
        let generation = self.new_generation();
        let bytes = self.damaged(World::bytes(generation));
        self.world.publish_bytes(generation, &bytes);
        self.existing.insert(generation);
        self.current = None;
    }

    /// Damages bytes the way disks and copies do.
    fn damaged(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let position = self.random.below(bytes.len());
        match self.random.below(6) {
            0 => bytes[position] ^= 1 << self.random.below(8),
            1 => bytes.truncate(position),
            2 => bytes.fill(0),
            // Half written, by a program that reserved the whole length first.
            3 => bytes[position.min(4_096)..].fill(0),
            4 => bytes.push(0),
            _ => bytes = b"this is the readme of another project\n".repeat(1 + position / 38),
        }
        bytes
    }

    fn publish_a_writable_file(&mut self) {
        let generation = self.new_generation();
        let path = self.world.put(generation, &World::bytes(generation));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        self.world.point_to(generation);
        self.existing.insert(generation);
        self.current = None;
    }

    fn publish_under_another_name(&mut self) {
        let inside = self.new_generation();
        let generation = self.new_generation();
        self.world.publish_bytes(generation, &World::bytes(inside));
        self.existing.insert(generation);
        self.current = None;
    }

    /// Stops at each of the moments at which a careless publisher would leave something behind.
    fn die_while_publishing(&mut self) {
        let generation = self.new_generation();
        let bytes = World::bytes(generation);
        let path = self.world.store.generation_path(generation);
        match self.random.below(4) {
            // While writing the sibling.
            0 => {
                fs::write(path.with_file_name(format!(".{generation:06}.omomi.7-1.partial")), &bytes[..bytes.len() / 2])
                    .unwrap()
            }
            // While writing under the final name.
            1 => {
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
                self.existing.insert(generation);
            }
            // Before moving `current`.
            2 => {
                self.world.put(generation, &bytes);
                self.intact.insert(generation);
                self.existing.insert(generation);
            }
            // While writing `current` in place.
            _ => {
                self.world.put(generation, &bytes);
                self.intact.insert(generation);
                self.existing.insert(generation);
                let text = Current { generation, digest: Digest::of(&bytes) }.to_string();
                replace(&self.world.store.current_path(), &text.as_bytes()[..text.len() / 2]);
                self.current = None;
            }
        }
    }

    fn remove_a_file(&mut self) {
        if self.existing.len() > 1 {
            let generation = self.any_existing();
            self.remove(generation);
        }
    }

    fn remove(&mut self, generation: u64) {
        fs::remove_file(self.world.store.generation_path(generation)).unwrap();
        self.existing.remove(&generation);
        self.intact.remove(&generation);
    }

    /// A copy must be immune to writes in place. Under a mapping, they would reach the answers or end the process, so
    /// there the name gets other content.
    fn damage_a_good_file(&mut self) {
        let generation = if self.random.below(2) == 0 { self.served } else { self.any_existing() };
        let path = self.world.store.generation_path(generation);
        let Ok(bytes) = fs::read(&path) else { return };
        let damaged = self.damaged(bytes);
        if self.load_mode == LoadMode::Map {
            replace(&path, &damaged);
        } else {
            write_in_place(&path, &damaged);
        }
        self.intact.remove(&generation);
    }

    fn any_existing(&mut self) -> u64 {
        let index = self.random.below(self.existing.len());
        *self.existing.iter().nth(index).unwrap()
    }

    fn pin(&mut self) {
        let generation = self.any_existing();
        self.set_control(Control::Pin(generation));
    }

    fn freeze(&mut self) {
        self.set_control(Control::Freeze);
    }

    fn switch_off(&mut self) {
        self.set_control(Control::Off);
    }

    fn set_control(&mut self, control: Control) {
        let text = match control {
            Control::Follow => "on follow".to_owned(),
            Control::Freeze => "on freeze".to_owned(),
            Control::Off => "off freeze".to_owned(),
            Control::Pin(generation) => format!("on pin {generation}"),
        };
        self.world.control(&text);
        self.control = control;
    }

    /// Writes text that is not a valid decision, so the last valid one stays in force.
    fn write_nonsense(&mut self) {
        let nonsense = [&b""[..], b"offf\n", b"\xff\xfe", b"pin x\n", &[b'0'; 5_000]];
        let nonsense = nonsense[self.random.below(nonsense.len())];
        if self.random.below(2) == 0 {
            replace(&self.world.store.current_path(), nonsense);
            self.current = None;
        } else {
            // The decision before it must be read first.
            self.live.look_now();
            self.served = self.settled();
            replace(&self.world.store.control_path(), nonsense);
        }
    }

    /// Replaces candidates: each index alternates between two rows.
    fn replace_candidates(&mut self) {
        for index in 0..CANDIDATE_COUNT {
            let row = (index + self.random.below(2) * CANDIDATE_COUNT / 2) % CANDIDATE_COUNT;
            self.put_candidate(index, row);
        }
    }

    fn put_candidate(&mut self, index: usize, row: usize) {
        let mut request = Request::new(&layout());
        request.fill(&small_model::full_rows(CANDIDATE_COUNT as i64)).unwrap();
        self.candidates.put(u32::try_from(index).unwrap(), &mut request, row).unwrap();
    }

    fn tidy_up(&mut self) {
        while self.existing.len() > KEPT_COUNT {
            let oldest = *self.existing.first().unwrap();
            self.remove(oldest);
        }
    }
}

/// Counts of the scoring threads, and whether they must stop.
#[derive(Default)]
struct Scored {
    is_over: AtomicBool,
    request_count: AtomicU64,
    off_count: AtomicU64,
    scorer_count: AtomicU64,
}

impl Scored {
    /// Opens scorers, scores with them without a pause, and drops them.
    fn score(
        &self,
        servers: &[Arc<LiveModel>; 2],
        answers: &Answers,
        candidates: &Arc<CandidateSet>,
        mut random: Random,
    ) {
        let by_index =
            RequestLayout::prepared(&schema(), Capacity { candidates: CANDIDATE_COUNT, tail_len_bytes: 8_192 });
        let by_index = by_index.unwrap();
        let rows = small_model::full_rows(CANDIDATE_COUNT as i64);
        while !self.is_over.load(Ordering::Relaxed) {
            let (live, is_inline) = (&servers[random.below(2)], random.below(2) == 0);
            let scorer = if is_inline {
                live.scorer(&layout()).unwrap()
            } else {
                live.scorer_with_candidates(&by_index, candidates).unwrap()
            };
            self.scorer_count.fetch_add(1, Ordering::Relaxed);
            let mut request = scorer.new_request();
            if is_inline {
                request.fill(&rows).unwrap();
            } else {
                request.context().set_all(&rows.context).unwrap();
                (0..CANDIDATE_COUNT)
                    .for_each(|index| request.set_candidate(index, u32::try_from(index).unwrap()).unwrap());
            }
            for number in 1..random.below(20_000) {
                let asked = if is_inline {
                    ask(&scorer, &mut request, answers)
                } else {
                    ask_by_index(&scorer, &mut request, answers)
                };
                match asked {
                    Ok(_) => self.request_count.fetch_add(1, Ordering::Relaxed),
                    Err("switched_off") => {
                        std::thread::sleep(BREATH);
                        self.off_count.fetch_add(1, Ordering::Relaxed)
                    }
                    Err(error) => panic!("a request got `{error}`"),
                };
                if self.is_over.load(Ordering::Relaxed) {
                    break;
                }
                if number % REQUESTS_PER_BREATH == 0 {
                    std::thread::sleep(BREATH);
                }
            }
        }
    }
}

/// Returns the generation that answered, or the name of the error. Checks that all answers belong to that generation.
fn ask(scorer: &LiveScorer, request: &mut Request, answers: &Answers) -> Result<u64, &'static str> {
    scorer.predict(request, CANDIDATE_COUNT).map_err(|error| error.code().name())?;
    let generation = request.generation();
    let expected = answers.of(generation);
    let found = request.answers(CANDIDATE_COUNT);
    assert!(same_bits(found, expected.iter().copied()), "generation {generation} gave other answers");
    Ok(generation)
}

/// Like [`ask`], for candidates whose rows are replaced meanwhile: each must have one of its two rows.
fn ask_by_index(scorer: &LiveScorer, request: &mut Request, answers: &Answers) -> Result<u64, &'static str> {
    scorer.predict(request, CANDIDATE_COUNT).map_err(|error| error.code().name())?;
    let generation = request.generation();
    let expected = answers.of(generation);
    for index in 0..CANDIDATE_COUNT {
        let rows = [index, (index + CANDIDATE_COUNT / 2) % CANDIDATE_COUNT];
        let is_one =
            rows.iter().any(|&row| same_bits([request.answer(index)].into_iter(), [expected[row]].into_iter()));
        assert!(is_one, "candidate {index} got an answer that generation {generation} gives to neither of its rows");
    }
    Ok(generation)
}

/// Stops the threads even if an assertion fails, so that the test ends.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn write_in_place(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut file = File::options().write(true).truncate(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// Resources that would show a leak.
#[derive(Debug)]
struct Resources {
    resident_bytes: u64,
    descriptor_count: usize,
    mapping_count: usize,
    weight_file_mapping_count: usize,
}

impl Resources {
    fn of_this_process() -> Self {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let resident_pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        Self {
            resident_bytes: resident_pages * 4_096,
            descriptor_count: held_descriptor_count(),
            mapping_count: maps.lines().count(),
            weight_file_mapping_count: maps.lines().filter(|line| line.contains("/generations/")).count(),
        }
    }
}

/// Returns how many descriptors the process holds. The threads of two servers may have a file and its folder open at
/// any moment, so the least of several counts matters.
fn held_descriptor_count() -> usize {
    let count = |_| {
        std::thread::sleep(Duration::from_millis(5));
        fs::read_dir("/proc/self/fd").unwrap().count()
    };
    (0..20).map(count).min().unwrap()
}

/// Xorshift: any numbers will do, as long as a seed repeats them.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap()
    }
}
