//! Times contestants in turns: A B C, C B A, A B C, and so on, so that disturbances of the machine affect all of them.
//!
//! Every ratio is taken within a round, and the median over the rounds is shown. Criterion would time A for seconds,
//! then B. On a shared machine, that compares two different moments. So Criterion does not time: it gets the rounds as
//! its samples, and does what it is good at, the statistics of each contestant and the comparison with a saved baseline
//! (`--save-baseline`, `--baseline`). Both views show the same measurement.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};

use super::core_time::CoreTime;
use super::ratios::{Report, Samples, Target};

/// How long a contestant runs in a round, unless a single call takes longer. Before that, it runs untimed for half as
/// long, because the caches still hold the data of the previous contestant.
const TURN: Duration = Duration::from_millis(10);
/// Default number of rounds. Odd, so that the median is one of them.
const ROUND_COUNT: usize = 31;

type Timed<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// Contestants that do the same job.
pub struct Contest<'a> {
    name: String,
    unit: &'static str,
    units_per_call: u64,
    round_count: usize,
    contestants: Vec<(String, Timed<'a>)>,
    targets: Vec<Target>,
}

impl<'a> Contest<'a> {
    /// Starts a contest in which every call does `units_per_call` of `unit`, such as 500 of "candidate". Figures are
    /// per unit.
    pub fn new(name: &str, unit: &'static str, units_per_call: u64) -> Self {
        let (contestants, targets) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), unit, units_per_call, round_count: ROUND_COUNT, contestants, targets }
    }

    /// Sets the number of rounds, for contestants whose single call takes long. At least 11 are run, because Criterion
    /// has no statistics below 10.
    pub fn rounds(&mut self, count: usize) {
        self.round_count = count.max(11);
    }

    /// Enters a contestant, timed by the CPU time of its thread. All others are compared with the first one entered.
    /// The compiler must not optimize away what a call returns.
    pub fn enter<T>(&mut self, name: &str, mut call: impl FnMut() -> T + 'a) {
        self.enter_timed(name, move |call_count| {
            let start = CoreTime::now();
            (0..call_count).for_each(|_| drop(black_box(call())));
            start.elapsed()
        });
    }

    /// Enters a contestant that measures its own time: it gets a number of calls and returns how long they took. Use it
    /// for work that waits for a disk or has its own threads, or to leave out a part.
    pub fn enter_timed(&mut self, name: &str, timed: impl FnMut(u64) -> Duration + 'a) {
        self.contestants.push((name.to_owned(), Box::new(timed)));
    }

    /// States a target; the report says whether it was met.
    pub fn target(&mut self, target: Target) {
        self.targets.push(target);
    }

    fn measure(&mut self, smoke: bool) -> Samples {
        let calls_of = |timed| if smoke { 1 } else { calls_of_a_turn(timed) };
        let calls: Vec<u64> = self.contestants.iter_mut().map(|(_, timed)| calls_of(timed)).collect();
        let names = self.contestants.iter().map(|(name, _)| name.clone()).collect();
        let mut samples = Samples::new(names, self.unit, self.units_per_call);
        for round in 0..if smoke { 1 } else { self.round_count } {
            let mut order: Vec<usize> = (0..self.contestants.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let timed = &mut self.contestants[index].1;
                if calls[index] > 1 {
                    timed(calls[index] / 2);
                }
                samples.push(index, timed(calls[index]), calls[index]);
            }
        }
        samples
    }
}

/// How many calls fill a turn, found by doubling.
fn calls_of_a_turn(timed: &mut Timed<'_>) -> u64 {
    let mut calls = 1;
    loop {
        let took = timed(calls);
        if took >= TURN / 2 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 0, far below 2^64")]
            let fitting = (TURN.as_secs_f64() / took.as_secs_f64() * calls as f64) as u64;
            return fitting.max(1);
        }
        calls *= 2;
    }
}

/// A run of one bench program.
pub struct Bench {
    name: String,
    criterion: Criterion,
    report: Report,
    smoke: bool,
}

impl Bench {
    /// Starts a run of the bench `name`, with Criterion's arguments.
    pub fn from_args(name: &str) -> Self {
        let smoke = is_smoke();
        // The samples exist already: nothing has to warm up, and any time is enough to return them.
        let criterion = Criterion::default().warm_up_time(Duration::from_nanos(1)).without_plots();
        let criterion = criterion.configure_from_args();
        Self { name: name.to_owned(), criterion, report: Report::new(name, smoke), smoke }
    }

    /// Times the contestants and reports the ratios, unless Criterion's filter excludes the contest.
    pub fn run(&mut self, mut contest: Contest<'_>) {
        let name = format!("{}/{}", self.name, contest.name);
        let mut group: BenchmarkGroup<'_, WallTime> = self.criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat).sample_size(contest.round_count);
        group.throughput(Throughput::Elements(contest.units_per_call));
        let names: Vec<String> = contest.contestants.iter().map(|(name, _)| name.clone()).collect();
        let mut samples: Option<Samples> = None;
        for (index, name) in names.iter().enumerate() {
            let mut round = 0;
            // Criterion calls this only if the filter selects this contestant.
            group.bench_function(name, |bencher| {
                let samples = samples.get_or_insert_with(|| contest.measure(self.smoke));
                bencher.iter_custom(|call_count| samples.call_time(index, round).mul_f64(call_count as f64));
                round += 1;
            });
        }
        group.finish();
        if let Some(samples) = samples {
            self.report.add(&contest.name, &samples, &contest.targets);
        }
    }

    /// Returns whether every contestant is called only once. See [`is_smoke`].
    pub fn is_smoke(&self) -> bool {
        self.smoke
    }

    /// Reports a figure that is not a time, such as bytes per weight.
    pub fn note(&mut self, line: &str) {
        self.report.note(line);
    }

    /// Writes the report.
    pub fn finish(self) {
        self.report.write();
    }
}

/// Returns whether every contestant is called only once, to check that it works: `cargo test --benches`, or `--
/// --test`. Inputs should then be small.
pub fn is_smoke() -> bool {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    // Cargo passes `--bench` to benches that are to be timed.
    given("--test") || !given("--bench")
}
