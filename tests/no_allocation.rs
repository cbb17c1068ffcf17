//! Scoring allocates nothing. A counting allocator checks this promise about cost. The test has its own binary, because
//! the allocator serves the whole process.

#[path = "scoring/small_model.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod small_model;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use omomi::experiment::{Arm, ArmState, Assignment, Experiment, Exploration, LiveExperiment, Method, Unit};
use omomi::live::{LiveModel, LiveOptions, LiveScorer};
use omomi::request::FieldValue;
use omomi::serving_log::{Event, EventKind, LogOptions, PredictionId, Recorded, Served, ServingLog};
use omomi::store::{Current, Digest, Store};
use omomi::{CandidateSet, Capacity, Code, Instructions, Request, RequestLayout, Schema, Scorer};

use small_model::{bytes_of_generation, contract, full_rows, model_for};

struct Counting;

thread_local! {
    static ALLOCATION_COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATION_COUNT.set(ALLOCATION_COUNT.get() + 1);
        // SAFETY: the caller promises what the system allocator requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // Frees count too: on the request path, a free costs as much as an allocation.
        ALLOCATION_COUNT.set(ALLOCATION_COUNT.get() + 1);
        // SAFETY: the caller promises what the system allocator requires.
        unsafe { System.dealloc(address, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_in(work: impl FnOnce()) -> u64 {
    let before = ALLOCATION_COUNT.get();
    work();
    ALLOCATION_COUNT.get() - before
}

fn scorer_and_request(instructions: Instructions) -> (Scorer, Request) {
    let mut rows = full_rows(300);
    rows.context.insert("interest".to_owned(), FieldValue::Texts((0..1_024).map(|n| n.to_string()).collect()));
    let (scorer, mut request) = model_for(&rows).scorer_for(&rows, instructions).unwrap();
    request.fill(&rows).unwrap();
    (scorer, request)
}

#[test]
fn the_counter_counts_allocations_and_frees() {
    assert!(allocations_in(|| drop(std::hint::black_box(vec![1_u8]))) >= 2);
}

#[test]
fn predict_allocates_nothing_even_on_the_first_call_of_a_thread() {
    for instructions in Instructions::all() {
        let (scorer, mut request) = scorer_and_request(instructions);
        let scored_count = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let count = allocations_in(|| scorer.predict(&mut request, 300).unwrap());
                    assert_eq!(count, 0, "{instructions:?}");
                    request.counts().scored_count
                })
                .join()
                .unwrap()
        });
        assert_eq!(scored_count, 300);
    }
}

#[test]
fn filling_a_request_and_reading_its_answers_allocates_nothing() {
    let (scorer, mut request) = scorer_and_request(Instructions::detect());
    let slot = |name| request.layout().schema().slot(name).unwrap();
    let (region, title, tag) = (slot("region"), slot("title"), slot("tag"));
    let (interest, age) = (slot("interest"), slot("age_seconds"));
    let mut sum = 0.0;
    let count = allocations_in(|| {
        request.clear();
        request.context().set_text(region, "大阪").unwrap();
        request.context().set_texts(interest, &["旅行", "news"]).unwrap();
        for index in 0..300 {
            let mut row = request.candidate(index).unwrap();
            row.set_text(title, "タイトル").unwrap();
            row.set_ids(tag, &[1, 2]).unwrap();
            row.set_number(age, 3.5).unwrap();
        }
        scorer.predict(&mut request, 300).unwrap();
        sum = request.answers(300).map(|answer| answer.probability).sum::<f32>();
    });
    assert_eq!(count, 0);
    assert!(sum > 0.0);
}

#[test]
fn refusing_a_candidate_or_a_context_allocates_nothing() {
    let (scorer, mut request) = scorer_and_request(Instructions::detect());
    let offsets = request.layout().offsets();
    let block = request.block_address();
    // SAFETY: the addresses are inside the block that the request owns, at multiples of 8: all slots of candidate 1.
    unsafe {
        block
            .add(offsets.candidates_offset + offsets.candidate_stride_bytes + 16)
            .cast::<[u64; 4]>()
            .write([u64::MAX; 4])
    };
    assert_eq!(allocations_in(|| scorer.predict(&mut request, 300).unwrap()), 0);
    assert_eq!(request.counts().refused_count, 1);
    // SAFETY: as above: all slots of the context.
    unsafe { block.add(offsets.context_offset + 16).cast::<[u64; 4]>().write([u64::MAX; 4]) };
    let mut error = None;
    let count = allocations_in(|| error = scorer.predict(&mut request, 300).err());
    assert_eq!(error.map(|error| error.code()), Some(Code::ContextMalformed));
    assert_eq!(count, 0);
}

/// Two models, candidates by index, and a time limit; even if an index has no candidate, and while another thread
/// replaces rows.
#[test]
fn predicting_prepared_candidates_for_two_models_allocates_nothing() {
    let rows = full_rows(300);
    let (single, mut carrier) = model_for(&rows).scorer_for(&rows, Instructions::detect()).unwrap();
    carrier.fill(&rows).unwrap();
    let set = Arc::new(CandidateSet::new(single.layout(), 300, 8).unwrap());
    for candidate in 0..299 {
        set.add(&mut carrier, candidate).unwrap();
    }
    let capacity = Capacity { candidates: 300, tail_len_bytes: 1_024 };
    let layout = RequestLayout::prepared(single.layout().schema(), capacity).unwrap().for_models(2).unwrap();
    let models = vec![Arc::clone(single.model()), model_for(&full_rows(2))];
    let scorer = Scorer::with_candidates(models, &layout, &set).unwrap();
    let mut request = scorer.new_request();
    request.context().set_all(&rows.context).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                set.put(7, &mut carrier, 8).unwrap();
            }
        });
        let count = allocations_in(|| {
            for index in 0..300 {
                request.set_candidate(index as usize, index).unwrap();
            }
            for _ in 0..100 {
                scorer.predict_within(&mut request, 300, Some(Duration::from_secs(60))).unwrap();
            }
        });
        done.store(true, Ordering::Relaxed);
        assert_eq!(count, 0);
    });
    let counts = request.counts_of(1);
    assert_eq!((counts.scored_count, counts.refused_count, counts.late_count), (299, 1, 0));
}

/// A store, and a server that polls it on request.
struct Live {
    store: Store,
    model: LiveModel,
    _folder: tempfile::TempDir,
}

impl Live {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        std::fs::create_dir(store.generations_path()).unwrap();
        let options = LiveOptions::default().with(|it| {
            it.poll_interval = Duration::from_secs(3_600);
            it.trial = Duration::ZERO;
        });
        let model = LiveModel::open(folder.path(), &Schema::of_contract(&contract()), options).unwrap();
        Self { store, model, _folder: folder }
    }

    /// Publishes a generation, and returns once it is served.
    fn publish(&self, generation: u64) {
        let bytes = bytes_of_generation(generation);
        std::fs::write(self.store.generation_path(generation), &bytes).unwrap();
        let current = Current { generation, digest: Digest::of(&bytes) };
        std::fs::write(self.store.current_path(), current.to_string()).unwrap();
        self.model.look_now();
        assert_eq!(self.model.model().unwrap().generation(), generation);
    }

    fn decide(&self, control: &str) {
        std::fs::write(self.store.control_path(), control).unwrap();
        self.model.look_now();
    }

    fn scorer_and_request(&self) -> (LiveScorer, Request) {
        let rows = full_rows(300);
        let capacity = Capacity { candidates: 300, tail_len_bytes: 1 << 16 };
        let scorer =
            self.model.scorer(&RequestLayout::new(&Schema::of_contract(&contract()), capacity).unwrap()).unwrap();
        let mut request = scorer.new_request();
        request.fill(&rows).unwrap();
        (scorer, request)
    }
}

/// Returns the number of allocations of the first call of a new thread, and the generation that answered or the error.
fn first_call_of_a_thread(scorer: &LiveScorer, request: &mut Request) -> (u64, Result<u64, Code>) {
    std::thread::scope(|scope| {
        let call = || {
            let mut outcome = Ok(());
            let count = allocations_in(|| outcome = scorer.predict(request, 300));
            (count, outcome.map(|()| request.generation()).map_err(|error| error.code()))
        };
        scope.spawn(call).join().unwrap()
    })
}

#[test]
fn the_first_call_of_a_thread_allocates_nothing_without_a_model_after_each_swap_and_while_off() {
    let live = Live::new();
    let (scorer, mut request) = live.scorer_and_request();
    assert_eq!(first_call_of_a_thread(&scorer, &mut request), (0, Err(Code::NoModel)));
    for generation in 1..4 {
        live.publish(generation);
        assert_eq!(first_call_of_a_thread(&scorer, &mut request), (0, Ok(generation)));
    }
    live.decide("off");
    assert_eq!(first_call_of_a_thread(&scorer, &mut request), (0, Err(Code::SwitchedOff)));
    live.decide("on follow");
    assert_eq!(first_call_of_a_thread(&scorer, &mut request), (0, Ok(3)));
}

#[test]
fn the_first_call_of_a_thread_to_the_fallback_allocates_nothing() {
    let live = Live::new();
    let path = live.store.dir().join("fallback.omomi");
    std::fs::write(&path, bytes_of_generation(77)).unwrap();
    let options = LiveOptions::default().with(|it| {
        it.name = "with-fallback".to_owned();
        it.fallback_file = Some(path);
    });
    let model = LiveModel::open(live.store.dir(), &Schema::of_contract(&contract()), options).unwrap();
    let capacity = Capacity { candidates: 300, tail_len_bytes: 1 << 16 };
    let scorer = model.scorer(&RequestLayout::new(&Schema::of_contract(&contract()), capacity).unwrap()).unwrap();
    let mut request = scorer.new_request();
    request.fill(&full_rows(300)).unwrap();
    let count = std::thread::scope(|scope| {
        let call = || allocations_in(|| scorer.predict_fallback(&mut request, 300).unwrap());
        scope.spawn(call).join().unwrap()
    });
    assert_eq!((count, request.generation()), (0, 77));
}

/// The background thread frees what is replaced in the meantime, not the request that used it last.
#[test]
fn scoring_allocates_and_frees_nothing_while_generations_are_swapped() {
    let live = Live::new();
    live.publish(1);
    let (scorer, mut request) = live.scorer_and_request();
    let is_over = AtomicBool::new(false);
    let (count, answered) = std::thread::scope(|scope| {
        let scoring = scope.spawn(|| {
            let mut answered = [0_u64; 22];
            let count = allocations_in(|| {
                while !is_over.load(Ordering::Relaxed) {
                    scorer.predict(&mut request, 300).unwrap();
                    answered[usize::try_from(request.generation()).unwrap()] += 1;
                }
            });
            (count, answered)
        });
        for generation in 2..22 {
            live.publish(generation);
        }
        is_over.store(true, Ordering::Relaxed);
        scoring.join().unwrap()
    });
    assert_eq!(count, 0);
    assert!(answered.iter().filter(|count| **count > 0).count() > 3, "too few swaps were seen: {answered:?}");
}

#[test]
fn reading_and_writing_the_metrics_of_a_live_model_allocates_nothing_even_on_the_first_call_of_a_thread() {
    let live = Live::new();
    live.publish(1);
    let (scorer, mut request) = live.scorer_and_request();
    scorer.predict(&mut request, 300).unwrap();
    // The second call counts the categories of the request above.
    live.model.look_now();
    let mut buffer = vec![0; 64 << 10];
    let (count, written) = std::thread::scope(|scope| {
        let call = || {
            let mut written = Err(0);
            let count = allocations_in(|| written = live.model.metrics().write_prometheus(&mut buffer));
            (count, written.unwrap())
        };
        scope.spawn(call).join().unwrap()
    });
    assert_eq!(count, 0);
    assert!(std::str::from_utf8(&buffer[..written]).unwrap().contains("omomi_sampled_unseen_ratio"));
}

/// Predictions, details of every request and events, even if the ring is full or the log is closed, and for careless
/// calls.
#[test]
fn recording_what_was_served_allocates_nothing_even_on_the_first_call_of_a_thread() {
    let live = Live::new();
    live.publish(1);
    let (scorer, mut request) = live.scorer_and_request();
    scorer.predict(&mut request, 300).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions::default().with(|it| (it.details_per_million, it.ring_len_bytes) = (1_000_000, 1 << 18));
    let mut log = Some(ServingLog::open(folder.path(), options).unwrap());
    let mut ring = log.as_ref().unwrap().live_ring(&scorer).unwrap();
    let served = Served::of("5f0c7d5e-8f0c-4a53-a6d0-9d0e3a1c2b4f").with(|it| it.experiment = "bids");
    for is_closed in [false, true] {
        if is_closed {
            log = None;
        }
        let (count, queued) = std::thread::scope(|scope| {
            let call = || {
                let mut queued = 0;
                let count = allocations_in(|| {
                    for index in 0..2_000 {
                        let id = PredictionId::of(served.request_id, "", index).unwrap();
                        let event = Event { prediction_id: id, kind: EventKind::Win, at_unix_ms: None, money: None };
                        let outcomes = [ring.record(&mut request, (index % 300) as usize, &served), ring.event(&event)];
                        queued += outcomes.iter().filter(|it| matches!(it, Ok(Recorded::Queued))).count();
                    }
                    assert!(ring.record(&mut request, 300, &served).is_err());
                    assert!(ring.record(&mut request, 0, &Served::of("")).is_err());
                });
                (count, queued)
            };
            scope.spawn(call).join().unwrap()
        });
        assert_eq!(count, 0, "closed: {is_closed}");
        assert_eq!(queued > 500, !is_closed, "{queued}");
    }
    drop(log);
}

/// A request of an arm, a shadow, an exploring choice and the records of both, while plans are replaced.
#[test]
fn a_request_of_an_experiment_allocates_nothing_even_on_the_first_call_of_a_thread() {
    let (one, two) = (Live::new(), Live::new());
    one.publish(1);
    two.publish(2);
    let arm = |name: &str, live: &Live, state| Arm { name: name.to_owned(), store: live.store.dir().into(), state };
    let serve = |name, live| arm(name, live, ArmState::Serve);
    let mut experiment = Experiment {
        name: "test".to_owned(),
        version: 1,
        unit: Unit::Field("region".to_owned()),
        salt: 7,
        control: 0,
        arms: vec![serve("one", &one), serve("two", &two), arm("shadow", &two, ArmState::Shadow { share: 10_000 })],
        assignment: Assignment::first(&[5_000, 5_000, 0]).unwrap(),
        exploration: Some(Exploration { share: 10_000, method: Method::Softmax { temperature: 1.0 } }),
        guard: None,
    };
    let path = one.store.dir().join("test.experiment");
    std::fs::write(&path, experiment.to_string()).unwrap();
    let schema = Schema::of_contract(&contract());
    // Another name: the live models of this test have the first one.
    let options = LiveOptions::default().with(|it| (it.name, it.trial) = ("experiment".to_owned(), Duration::ZERO));
    let live = LiveExperiment::open(&path, &schema, options).unwrap();
    let layout = RequestLayout::new(&schema, Capacity { candidates: 300, tail_len_bytes: 1 << 16 }).unwrap();
    let scorer = live.scorer(&layout.for_models(2).unwrap()).unwrap();
    let mut request = scorer.new_request();
    request.fill(&full_rows(300)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), LogOptions::default()).unwrap();
    let mut ring = log.experiment_ring(&scorer).unwrap();
    let is_over = AtomicBool::new(false);
    let (count, answered, shadows) = std::thread::scope(|scope| {
        let (live, is_over) = (&live, &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                experiment.version += 1;
                let share = u32::try_from(experiment.version * 7_919 % 10_000).unwrap();
                experiment.assignment = experiment.assignment.with_shares(&[share, 10_000 - share, 0]).unwrap();
                // Replaced by rename: a torn file would change nothing, and the test would see too few versions.
                let sibling = path.with_extension("new");
                std::fs::write(&sibling, experiment.to_string()).unwrap();
                std::fs::rename(&sibling, &path).unwrap();
                live.look_now();
            }
        });
        let call = || {
            let (mut arms, mut shadows) = ([0; 2], 0);
            let count = allocations_in(|| {
                let mut versions = 0;
                let mut last = 0;
                while versions < 20 {
                    let answered = scorer.predict_filled(&mut request, "5f0c7d5e").unwrap();
                    arms[usize::from(!answered.is_control)] += 1;
                    shadows += answered.shadow_count;
                    versions += u32::from(answered.version != last);
                    last = answered.version;
                    let utilities: [f64; 8] = std::array::from_fn(|index| request.answer(index).probability.into());
                    let choice = answered.choose("5f0c7d5e", &utilities).unwrap().unwrap();
                    let served = Served::of("5f0c7d5e").with(|it| it.propensity = choice.propensity);
                    ring.record(&mut request, choice.candidate, &served).unwrap();
                    assert!(!scorer.arm(&answered).is_empty());
                    assert!(scorer.predict_filled(&mut request, "").is_err());
                }
            });
            is_over.store(true, Ordering::Relaxed);
            (count, arms, shadows)
        };
        scope.spawn(call).join().unwrap()
    });
    assert_eq!(count, 0);
    assert!(answered.iter().all(|count| *count > 0) && shadows > 0, "{answered:?}");
}
