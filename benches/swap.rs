//! Measures latency while weight files are swapped: `cargo bench --bench swap`, on two otherwise idle cores.
//!
//! One thread scores requests at a fixed rate, each when it is due. Meanwhile a different weight file is served every
//! few seconds: by a live model in each of its load modes (`auto`, the default, first), and naively, by mapping the new
//! file and replacing the `Arc` of the old one. The latency of a request counts from when it was due, so a stall shows
//! in every request that waited for it. The output compares requests that were due during a swap with all others. A
//! swap lasts from the first look at the new file until the memory of the old one is freed. Private memory is what the
//! process holds besides mapped files.
//!
//! `cargo bench --bench swap -- size_mib=1024 seconds=60 every_seconds=10 rate=2000 candidates=200 way=map verbose=1`
//! shows the defaults, except for the last two. Without `way`, all ways run. `verbose` shows the longest requests and
//! what ran in the background at that time.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use omomi::live::{LiveModel, LiveOptions};
use omomi::store::{Digest, Store};
use omomi::{LoadMode, Model, Request, RequestLayout, Schema, Scorer};

use support::requests::{Shape, Traffic};

/// Number of weight files that take turns.
const FILE_COUNT: u8 = 3;
/// Target: p99.9 latency during swaps, divided by the p99.9 latency between swaps.
const TARGET_TIMES: f64 = 2.0;
/// Requests until they repeat: so many that their lines do not stay in the caches.
const REQUEST_COUNT: usize = 1_000;
const LONGEST_SHOWN: usize = 12;

fn main() {
    let plan = Plan::from_args();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::new(folder.path());
    std::fs::create_dir(store.generations_path()).expect("a folder");
    let world = World::new(&plan, store);
    let mut table = String::new();
    for way in Way::ALL.into_iter().filter(|way| plan.way.is_none_or(|asked| asked == *way)) {
        let run = way.run(&plan, &world);
        run.show(way, &plan, &mut table);
    }
    let head = plan.head();
    println!("{head}{table}");
    let ratios = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("ratios");
    std::fs::create_dir_all(&ratios).expect("a folder");
    std::fs::write(ratios.join("swap.md"), format!("{head}{table}")).expect("room for a table");
}

/// The files, the swaps and the requests of a run.
struct Plan {
    size_mib: usize,
    duration: Duration,
    every: Duration,
    rate: u64,
    candidate_count: usize,
    way: Option<Way>,
    is_verbose: bool,
}

impl Plan {
    fn from_args() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        // `cargo bench` passes `--bench`. `cargo test` does not: it only checks that the bench still works.
        let is_smoke = !arguments.iter().any(|argument| argument == "--bench");
        let asked = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
        let number = |name: &str, full: u64, smoke: u64| -> u64 {
            let default = if is_smoke { smoke } else { full };
            asked(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let size = |number: u64| usize::try_from(number).expect("a size");
        Self {
            size_mib: size(number("size_mib", 1_024, 1)),
            duration: Duration::from_secs(number("seconds", 60, 4)),
            every: Duration::from_secs(number("every_seconds", 10, 1)),
            rate: number("rate", 2_000, 200),
            candidate_count: size(number("candidates", 200, 20)),
            way: asked("way")
                .map(|name| Way::ALL.into_iter().find(|way| way.name() == name).expect("auto, map, copy or naive")),
            is_verbose: number("verbose", 0, 0) != 0,
        }
    }

    fn head(&self) -> String {
        let Self { size_mib, duration, every, rate, candidate_count, .. } = self;
        format!(
            "\n## swap\n\nA file of {size_mib} MiB swapped every {} s for {} s; {rate} requests per second of {candidate_count} candidates, on one \
             thread; latencies in us from when a request was due.\n\n\
             | way | when | requests | p50 | p99 | p99.9 | longest | p99.9 / quiet p99.9 |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
            every.as_secs(),
            duration.as_secs()
        )
    }
}

/// How a new file replaces the old one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Auto,
    Map,
    Copy,
    /// Maps the new file without reading its pages and serves it immediately. The last user of the old file, the thread
    /// of the requests, unmaps it.
    Naive,
}

impl Way {
    const ALL: [Self; 4] = [Self::Auto, Self::Map, Self::Copy, Self::Naive];

    const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Map => "map",
            Self::Copy => "copy",
            Self::Naive => "naive",
        }
    }

    fn run(self, plan: &Plan, world: &World) -> Run {
        match self {
            Self::Auto => live(plan, world, LoadMode::Auto),
            Self::Map => live(plan, world, LoadMode::Map),
            Self::Copy => live(plan, world, LoadMode::Copy),
            Self::Naive => naive(plan, world),
        }
    }
}

/// The weight files, the requests, and the expected answers.
struct World {
    store: Store,
    traffic: Traffic,
    layout: RequestLayout,
    /// The first logit of each request, file by file.
    logits: Vec<Vec<u64>>,
    /// An order names its content.
    digests: Vec<Digest>,
}

impl World {
    fn new(plan: &Plan, store: Store) -> Self {
        // A weight takes 8.42 bytes.
        let shape = Shape {
            texts: false,
            cross_count: 0,
            weight_count: (plan.size_mib << 20) / 842 * 100,
            request_count: REQUEST_COUNT,
            candidate_count: plan.candidate_count,
        };
        let mut traffic = Traffic::new(shape);
        let layout = traffic.layout();
        let logits = (0..FILE_COUNT).map(|arm| {
            let model = traffic.write(&store.generation_path(generation_of(arm)), arm);
            let scorer = Scorer::new(model, &layout).expect("a scorer");
            let mut request = scorer.new_request();
            let first_logit = |index| {
                traffic.fill(&mut request, index);
                scorer.predict(&mut request, plan.candidate_count).expect("a good request");
                request.answer(0).logit.to_bits()
            };
            (0..REQUEST_COUNT).map(first_logit).collect()
        });
        let logits = logits.collect();
        let digest = |arm| Digest::of(&std::fs::read(store.generation_path(generation_of(arm))).expect("a file"));
        let digests = (0..FILE_COUNT).map(digest).collect();
        // Free their memory for the measurement.
        traffic.weights = Vec::new();
        Self { store, traffic, layout, logits, digests }
    }

    fn path(&self, arm: u8) -> PathBuf {
        self.store.generation_path(generation_of(arm))
    }

    fn pin(&self, arm: u8) {
        let (path, sibling) = (self.store.control_path(), self.store.dir().join("control.new"));
        let digest = self.digests[usize::from(arm)];
        std::fs::write(&sibling, format!("on pin {:06} {digest}", generation_of(arm))).expect("room for a line");
        std::fs::rename(sibling, path).expect("a new control file");
    }

    #[inline]
    fn fill(&self, request: &mut Request, index: usize) {
        self.traffic.fill(request, index);
    }

    /// Checks that the answer is correct for the generation that gave it.
    #[inline]
    fn check(&self, request: &Request, index: usize) {
        let arm = usize::try_from(request.generation() - generation_of(0)).expect("a small number");
        assert_eq!(request.answer(0).logit.to_bits(), self.logits[arm][index], "a wrong answer");
    }
}

/// Returns the generation of an arm, as [`Traffic::write`] numbers it.
fn generation_of(arm: u8) -> u64 {
    1 + u64::from(arm)
}

/// A span of time, in nanoseconds from the start of a run.
#[derive(Clone)]
struct Window {
    from_ns: u64,
    to_ns: u64,
    /// Names and end times of the steps in the span.
    steps: Vec<(&'static str, u64)>,
}

impl Window {
    const fn has(&self, ns: u64) -> bool {
        self.from_ns <= ns && ns <= self.to_ns
    }

    fn step_at(&self, ns: u64) -> &'static str {
        self.steps.iter().find(|(_, end_ns)| ns <= *end_ns).map_or("free memory", |(name, _)| name)
    }
}

struct Sample {
    due_ns: u64,
    latency_ns: u64,
}

/// The measurements of a run.
struct Run {
    samples: Vec<Sample>,
    swaps: Vec<Window>,
    /// Spans that count neither as swap nor as quiet, because only the measurement needs them.
    left_out: Vec<Window>,
    /// The most private memory (weights on pages that no other process shares) that was seen during the run.
    max_private_kib: u64,
}

impl Run {
    fn show(&self, way: Way, plan: &Plan, table: &mut String) {
        let (mut quiet, mut swapping) = (histogram(), histogram());
        let mut longest: Vec<(&Sample, Option<&Window>)> = Vec::new();
        for sample in &self.samples {
            // A request that was due before a window and answered in it may have waited for the work in the window.
            let ends_ns = sample.due_ns + sample.latency_ns;
            let of = |windows: &'_ [Window]| {
                windows.iter().position(|window| window.has(sample.due_ns) || window.has(ends_ns))
            };
            if of(&self.left_out).is_some() {
                continue;
            }
            let window = of(&self.swaps);
            let histogram = if window.is_some() { &mut swapping } else { &mut quiet };
            histogram.saturating_record(sample.latency_ns);
            longest.push((sample, window.map(|index| &self.swaps[index])));
        }
        let three_nines = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.999).max(1) as f64;
        let times = three_nines(&swapping) / three_nines(&quiet);
        let verdict = if times <= TARGET_TIMES { "" } else { ", target missed" };
        for (name, histogram, note) in
            [("quiet", &quiet, String::new()), ("swap", &swapping, format!("{times:.2}{verdict}"))]
        {
            let us = |ns: u64| ns as f64 / 1e3;
            let at = |quantile| us(histogram.value_at_quantile(quantile));
            let (count, max) = (histogram.len(), us(histogram.max()));
            writeln!(
                table,
                "| {} | {name} | {count} | {:.1} | {:.1} | {:.1} | {max:.1} | {note} |",
                way.name(),
                at(0.5),
                at(0.99),
                at(0.999)
            )
            .expect("memory");
        }
        let lengths = self.swaps.iter().map(|window| (window.to_ns - window.from_ns) as f64 / 1e9);
        let lengths: Vec<String> = lengths.map(|seconds| format!("{seconds:.2}")).collect();
        println!(
            "{}: {} swaps of {} s, at most {} MiB of private memory",
            way.name(),
            self.swaps.len(),
            lengths.join(", "),
            self.max_private_kib / 1024
        );
        if plan.is_verbose {
            show_longest(longest);
            if let Some(swap) = self.swaps.last() {
                let mut before_ns = swap.from_ns;
                for (name, end_ns) in &swap.steps {
                    println!("  step {name}: {:.3} s", (end_ns - before_ns) as f64 / 1e9);
                    before_ns = *end_ns;
                }
            }
        }
        assert!(!self.swaps.is_empty() && !quiet.is_empty() && !swapping.is_empty(), "a run without a swap");
    }
}

fn show_longest(mut longest: Vec<(&Sample, Option<&Window>)>) {
    longest.sort_by_key(|(sample, _)| std::cmp::Reverse(sample.latency_ns));
    for (sample, window) in longest.into_iter().take(LONGEST_SHOWN) {
        let during = window.map_or("quiet", |window| window.step_at(sample.due_ns));
        println!("  {:.1} us at {:.4} s, during {during}", sample.latency_ns as f64 / 1e3, sample.due_ns as f64 / 1e9);
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("constant bounds")
}

/// The clock of a run, and whether the run is over.
struct Time {
    began: Instant,
    is_over: AtomicBool,
}

impl Time {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a run of less than centuries")
    }

    fn wait_until(&self, ns: u64) {
        let now_ns = self.now_ns();
        std::thread::sleep(Duration::from_nanos(ns.saturating_sub(now_ns)));
    }
}

/// Serves each request when it is due. Spins in between, so that the measurement does not include waking up a thread.
fn drive(plan: &Plan, time: &Time, mut serve: impl FnMut(usize)) -> Vec<Sample> {
    let interval_ns = 1_000_000_000 / plan.rate;
    let sample_count = plan.duration.as_secs() * plan.rate * 2;
    let mut samples = Vec::with_capacity(usize::try_from(sample_count).expect("a number of samples"));
    let start_ns = time.now_ns();
    for number in 0_usize.. {
        let due_ns = start_ns + number as u64 * interval_ns;
        while time.now_ns() < due_ns {
            std::hint::spin_loop();
        }
        if time.is_over.load(Ordering::Relaxed) {
            break;
        }
        serve(number % REQUEST_COUNT);
        samples.push(Sample { due_ns, latency_ns: time.now_ns() - due_ns });
    }
    samples
}

/// Calls `swap` for each swap when it is due, while another thread sends requests to `serve`. Returns the latencies and
/// the most private memory that was seen, in KiB.
fn with_load(
    plan: &Plan,
    time: &Time,
    serve: impl FnMut(usize) + Send,
    mut swap: impl FnMut(u8, u64),
) -> (Vec<Sample>, u64) {
    std::thread::scope(|scope| {
        let memory = scope.spawn(|| {
            let mut max_kib = 0;
            while !time.is_over.load(Ordering::Relaxed) {
                max_kib = max_kib.max(private_kib());
                std::thread::sleep(Duration::from_millis(20));
            }
            max_kib
        });
        let requests = scope.spawn(|| drive(plan, time, serve));
        let every_ns = u64::try_from(plan.every.as_nanos()).expect("seconds");
        let (begin_ns, end_ns) = (time.now_ns(), u64::try_from(plan.duration.as_nanos()).expect("minutes"));
        for number in 1.. {
            let due_ns = begin_ns + number * every_ns;
            if due_ns >= begin_ns + end_ns || requests.is_finished() {
                break;
            }
            swap(u8::try_from(number % u64::from(FILE_COUNT)).expect("few files"), due_ns);
        }
        time.wait_until(begin_ns + end_ns);
        time.is_over.store(true, Ordering::Relaxed);
        (requests.join().expect("good requests"), memory.join().expect("readable figures of the process"))
    })
}

/// The memory of this process that no file backs.
fn private_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("figures of the process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of private memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}

fn start() -> Time {
    Time { began: Instant::now(), is_over: AtomicBool::new(false) }
}

/// Swaps files with a live model, as intended.
fn live(plan: &Plan, world: &World, load_mode: LoadMode) -> Run {
    world.pin(0);
    let options = LiveOptions::default().with(|it| {
        it.load_mode = load_mode;
        it.name = load_mode.name().to_owned();
        it.poll_interval = Duration::from_millis(100);
        it.trial = Duration::ZERO;
        it.allow_writable_files = true;
    });
    let schema = Schema::of_contract(&world.traffic.contract);
    let live = LiveModel::open(world.store.dir(), &schema, options).expect("a live model");
    let scorer = live.scorer(&world.layout).expect("a scorer");
    let mut request = scorer.new_request();
    let (time, mut swaps) = (start(), Vec::new());
    let (samples, max_private_kib) = with_load(
        plan,
        &time,
        move |index| {
            world.fill(&mut request, index);
            scorer.predict(&mut request, plan.candidate_count).expect("an answer");
            world.check(&request, index);
        },
        |arm, due_ns| {
            time.wait_until(due_ns);
            let from_ns = time.now_ns();
            world.pin(arm);
            live.look_now();
            let status = live.status();
            assert_eq!(status.served.map(|served| served.generation), Some(generation_of(arm)), "{:?}", status.reasons);
            // The swap ends when the memory of the old file is freed.
            while live.status().retired_count > 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let stages = status.attempts.last().expect("an attempt").stages.iter();
            let mut end_ns = from_ns;
            let steps = stages.map(|(stage, took)| {
                end_ns += u64::try_from(took.as_nanos()).expect("seconds");
                (stage.name(), end_ns)
            });
            swaps.push(Window { from_ns, steps: steps.collect(), to_ns: time.now_ns() });
        },
    );
    Run { samples, swaps, left_out: Vec::new(), max_private_kib }
}

/// Swaps files naively: one thread replaces the `Arc`, and the thread of the requests drops the old model.
fn naive(plan: &Plan, world: &World) -> Run {
    let served = Mutex::new(Model::load(world.path(0), LoadMode::Map).expect("a model"));
    let lock = || served.lock().unwrap_or_else(PoisonError::into_inner);
    let version = AtomicU64::new(0);
    let mut known = 0;
    let mut scorer = Scorer::new(Arc::clone(&lock()), &world.layout).expect("a scorer");
    let mut request = scorer.new_request();
    let (time, mut swaps, mut left_out) = (start(), Vec::new(), Vec::new());
    let (samples, max_private_kib) = with_load(
        plan,
        &time,
        |index| {
            let now = version.load(Ordering::Acquire);
            if now != known {
                known = now;
                // The last use of the old mapping ends here.
                scorer = Scorer::new(Arc::clone(&lock()), &world.layout).expect("a scorer");
            }
            world.fill(&mut request, index);
            scorer.predict(&mut request, plan.candidate_count).expect("an answer");
            world.check(&request, index);
        },
        |arm, due_ns| {
            // Loading a model always verifies it. So it is loaded in a span that does not count, and its pages are
            // released.
            time.wait_until(due_ns.saturating_sub(u64::try_from(plan.every.as_nanos() / 2).expect("seconds")));
            let from_ns = time.now_ns();
            let model = Model::load(world.path(arm), LoadMode::Map).expect("a model");
            release_pages(model.file().bytes());
            left_out.push(Window { from_ns, to_ns: time.now_ns(), steps: Vec::new() });
            time.wait_until(due_ns);
            let from_ns = time.now_ns();
            *lock() = model;
            version.fetch_add(1, Ordering::Release);
            // Wait until the pages that requests touch are mapped again: about as long as the other ways load.
            std::thread::sleep(plan.every / 5);
            swaps.push(Window { from_ns, to_ns: time.now_ns(), steps: Vec::new() });
        },
    );
    Run { samples, swaps, left_out, max_private_kib }
}

/// Releases the pages, so that the mapping is as right after `mmap`: the next touch of each page is a fault.
fn release_pages(mapped: &[u8]) {
    let address = mapped.as_ptr().cast_mut().cast();
    // SAFETY: the range is a whole shared mapping of a file that is not written, so every page can be read again.
    let outcome = unsafe { libc::madvise(address, mapped.len(), libc::MADV_DONTNEED) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}
