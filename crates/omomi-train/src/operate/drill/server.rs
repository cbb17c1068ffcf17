//! The server of a drill: follows a store, scores golden requests without pause, and reports on standard output what it
//! serves.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::parent_process::end_with_parent;
use omomi::Instructions;
use omomi::error::Error;
use omomi::live::{LiveModel, LiveOptions, LiveScorer};
use omomi::request::{Capacity, RequestLayout, Schema};
use omomi::score::{Model, Request};
use omomi::weight_file::golden::GoldenRequest;
use omomi::weight_file::map::LoadMode;

/// Name of the server in the store.
pub(super) const NAME: &str = "drill";

/// Pause between two requests. It allows thousands of requests per second and leaves the processor to other processes.
const PAUSE: Duration = Duration::from_micros(200);
/// Time between two reads of the live model's status.
const STATUS_PAUSE: Duration = Duration::from_millis(10);
/// Maximum time between two lines on standard output.
const MAX_SILENCE: Duration = Duration::from_millis(100);

const MAX_CHANGES_SHOWN: usize = 8;

/// Settings of the server in a drill.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The store.
    pub dir: PathBuf,
    /// A weight file whose contract determines the fields that the server declares.
    pub schema_of: PathBuf,
    /// How files are loaded into memory.
    pub load_mode: LoadMode,
    /// How often to poll the store.
    pub poll_interval: Duration,
    /// How long each generation is on trial.
    pub trial: Duration,
    /// How long to wait before a generation is tried again after a process died while trying it.
    pub retry_after_death: Duration,
    /// A limit of the process, as the shell's `ulimit` takes it: `-f 0` lets no file grow.
    pub limit: Option<&'static str>,
    /// Whether to open files after the first answer until the system allows no more.
    pub uses_up_descriptors: bool,
}

impl ServerOptions {
    /// Returns options with the defaults of [`LiveOptions`], no limit, and descriptors to spare.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, schema_of: impl Into<PathBuf>) -> Self {
        let live = LiveOptions::default();
        Self {
            dir: dir.into(),
            schema_of: schema_of.into(),
            load_mode: live.load_mode,
            poll_interval: live.poll_interval,
            trial: live.trial,
            retry_after_death: live.retry_after_death,
            limit: None,
            uses_up_descriptors: false,
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Serves until standard input closes or the process is ended.
///
/// # Errors
///
/// Returns [`Error`] if `schema_of` or the first model cannot be loaded.
pub fn serve(options: &ServerOptions) -> Result<(), Error> {
    end_with_parent(0);
    let original = Model::load(&options.schema_of, LoadMode::Map)?;
    let schema = Schema::of_contract(original.contract());
    let asked = original.golden_requests()?;
    let layout = RequestLayout::new(&schema, room_for(&original, &asked)?)?;
    let live = LiveModel::open(&options.dir, &schema, live_options(options))?;
    Server::new(live.scorer(&layout)?, asked.into(), options.uses_up_descriptors).serve(&live)
}

/// Returns the capacity that the largest request needs.
fn room_for(model: &Arc<Model>, requests: &[GoldenRequest]) -> Result<Capacity, Error> {
    let mut room = Capacity { candidates: 1, tail_len_bytes: 0 };
    for request in requests {
        let Capacity { candidates, tail_len_bytes } =
            model.scorer_for(&request.rows, Instructions::detect())?.0.layout().capacity();
        room.candidates = room.candidates.max(candidates);
        room.tail_len_bytes = room.tail_len_bytes.max(tail_len_bytes);
    }
    Ok(room)
}

fn live_options(options: &ServerOptions) -> LiveOptions {
    LiveOptions::default().with(|it| {
        it.name = NAME.to_owned();
        it.load_mode = options.load_mode;
        it.poll_interval = options.poll_interval;
        it.trial = options.trial;
        it.retry_after_death = options.retry_after_death;
    })
}

/// Sends golden requests and counts the outcomes.
struct Server {
    scorer: LiveScorer,
    request: Request,
    /// The golden requests that are sent.
    asked: Arc<[GoldenRequest]>,
    /// The golden requests of each generation that has answered. They come from the verified model, so that wrong
    /// answers are noticed.
    golden: HashMap<u64, Arc<[GoldenRequest]>>,
    turn: usize,
    request_count: u64,
    failed_count: u64,
    change_count: u64,
    /// What answered, or what kept requests from an answer: the last few, the newest first.
    changes: VecDeque<String>,
    /// The files that keep the server from opening others; `None` if it is not to use up its descriptors.
    hoard: Option<Vec<File>>,
    /// The generation of the last answer, or the error code if there was none.
    answered: Result<u64, &'static str>,
}

impl Server {
    fn new(scorer: LiveScorer, asked: Arc<[GoldenRequest]>, uses_up_descriptors: bool) -> Self {
        let (request, golden) = (scorer.new_request(), HashMap::new());
        let (request_count, failed_count, change_count) = (0, 0, 0);
        let answered = Err("nothing_asked");
        let hoard = uses_up_descriptors.then(Vec::new);
        Self {
            scorer,
            request,
            asked,
            golden,
            turn: 0,
            request_count,
            failed_count,
            change_count,
            changes: VecDeque::new(),
            hoard,
            answered,
        }
    }

    fn serve(mut self, live: &LiveModel) -> Result<(), Error> {
        let (mut looked, mut spoke, mut said) = (Instant::now(), None::<Instant>, Value::Null);
        loop {
            let answered = self.ask(live)?;
            self.request_count += 1;
            self.failed_count += u64::from(answered.is_err());
            if let Some(hoard) = self.hoard.as_mut().filter(|hoard| !hoard.is_empty() || answered.is_ok()) {
                // Again and again, because other threads close files.
                hoard.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
            }
            let is_change = answered != self.answered;
            self.answered = answered;
            if is_change {
                self.change_count += 1;
                self.changes.truncate(MAX_CHANGES_SHOWN - 1);
                self.changes.push_front(answered.map_or_else(str::to_owned, |generation| format!("{generation:06}")));
            }
            if is_change || looked.elapsed() >= STATUS_PAUSE {
                looked = Instant::now();
                let status = live.status();
                let reasons: Vec<&str> = status.reasons.iter().map(|reason| reason.code.name()).collect();
                let is_on_trial = status.served.as_ref().is_some_and(|served| served.is_on_trial);
                let now = json!({ "answered": self.answered.ok(), "error": self.answered.err(), "reasons": reasons,
                    "is_on_trial": is_on_trial, "quarantined_count": status.quarantined.len() });
                if now != said || spoke.is_none_or(|spoke| spoke.elapsed() >= MAX_SILENCE) {
                    (said, spoke) = (now, Some(Instant::now()));
                    if !self.say(&said) {
                        return Ok(());
                    }
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Sends one request. Returns the generation that gave the expected answer, or the code of what went wrong.
    fn ask(&mut self, live: &LiveModel) -> Result<Result<u64, &'static str>, Error> {
        self.turn = (self.turn + 1) % self.asked.len();
        let golden = &self.asked[self.turn];
        let candidate_count = golden.rows.candidates.len();
        self.request.fill(&golden.rows)?;
        if let Err(error) = self.scorer.predict(&mut self.request, candidate_count) {
            return Ok(Err(error.code().name()));
        }
        let generation = self.request.generation();
        if !self.golden.contains_key(&generation)
            && let Some(model) = live.model().filter(|model| model.generation() == generation)
        {
            self.golden.insert(generation, model.golden_requests()?.into());
        }
        let Some(own) = self.golden.get(&generation) else { return Ok(Ok(generation)) };
        if own[..] != self.asked[..] {
            // From the next request on, send this generation's own golden requests, whose answers are known.
            (self.asked, self.turn) = (Arc::clone(own), 0);
            return Ok(Ok(generation));
        }
        let is_right = self.request.answers(candidate_count).zip(&golden.logits).zip(&golden.probabilities).all(
            |((answer, logit), probability)| {
                answer.logit.to_bits() == logit.to_bits() && answer.probability.to_bits() == probability.to_bits()
            },
        );
        Ok(if is_right { Ok(generation) } else { Err("wrong_answer") })
    }

    /// Writes a status line, and returns whether standard output is still open.
    fn say(&self, state: &Value) -> bool {
        let mut line = state.clone();
        line["request_count"] = json!(self.request_count);
        line["failed_count"] = json!(self.failed_count);
        line["change_count"] = json!(self.change_count);
        line["changes"] = json!(self.changes);
        let mut output = std::io::stdout().lock();
        writeln!(output, "{line}").and_then(|()| output.flush()).is_ok()
    }
}
