//! Scores with one model on one thread and on two, each with its own scorer and request: `cargo bench --bench threads`,
//! on two otherwise idle cores.
//!
//! One contest uses wall-clock time, which is what a server gets. The other uses the CPU time of the threads, which
//! shows even on a busy machine whether threads slow each other down: by a spinning lock, a shared cache line, or
//! memory.

mod support;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use omomi::{Model, Scorer};

use support::contest::{Bench, Contest};
use support::core_time::CoreTime;
use support::ratios::Target;
use support::requests::{Shape, Traffic};

fn main() {
    let mut bench = Bench::from_args("threads");
    let core_count = std::thread::available_parallelism().map_or(1, usize::from);
    if core_count < 2 {
        bench.note("left out: only one core is allowed, and two threads need two");
        bench.finish();
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traffic = Traffic::new(Shape::full(bench.is_smoke()));
    let model = traffic.write(&folder.path().join("000001.omomi"), 0);
    assert_eq!(answers(&traffic, &model, 1), answers(&traffic, &model, 2));

    for (name, clock) in [("wall-clock time", Clock::Wall), ("CPU time", Clock::Core)] {
        let mut contest = Contest::new(name, "candidate", traffic.shape.candidate_count as u64);
        contest.enter_timed("1 thread", |call_count| score_on(&traffic, &model, 1, clock, call_count));
        contest.enter_timed("2 threads", |call_count| score_on(&traffic, &model, 2, clock, call_count));
        contest.target(Target::TimesFaster("2 threads", 1.9, "1 thread"));
        bench.run(contest);
    }
    bench.finish();
}

#[derive(Clone, Copy)]
enum Clock {
    Wall,
    Core,
}

/// Returns the time of `call_count` requests if `thread_count` threads each score that many: the time of the slowest
/// thread, divided by the number of threads.
fn score_on(traffic: &Traffic, model: &Arc<Model>, thread_count: usize, clock: Clock, call_count: u64) -> Duration {
    let layout = traffic.layout();
    let start_line = Barrier::new(thread_count);
    let work = |thread: usize| {
        let scorer = Scorer::new(Arc::clone(model), &layout).expect("a scorer");
        let mut request = scorer.new_request();
        start_line.wait();
        let (start, start_on_core) = (Instant::now(), CoreTime::now());
        // Each thread starts with a different request.
        let indices = (0..traffic.requests.len()).cycle().skip(thread * traffic.requests.len() / thread_count);
        for (_, index) in (0..call_count).zip(indices) {
            traffic.fill(&mut request, index);
            scorer.predict(&mut request, traffic.shape.candidate_count).expect("good requests");
        }
        match clock {
            Clock::Wall => start.elapsed(),
            Clock::Core => start_on_core.elapsed(),
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..thread_count).map(|thread| scope.spawn(move || work(thread))).collect();
        let times = threads.into_iter().map(|thread| thread.join().expect("good requests"));
        let slowest = times.max().unwrap_or_default();
        slowest / u32::try_from(thread_count).expect("few threads")
    })
}

/// Returns the logits of all requests, after checking that `thread_count` parallel threads get the same ones.
fn answers(traffic: &Traffic, model: &Arc<Model>, thread_count: usize) -> Vec<u64> {
    let layout = traffic.layout();
    let work = || {
        let scorer = Scorer::new(Arc::clone(model), &layout).expect("a scorer");
        let mut request = scorer.new_request();
        let count = traffic.shape.candidate_count;
        let mut logits = Vec::new();
        for index in 0..traffic.requests.len() {
            traffic.fill(&mut request, index);
            scorer.predict(&mut request, count).expect("good requests");
            logits.extend(request.answers(count).map(|answer| answer.logit.to_bits()));
        }
        logits
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..thread_count).map(|_| scope.spawn(work)).collect();
        let mut all: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("good requests")).collect();
        all.dedup();
        assert_eq!(all.len(), 1, "every thread gets the same answers");
        all.remove(0)
    })
}
