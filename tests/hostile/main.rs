//! Hostile files: opening one takes little memory and time, prints no control characters, and never yields a
//! probability of 0 or 1.

#[path = "../damage/sealing.rs"]
#[allow(dead_code, reason = "shared with the damage tests, which use more of it")]
mod sealing;
#[path = "../scoring/small_model.rs"]
#[allow(dead_code, reason = "shared with the scoring tests, which use more of it")]
mod small_model;
#[path = "../damage/tiny_file.rs"]
#[allow(dead_code, reason = "shared with the damage tests, which use more of it")]
mod tiny_file;

mod crafted;
mod memory;
mod mutants;
mod mutation;
mod reference;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use omomi::{Error, Instructions, LoadMode, Model};

use memory::{Counting, peak_of};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most memory for opening a file of any length, besides its bytes.
const MAX_PRIVATE_BYTES: usize = 16 << 20;
/// Longest time for opening a file, and for each further 100 MB of it.
const MAX_DURATION: Duration = Duration::from_secs(2);
/// Longest error message.
const MAX_MESSAGE_LEN: usize = 65_536;

/// What opening a file gave, and what it took.
struct Opened {
    outcome: Result<Arc<Model>, Error>,
    peak_bytes: usize,
    duration: Duration,
}

/// Opens a file as a server does, and asserts the bounds that hold for every file.
#[track_caller]
fn open(path: &Path, name: &str) -> Opened {
    let start = Instant::now();
    let (outcome, peak_bytes) = peak_of(|| Model::load(path, LoadMode::Map));
    let opened = Opened { outcome, peak_bytes, duration: start.elapsed() };
    assert!(opened.peak_bytes <= MAX_PRIVATE_BYTES, "{name}: {} bytes of memory", opened.peak_bytes);
    assert!(opened.duration <= MAX_DURATION, "{name}: {:?}", opened.duration);
    match &opened.outcome {
        Ok(model) => assert_probabilities(model, name),
        Err(error) => {
            let message = error.full_message();
            assert!(message.len() <= MAX_MESSAGE_LEN, "{name}: a message of {} bytes", message.len());
            let control =
                message.chars().find(|&character| character != '\n' && omomi::printable::is_control(character));
            assert_eq!(control, None, "{name}: {message:?}");
            assert!(error.short_message().len() <= 1_024, "{name}: {}", error.short_message());
        }
    }
    opened
}

/// Asserts that a model that was accepted gives probabilities above 0 and below 1 for its own golden requests.
#[track_caller]
fn assert_probabilities(model: &Arc<Model>, name: &str) {
    for golden in model.golden_requests().unwrap() {
        let (scorer, mut request) = model.scorer_for(&golden.rows, Instructions::detect()).unwrap();
        request.fill(&golden.rows).unwrap();
        let candidate_count = golden.rows.candidates.len();
        scorer.predict(&mut request, candidate_count).unwrap();
        for answer in request.answers(candidate_count) {
            let probability = answer.probability;
            assert!(probability > 0.0 && probability < 1.0, "{name}: the probability {probability:e}");
        }
    }
}
