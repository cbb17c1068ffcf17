//! Contestants timed in turns: A B C, C B A, A B C, ..., so that whatever the machine does meanwhile happens to all of them.
//!
//! Every ratio is taken within a round and its median over the rounds is shown. Criterion would time A for seconds, then
//! B; on a machine with neighbours that compares two different moments. So it is not asked to time: it is handed the
//! rounds as its samples and does what it is good at, the statistics of each contestant and the comparison with a saved
//! baseline (`--save-baseline`, `--baseline`). Both views show the same measurement.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};

use super::core_time::CoreTime;
use super::ratios::{Report, Samples, Target};

/// How long a contestant runs in a round, unless a single call takes longer. Before it, half as long passes untimed: the
/// caches still hold what the contestant before it left.
const TURN: Duration = Duration::from_millis(10);
/// Rounds, unless the contest asks for fewer. Odd, so that the median is one of them.
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
    /// A contest in which every call does `units_per_call` of `unit`, such as 500 of "candidate". Figures are per unit.
    pub fn new(name: &str, unit: &'static str, units_per_call: u64) -> Self {
        let (contestants, targets) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), unit, units_per_call, round_count: ROUND_COUNT, contestants, targets }
    }

    /// Fewer rounds, for contestants of which a single call takes long. At least 11: below 10 Criterion has no statistics.
    pub fn rounds(&mut self, count: usize) {
        self.round_count = count.max(11);
    }

    /// Enters a contestant, timed by what its thread spends on a core. The first one is what all others are compared with.
    /// What a call returns counts as used.
    pub fn enter<T>(&mut self, name: &str, mut call: impl FnMut() -> T + 'a) {
        self.enter_timed(name, move |call_count| {
            let start = CoreTime::now();
            (0..call_count).for_each(|_| drop(black_box(call())));
            start.elapsed()
        });
    }

    /// Enters a contestant that keeps its own time: it is given a number of calls and returns how long they took. For what
    /// waits for a disk or has threads of its own, and to leave out a part.
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
    /// The run of the bench called `name`, with Criterion's arguments.
    pub fn from_args(name: &str) -> Self {
        let smoke = is_smoke();
        // The samples are there already: nothing has to warm up, and any time suffices to hand them over.
        let criterion = Criterion::default().warm_up_time(Duration::from_nanos(1)).without_plots();
        let criterion = criterion.configure_from_args();
        Self { name: name.to_owned(), criterion, report: Report::new(name, smoke), smoke }
    }

    /// Times the contestants and reports the ratios, unless Criterion's filter leaves the contest out.
    pub fn run(&mut self, mut contest: Contest<'_>) {
        let name = format!("{}/{}", self.name, contest.name);
        let mut group: BenchmarkGroup<'_, WallTime> = self.criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat).sample_size(contest.round_count);
        group.throughput(Throughput::Elements(contest.units_per_call));
        let names: Vec<String> = contest.contestants.iter().map(|(name, _)| name.clone()).collect();
        let mut samples: Option<Samples> = None;
        for (index, name) in names.iter().enumerate() {
            let mut round = 0;
            // Only called if the filter lets this contestant through.
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

    /// Whether every contestant is called once only, as [`is_smoke`].
    pub fn is_smoke(&self) -> bool {
        self.smoke
    }

    /// Reports a figure that is no time, such as bytes per weight.
    pub fn note(&mut self, line: &str) {
        self.report.note(line);
    }

    /// Writes the report.
    pub fn finish(self) {
        self.report.write();
    }
}

/// Whether every contestant is called once only, to see that it works: `cargo test --benches`, or `-- --test`. Inputs should be
/// small then.
pub fn is_smoke() -> bool {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    // Cargo itself passes `--bench` to benches that are to be timed.
    given("--test") || !given("--bench")
}
