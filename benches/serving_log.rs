//! Measures the serving log: `cargo bench --bench serving_log`, on two otherwise idle cores.
//!
//! The first contest compares what `record` costs a request thread with `predict`, in one run. Then a thread records at
//! a fixed rate, and the writer must keep up: the figures are the drops at 200,000 records a second, the highest rate
//! of those tried without a drop, and the bytes per record. At last, requests are scored at a fixed rate with and
//! without recording, and their latencies are compared. `SERVING_LOG_FOLDER` names a folder on the disk to measure;
//! without it, the segments are in the temporary folder.

mod support;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use omomi::serving_log::{Account, LogOptions, LogRing, PredictionId, RecordBody, Recorded, Served, ServingLog};
use omomi::{Request, Scorer};

use support::contest::{Bench, Contest};
use support::core_time::CoreTime;
use support::requests::{Shape, Traffic};

/// Ids of requests, until they repeat.
const ID_COUNT: usize = 4_096;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let mut bench = Bench::from_args("serving_log");
    let folder = match std::env::var_os("SERVING_LOG_FOLDER") {
        Some(parent) => tempfile::tempdir_in(parent).expect("a folder"),
        None => tempfile::tempdir().expect("a temporary folder"),
    };
    let traffic = Traffic::new(Shape::full(bench.is_smoke()));
    let model = traffic.write(&folder.path().join("000001.omomi"), 0);
    let scorer = Scorer::new(Arc::clone(&model), &traffic.layout()).expect("a scorer");
    let world = World { traffic: &traffic, scorer: &scorer, folder: folder.path() };
    world.check();
    world.compare_with_predict(&mut bench);
    world.find_rate(&mut bench);
    world.compare_latencies(&mut bench);
    bench.finish();
}

struct World<'a> {
    traffic: &'a Traffic,
    scorer: &'a Scorer,
    folder: &'a Path,
}

/// What recording at a rate gave.
struct Paced {
    dropped: u64,
    per_second: f64,
    bytes: f64,
    /// CPU time of the writer's thread per record.
    writer_ns: f64,
}

/// CPU time of all threads of this process.
fn process_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is writable.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) }, 0);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// A log without details, which would add to some records.
fn options() -> LogOptions {
    LogOptions::default().with(|it| (it.details_per_million, it.max_total_len_bytes) = (0, 1 << 30))
}

fn ids() -> Vec<String> {
    // As long as a UUID.
    (0..ID_COUNT).map(|index| format!("5f0c7d5e-8f0c-4a53-a6d0-{index:012x}")).collect()
}

impl World<'_> {
    fn candidate_count(&self) -> usize {
        self.traffic.shape.candidate_count
    }

    fn answered_request(&self) -> Request {
        let mut request = self.scorer.new_request();
        self.traffic.fill(&mut request, 0);
        self.scorer.predict(&mut request, self.candidate_count()).expect("good requests");
        request
    }

    fn log(&self, name: &str, options: LogOptions) -> (ServingLog, LogRing) {
        let log = ServingLog::open(self.folder.join(name), options).expect("a log");
        let ring = log.ring(self.scorer).expect("a ring");
        (log, ring)
    }

    /// Checks that what is recorded is what is read.
    fn check(&self) {
        let mut request = self.answered_request();
        let (log, mut ring) = self.log("check", options());
        for (candidate, id) in ids().iter().enumerate().take(self.candidate_count()) {
            ring.record(&mut request, candidate, &Served::of(id)).expect("a good record");
        }
        drop((ring, log));
        let mut seen = 0;
        each_segment(&self.folder.join("check"), |bytes| {
            let visit = &mut |_: &_, _: &_, record: &omomi::serving_log::Record<'_>| {
                let RecordBody::Prediction(found) = &record.body else { panic!("a prediction") };
                let answer = request.answer(found.candidate as usize);
                assert_eq!((found.logit, found.probability), (answer.logit, answer.probability));
                assert_eq!(found.id, PredictionId::of(found.request_id, "", found.candidate).expect("an id"));
                seen += 1;
            };
            Account::new().read(bytes, visit).expect("a segment");
        });
        assert_eq!(seen, self.candidate_count());
    }

    fn compare_with_predict(&self, bench: &mut Bench) {
        let (log, mut ring) = self.log("cost", options().with(|it| it.ring_len_bytes = 64 << 20));
        let (mut request, mut recorded_request) = (self.answered_request(), self.answered_request());
        let (ids, count) = (ids(), self.candidate_count());
        let mut contest = Contest::new("a call", "call", 1);
        contest.enter("predict", || self.scorer.predict(&mut request, count).expect("good requests"));
        contest.enter_timed("record one candidate", |call_count| {
            let mut took = Duration::ZERO;
            let mut left = call_count;
            while left > 0 {
                // Fewer than the ring holds; emptying it is not timed.
                let batch = left.min(10_000);
                left -= batch;
                let start = CoreTime::now();
                for index in 0..usize::try_from(batch).expect("few calls") {
                    let served = Served::of(&ids[index % ID_COUNT]);
                    let recorded = ring.record(&mut recorded_request, index % count, &served);
                    assert!(matches!(black_box(recorded), Ok(Recorded::Queued)));
                }
                took += start.elapsed();
                assert!(log.flush(PATIENCE));
            }
            took
        });
        bench.run(contest);
    }

    /// Records for a while at a rate. The one ring takes the load of all threads of a server.
    fn paced(&self, name: &str, per_second: u64, duration: Duration) -> Paced {
        let (log, mut ring) = self.log(name, options().with(|it| it.ring_len_bytes = 16 << 20));
        let mut request = self.answered_request();
        let (ids, count) = (ids(), self.candidate_count());
        let (start, own, all) = (Instant::now(), CoreTime::now(), process_time());
        let (mut done, mut dropped) = (0_u64, 0_u64);
        while start.elapsed() < duration {
            let due = u64::try_from(start.elapsed().as_nanos()).expect("a short time") * per_second / 1_000_000_000;
            while done < due {
                let index = usize::try_from(done).expect("a small number");
                let recorded = ring.record(&mut request, index % count, &Served::of(&ids[index % ID_COUNT]));
                dropped += u64::from(!matches!(recorded, Ok(Recorded::Queued)));
                done += 1;
            }
            std::thread::yield_now();
        }
        let seconds = start.elapsed().as_secs_f64();
        let flushed = log.flush(PATIENCE);
        let writer = (process_time() - all).saturating_sub(own.elapsed());
        assert!(flushed);
        let metrics = log.metrics();
        drop((ring, log));
        assert_eq!(metrics.counts.dropped_total(), dropped, "what was dropped is counted");
        assert_eq!(metrics.counts.written + dropped, done, "everything is accounted for");
        std::fs::remove_dir_all(self.folder.join(name)).expect("a folder");
        let written = metrics.counts.written as f64;
        Paced {
            dropped,
            per_second: done as f64 / seconds,
            bytes: metrics.written_bytes as f64 / written,
            writer_ns: writer.as_nanos() as f64 / written,
        }
    }

    fn find_rate(&self, bench: &mut Bench) {
        let duration = if bench.is_smoke() { Duration::from_millis(50) } else { Duration::from_secs(5) };
        let Paced { dropped, per_second, bytes, writer_ns } = self.paced("paced", 200_000, duration);
        bench.note(&format!(
            "{per_second:.0} records/s of 20 fields for {duration:?}: {dropped} dropped, {bytes:.0} bytes per record, \
             {writer_ns:.0} ns of the writer's core per record"
        ));
        if bench.is_smoke() {
            return;
        }
        let mut highest = 0.0;
        for step in 2..60 {
            let asked = 100_000 * step;
            let Paced { dropped, per_second, .. } = self.paced("faster", asked, Duration::from_secs(2));
            if dropped > 0 {
                bench.note(&format!(
                    "without a drop up to {highest:.0} records/s; {dropped} dropped at {per_second:.0} records/s"
                ));
                return;
            }
            highest = per_second;
        }
        bench.note(&format!("without a drop at every rate tried, up to {highest:.0} records/s"));
    }

    /// Scores requests when they are due, and returns their latencies in nanoseconds.
    fn latencies(&self, mut ring: Option<&mut LogRing>, duration: Duration) -> Histogram<u64> {
        let mut request = self.scorer.new_request();
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("a valid precision");
        let (ids, count) = (ids(), self.candidate_count());
        let start = Instant::now();
        for index in 0_u32.. {
            let due = Duration::from_micros(1_000) * index;
            if due >= duration {
                break;
            }
            while start.elapsed() < due {
                std::hint::spin_loop();
            }
            let index = index as usize;
            self.traffic.fill(&mut request, index % self.traffic.requests.len());
            self.scorer.predict(&mut request, count).expect("good requests");
            if let Some(ring) = &mut ring {
                for candidate in 0..10 {
                    let recorded = ring.record(&mut request, candidate, &Served::of(&ids[index % ID_COUNT]));
                    assert!(matches!(recorded, Ok(Recorded::Queued)));
                }
            }
            let took = (start.elapsed() - due).as_nanos();
            histogram.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
        }
        histogram
    }

    fn compare_latencies(&self, bench: &mut Bench) {
        let duration = if bench.is_smoke() { Duration::from_millis(20) } else { Duration::from_secs(5) };
        let (log, mut ring) = self.log("latency", LogOptions::default());
        for (name, ring) in [("without a log", None), ("recording 10 candidates", Some(&mut ring))] {
            let latencies = self.latencies(ring, duration);
            let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
            let [median, high, highest] = [at(0.5), at(0.99), at(0.999)];
            bench
                .note(&format!("1,000 requests/s {name}: p50 {median:.0} µs, p99 {high:.0} µs, p99.9 {highest:.0} µs"));
        }
        drop((ring, log));
    }
}

fn each_segment(folder: &Path, mut visit: impl FnMut(&[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        visit(&std::fs::read(entry.expect("an entry").path()).expect("a segment"));
    }
}
