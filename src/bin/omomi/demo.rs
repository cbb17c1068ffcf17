//! `omomi demo`: the whole path, from click logs to scored candidates, with nothing but what the repository has.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use omomi::Instructions;
use omomi::contract::{Contract, Side};
use omomi::evaluate::{Evaluator, Metrics, evaluate};
use omomi::generate_log::{self, LogSpec, WriteOptions};
use omomi::log_reader::{Categories, LogReader, ReadOptions};
use omomi::pack::{DEFAULT_CALIBRATOR, PackOptions, PackReport, pack};
use omomi::train::{Account, Sampling, Settings, TrainOptions, train};
use omomi::value::RequestRows;
use omomi::weight_file::table::Encoding;
use omomi::{LoadMode, Model};

use crate::Failure;
use crate::text::{bytes, figure, grouped, say, table};

/// Train, pack, map and score: on the real click log that ships with the repository, and on a generated one
///
/// Leaves everything it makes in one folder, and says at the end what to try next.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to leave logs, states and weight files
    #[arg(long, value_name = "DIR", default_value = "demo")]
    dir: PathBuf,
    /// The folder with the Open Bandit logs
    #[arg(long, value_name = "DIR", default_value = "tests/data/open-bandit")]
    data: PathBuf,
    /// Rows of the generated log
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    rows: u64,
}

const CANDIDATE_COUNT: usize = 500;
const REQUEST_COUNT: usize = 5_000;
/// Files of the generated log, by time; the last is held out.
const PART_COUNT: usize = 5;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !arguments.data.join("contract.toml").is_file() {
        let folder = arguments.data.display();
        return Err(format!(
            "there is no Open Bandit log in {folder}; run the demo in the repository, or name the folder with --data"
        )
        .into());
    }
    say!("1. A real log: ZOZOTOWN fashion recommendations, a week in 2019\n");
    real_log(arguments)?;
    say!("\n2. A generated log: its true click probabilities are known\n");
    let (folder, weight_file) = generated_log(arguments)?;
    say!("\nTry next");
    say!("  omomi inspect {}", weight_file.display());
    say!("  omomi verify {}", weight_file.display());
    say!("  omomi contract check {}", folder.join("logs/contract.toml").display());
    let store = folder.join("store");
    say!("  omomi publish {} --to {}", weight_file.display(), store.display());
    say!("  omomi status {}", store.display());
    say!("  omomi drill {}    (what may happen to a server, rehearsed)", store.display());
    say!("  rank 500 candidates from Scala: jvm-bindings/README.md");
    say!("  (in the repository, `cargo run --release --` stands for `omomi`)");
    Ok(())
}

fn real_log(arguments: &Arguments) -> Result<(), Failure> {
    let mut files: Vec<String> = Vec::new();
    for entry in fs::read_dir(&arguments.data)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path.display().to_string());
        }
    }
    files.sort();
    let (held_out, logs) = files.split_last().ok_or("the Open Bandit folder has no Parquet files")?;
    let contract = crate::contract::read_contract(&arguments.data.join("contract.toml"))?;
    let run = Run::new(&contract, &arguments.dir.join("open-bandit"), "open-bandit-demo", logs, held_out)?;
    let rows = run.rows()?;
    say!("{}", table(&["", "held-out day"], rows));
    say!("  (287 clicks in 60,000 rows teach next to nothing: this log proves the path, the next one the figures)");
    run.print_file();
    Ok(())
}

fn generated_log(arguments: &Arguments) -> Result<(PathBuf, PathBuf), Failure> {
    let folder = arguments.dir.join("generated");
    let logs = folder.join("logs");
    fs::create_dir_all(&logs)?;
    let paths: Vec<PathBuf> = (0..PART_COUNT).map(|part| logs.join(format!("part-{part:03}.parquet"))).collect();
    let spec = LogSpec { rows: arguments.rows, seed: 1, click_rate: 0.1 };
    let start = Instant::now();
    generate_log::write(&spec, &paths, WriteOptions { overwrite: true, ..WriteOptions::default() }, &mut |_| ())?;
    fs::write(logs.join("contract.toml"), generate_log::CONTRACT)?;
    let seconds = start.elapsed().as_secs_f64();
    say!("  generated {} rows in {seconds:.1} s\n", grouped(arguments.rows));

    let contract = Contract::from_toml(generate_log::CONTRACT)?;
    let files: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let (held_out, logs) = files.split_last().ok_or("the log has no files")?;
    let run = Run::new(&contract, &folder, "generated-demo", logs, held_out)?;
    let bayes = bayes_metrics(held_out)?;
    let mut rows = run.rows()?;
    rows.insert(3, vec!["  of the true probabilities".to_owned(), format!("{:.6}", bayes.log_loss)]);
    rows.insert(6, vec!["  of the true probabilities".to_owned(), figure(bayes.normalized_entropy)]);
    say!("{}", table(&["", "held-out rows"], rows));
    run.print_file();
    run.print_latency(held_out)?;
    Ok((folder, run.weight_file.clone()))
}

/// One contract's way from logs to a mapped model.
struct Run {
    account: Account,
    report: PackReport,
    model: Arc<Model>,
    held_out: Metrics,
    weight_file: PathBuf,
    state: PathBuf,
}

impl Run {
    fn new(
        contract: &Contract,
        folder: &Path,
        logic_id: &str,
        logs: &[String],
        held_out: &str,
    ) -> Result<Self, Failure> {
        let generations = folder.join("generations");
        fs::create_dir_all(&generations)?;
        let state = folder.join("state.parquet");
        let options = TrainOptions {
            logs: logs.to_vec(),
            held_out: Vec::new(),
            read: ReadOptions { time_column: Some("timestamp".to_owned()), ..ReadOptions::default() },
            settings: Settings::default(),
            sampling: Sampling::default(),
            start: None,
            passes: 1,
            cache: None,
            state: state.clone(),
            replace: true,
            arguments: vec!["demo".to_owned()],
        };
        let account = train(contract, &options, &mut |_| ())?;
        // A name is never used twice, so each run of the demo makes the next generation.
        let generation = next_generation(&generations)?;
        let weight_file = generations.join(format!("{generation:06}.omomi"));
        let options = PackOptions {
            state: state.clone(),
            held_out: vec![held_out.to_owned()],
            read: ReadOptions::default(),
            logic_id: logic_id.to_owned(),
            generation,
            calibrator: DEFAULT_CALIBRATOR,
            encoding: Encoding::F32,
        };
        let report = pack(contract, &options, &weight_file, &mut |_| ())?;
        let model = Model::load(&weight_file, LoadMode::Map)?;
        let mut reader = LogReader::open(contract, &[held_out], ReadOptions::default())?;
        let held_out = evaluate(&model, &mut reader, &mut |_| ())?;
        Ok(Self { account, report, model, held_out, weight_file, state })
    }

    fn rows(&self) -> Result<Vec<Vec<String>>, Failure> {
        let metrics = &self.held_out;
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        Ok(vec![
            row(
                "rows trained on",
                format!("{} ({:.0} a second)", grouped(self.account.rows), self.account.rows_per_second),
            ),
            row("rows held out", format!("{}, {} clicks", grouped(metrics.impressions), grouped(metrics.clicks))),
            row("log loss", format!("{:.6}", metrics.log_loss)),
            row("  of the observed CTR alone", format!("{:.6}", metrics.constant_log_loss())),
            row("normalized entropy", figure(metrics.normalized_entropy)),
            row("AUC", figure(metrics.auc)),
            row("calibration ratio", figure(metrics.calibration_ratio)),
        ])
    }

    fn print_file(&self) {
        let len = self.model.header().total_len_bytes;
        #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
        let bytes_per_weight = len as f64 / self.model.weight_count().max(1) as f64;
        let weights_len = self.model.file().section(omomi::weight_file::layout::SectionKind::Weights).len();
        say!(
            "\n  state        {} ({} features)\n  weight file  {} (read-only)\n               {}, {} weights, {bytes_per_weight:.2} bytes each; {} of it is the table",
            self.state.display(),
            grouped(self.report.feature_count),
            self.weight_file.display(),
            bytes(len),
            grouped(self.model.weight_count()),
            bytes(weights_len as u64),
        );
    }

    /// Scores one user against 500 creatives, again and again.
    fn print_latency(&self, held_out: &str) -> Result<(), Failure> {
        let contract = self.model.contract();
        let mut reader = LogReader::open(contract, &[held_out], ReadOptions::default())?;
        let Some(batch) = reader.next_batch()? else { return Ok(()) };
        let count = CANDIDATE_COUNT.min(batch.row_count());
        let rows = RequestRows {
            context: batch.row(contract, Side::Context, 0),
            candidates: (0..count).map(|index| batch.row(contract, Side::Candidate, index)).collect(),
        };
        let instructions = Instructions::detect();
        let (scorer, mut request) = self.model.scorer_for(&rows, instructions)?;
        request.fill(&rows)?;
        let mut latencies_us = Vec::with_capacity(REQUEST_COUNT);
        for _ in 0..REQUEST_COUNT {
            let start = Instant::now();
            scorer.predict(&mut request, count)?;
            latencies_us.push(start.elapsed().as_secs_f64() * 1e6);
        }
        latencies_us.sort_by(f64::total_cmp);
        let (p50, p99) = (latencies_us[REQUEST_COUNT / 2], latencies_us[REQUEST_COUNT * 99 / 100]);
        say!(
            "\n  one request of {count} candidates, {} fields and {} crosses ({}): p50 {p50:.0} µs, p99 {p99:.0} µs",
            contract.fields().len(),
            contract.crosses().len(),
            instructions.name()
        );
        Ok(())
    }
}

/// One more than the greatest generation in the folder.
fn next_generation(folder: &Path) -> Result<u64, Failure> {
    let mut greatest = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let generation = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        greatest = greatest.max(generation.unwrap_or(0));
    }
    Ok(greatest + 1)
}

/// How good the true probabilities of a generated log are: no model can do better.
fn bayes_metrics(log: &str) -> Result<Metrics, Failure> {
    let contract = r#"{"name":"bayes","label":"clicked","field":[{"name":"true_probability","side":"context","type":"number",
        "unit":"probability","range":[0.0,1.0],"buckets":[0.5],"meaning":"what the generator drew the click from"}]}"#;
    let contract = Contract::from_json(contract.as_bytes())?;
    let mut reader = LogReader::open(&contract, &[log], ReadOptions::default())?;
    let mut evaluator = Evaluator::exact();
    while let Some(batch) = reader.next_batch()? {
        let Categories::Numbers(probabilities) = &batch.columns[0].categories else { continue };
        for (&probability, &clicked) in probabilities.iter().zip(&batch.clicked) {
            evaluator.add_probability(probability, clicked);
        }
    }
    Ok(evaluator.metrics())
}
