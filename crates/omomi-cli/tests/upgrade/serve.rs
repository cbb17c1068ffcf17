//! A server: follows a store, answers the golden requests of a weight file, and logs what it answered. It uses only
//! calls that this version and the ones before it have, so `.ci/upgrade` compiles it with an earlier version, too.

use std::path::Path;
use std::time::{Duration, Instant};

use omomi::live::{LiveModel, LiveOptions};
use omomi::serving_log::{Event, EventKind, LogOptions, LogRing, PredictionId, Served, ServingLog};
use omomi::{Capacity, Error, LoadMode, Model, RequestLayout, Schema};

pub const PATIENCE: Duration = Duration::from_secs(30);
pub const START_UNIX_MS: i64 = 1_790_812_800_000;

/// Serves until the generation that answers is known to be good. Returns a line for each answer: the generation, the
/// logic id, the request, the candidate, and the bits of the logit and the probability; and a line for each reason that
/// the status gives.
pub fn serve(store: &Path, schema_of: &Path, name: &str, log: Option<&Path>) -> Result<Vec<String>, Error> {
    let original = Model::load(schema_of, LoadMode::Map)?;
    let schema = Schema::of_contract(original.contract());
    let requests = original.golden_requests()?;
    let options = LiveOptions::default().with(|it| {
        it.name = name.to_owned();
        it.load_mode = LoadMode::Map;
        it.poll_interval = Duration::from_millis(20);
        it.trial = Duration::from_millis(100);
    });
    let live = LiveModel::open(store, &schema, options)?;
    let candidates = requests.iter().map(|request| request.rows.candidates.len()).max().unwrap_or(1);
    let layout = RequestLayout::new(&schema, Capacity { candidates, tail_len_bytes: 1 << 16 })?;
    let scorer = live.scorer(&layout)?;
    let mut request = scorer.new_request();
    let started = Instant::now();
    let mut lines = Vec::new();
    while started.elapsed() < PATIENCE {
        lines.clear();
        for (number, golden) in requests.iter().enumerate() {
            request.fill(&golden.rows)?;
            scorer.predict_filled(&mut request)?;
            for candidate in 0..golden.rows.candidates.len() {
                let answer = request.answer(candidate);
                let generation = request.generation();
                let logic_id = scorer.logic_id(generation).unwrap_or_default();
                let (logit, probability) = (answer.logit.to_bits(), answer.probability.to_bits());
                lines.push(format!("{generation} {logic_id} {number} {candidate} {logit:016x} {probability:08x}"));
            }
        }
        if live.status().served.is_some_and(|served| !served.is_on_trial) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    lines.extend(live.status().reasons.iter().map(|reason| format!("reason {}", reason.code.name())));
    if let Some(folder) = log {
        let log = ServingLog::open(folder, LogOptions::default().with(|it| it.details_per_million = 1_000_000))?;
        let mut ring = log.live_ring(&scorer)?;
        for (number, golden) in requests.iter().enumerate() {
            request.fill(&golden.rows)?;
            scorer.predict_filled(&mut request)?;
            record(&mut ring, &mut request, number)?;
        }
        drop(ring);
        assert!(log.flush(PATIENCE));
    }
    Ok(lines)
}

/// Records the first candidate of request `number`, and a click of every third.
fn record(ring: &mut LogRing, request: &mut omomi::Request, number: usize) -> Result<(), Error> {
    let request_id = format!("request-{number}");
    let at = START_UNIX_MS + i64::try_from(number).unwrap_or(0) * 1_000;
    ring.record(request, 0, &Served::of(&request_id).with(|it| it.at_unix_ms = Some(at)))?;
    if number.is_multiple_of(3) {
        let prediction_id = PredictionId::of(&request_id, "", 0)?;
        let click = Event { prediction_id, kind: EventKind::Click, at_unix_ms: Some(at + 500), money: None };
        ring.event(&click)?;
    }
    Ok(())
}
