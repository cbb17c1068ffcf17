//! What versions since 0.2.0 write besides: an experiment file, what a server of the experiment answers, and its
//! serving log, which has records of a shadow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use omomi::experiment::LiveExperiment;
use omomi::live::LiveOptions;
use omomi::serving_log::{LogOptions, Served, ServingLog};
use omomi::{Capacity, Error, LoadMode, Model, RequestLayout, Schema};

use crate::files::{Version, joined, same};
use crate::serve::{PATIENCE, START_UNIX_MS};

const FILE: &str = "wide.experiment";
/// The name of the outcome that only versions with experiments have.
pub(crate) const ANSWERS: &str = "experiment: answers and choices";
const LOG: &str = "served-by-experiment";
/// Columns that only logs of an experiment fill.
const COLUMNS: &str = "--column experiment --column arm --column bucket --column propensity";

/// Adds the experiment to a folder that has the files of [`files::write`](crate::files::write). Only this version runs
/// the server of an experiment.
pub(crate) fn write(folder: &Path) {
    let done = |words: &str| Version::This.omomi(folder, words).unwrap_or_else(|error| panic!("{words}: {error}"));
    for (arm, encoding) in [("b", "f16"), ("c", "i8")] {
        done(&format!(
            "pack --contract logs/contract.toml --state merged.parquet --held-out logs/part-002.parquet --quiet \
             --logic-id ctr-{arm} --encoding {encoding} --generation 1 --out {arm}.omomi"
        ));
        done(&format!("publish {arm}.omomi --unblessed --to store-{arm}"));
    }
    done(&format!(
        "experiment start {FILE} --name wide --unit user_id --salt 0123456789abcdef --control a=store --arm \
         b=store-b:50% --shadow c=store-c:100%"
    ));
    let path = folder.join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    let explores = text.replace("\n  ]\n}", "\n  ],\n  \"exploration\": {\"share\": 5000, \"epsilon\": 0.5}\n}");
    assert_ne!(text, explores);
    fs::write(&path, explores).unwrap();
    fs::write(folder.join("experiment-answers.txt"), serve(folder, Some(LOG)).unwrap()).unwrap();
    for (arm, shadow) in [("", None), ("-shadow", Some("c"))] {
        let rows = joined(&Version::This, folder, LOG, &format!("experiment-joined{arm}"), COLUMNS, shadow).unwrap();
        fs::write(folder.join(format!("experiment{arm}.csv")), rows).unwrap();
    }
}

/// Reads what a folder has of an experiment, and says what became of each. Versions before 0.2.0 know no experiments,
/// but read the log, and skip what the shadow said.
pub(crate) fn read(version: &Version, folder: &Path) -> BTreeMap<&'static str, Result<(), String>> {
    let mut found = BTreeMap::new();
    if !folder.join(FILE).exists() {
        return found;
    }
    let expected = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let rows = joined(version, folder, LOG, "experiment-again", COLUMNS, None);
    found.insert("log of an experiment: join", rows.and_then(|rows| same(&rows, &expected("experiment.csv"))));
    if let Version::This = version {
        let rows = joined(version, folder, LOG, "shadow-again", COLUMNS, Some("c"));
        found.insert("log of a shadow: join", rows.and_then(|rows| same(&rows, &expected("experiment-shadow.csv"))));
        found.insert("experiment file", version.omomi(folder, &format!("experiment check {FILE}")).map(drop));
        let answers = serve(folder, None).map_err(|error| error.to_string());
        let answers = answers.and_then(|answers| same(&answers, &expected("experiment-answers.txt")));
        found.insert(ANSWERS, answers);
    }
    found
}

/// Serves the golden requests of a weight file by the experiment, once all of its arms are ready. Returns a line for
/// each request: what the arm answered, and what exploration chose.
fn serve(folder: &Path, log: Option<&str>) -> Result<String, Error> {
    let original = Model::load(folder.join("1.omomi"), LoadMode::Map)?;
    let schema = Schema::of_contract(original.contract());
    let requests = original.golden_requests()?;
    let options = LiveOptions::default().with(|it| {
        it.name = "web-1".to_owned();
        it.load_mode = LoadMode::Map;
        it.poll_interval = Duration::from_millis(20);
        it.trial = Duration::from_millis(100);
    });
    let experiment = LiveExperiment::open(folder.join(FILE), &schema, options)?;
    let candidates = requests.iter().map(|request| request.rows.candidates.len()).max().unwrap_or(1);
    let layout = RequestLayout::new(&schema, Capacity { candidates, tail_len_bytes: 1 << 16 })?.for_models(2)?;
    let scorer = experiment.scorer(&layout)?;
    let started = Instant::now();
    while !experiment.status().arms.iter().all(|arm| arm.is_ready) && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = log.map(|log| {
        ServingLog::open(folder.join(log), LogOptions::default().with(|it| it.details_per_million = 1_000_000))
    });
    let log = log.transpose()?;
    let mut ring = log.as_ref().map(|log| log.experiment_ring(&scorer)).transpose()?;
    let mut request = scorer.new_request();
    let mut lines = String::new();
    for (number, golden) in requests.iter().enumerate() {
        let request_id = format!("request-{number}");
        request.fill(&golden.rows)?;
        let answered = scorer.predict_filled(&mut request, &request_id)?;
        let utilities: Vec<f64> =
            request.answers(golden.rows.candidates.len()).map(|it| it.probability.into()).collect();
        let choice = answered.choose(&request_id, &utilities)?.expect("a candidate");
        let (arm, bucket, generation) = (scorer.arm(&answered), answered.bucket, answered.generation);
        let logit = request.answer(choice.candidate).logit.to_bits();
        let (candidate, propensity) = (choice.candidate, choice.propensity);
        writeln!(lines, "{number} {arm} {bucket:?} {generation} {candidate} {propensity:?} {logit:016x}")
            .expect("text");
        if let Some(ring) = &mut ring {
            let at = START_UNIX_MS + i64::try_from(number).unwrap_or(0) * 1_000;
            let served = Served::of(&request_id).with(|it| {
                it.at_unix_ms = Some(at);
                it.propensity = propensity;
            });
            ring.record(&mut request, candidate, &served)?;
        }
    }
    drop(ring);
    if let Some(log) = log {
        assert!(log.flush(PATIENCE));
    }
    Ok(lines)
}
