//! One run of the demo: from the logs of one contract to a mapped model, in one process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use omomi::contract::{Contract, Side};
use omomi::request::RequestRows;
use omomi::weight_file::layout::SectionKind;
use omomi::weight_file::table::Encoding;
use omomi::{Instructions, LoadMode, Model};
use omomi_train::evaluate::{Evaluator, Metrics, evaluate};
use omomi_train::learn::{Account, TrainOptions, train};
use omomi_train::log::{Categories, LogReader, ReadOptions};
use omomi_train::pack::{PackOptions, PackReport, pack};

use super::TIME_COLUMN;
use crate::Failure;
use crate::output::say;
use crate::text::{bytes, figure, grouped};

/// Logic id of the models of the generated log.
pub(super) const LOGIC_ID: &str = "generated-demo";

const CANDIDATE_COUNT: usize = 500;
const REQUEST_COUNT: usize = 5_000;

/// The files, the model and the metrics that a run made.
pub(super) struct Run {
    account: Account,
    report: PackReport,
    model: Arc<Model>,
    held_out: Metrics,
    pub(super) weight_file: PathBuf,
    pub(super) state: PathBuf,
}

impl Run {
    pub(super) fn new(
        contract: &Contract,
        folder: &Path,
        logic_id: &str,
        logs: &[String],
        held_out: &str,
    ) -> Result<Self, Failure> {
        let generations = folder.join("generations");
        fs::create_dir_all(&generations)?;
        let state = folder.join("state.parquet");
        let mut options = TrainOptions::new(logs, &state);
        options.read = ReadOptions::default().with(|it| it.time_column = Some(TIME_COLUMN.to_owned()));
        options.replace = true;
        options.arguments = vec!["demo".to_owned()];
        let account = train(contract, &options, &mut |_| ())?;
        // The name of a weight file is never used twice, so each run of the demo makes the next generation.
        let generation = next_generation(&generations)?;
        let weight_file = generations.join(format!("{generation:06}.omomi"));
        let mut options = PackOptions::new(&state, [held_out], logic_id, generation);
        options.encoding = Encoding::F32;
        let report = pack(contract, &options, &weight_file, &mut |_| ())?;
        let model = Model::load(&weight_file, LoadMode::Map)?;
        let mut reader = LogReader::open(contract, &[held_out], ReadOptions::default())?;
        let held_out = evaluate(&model, &mut reader, &mut |_| ())?;
        Ok(Self { account, report, model, held_out, weight_file, state })
    }

    pub(super) fn rows(&self) -> Result<Vec<Vec<String>>, Failure> {
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

    pub(super) fn print_file(&self) {
        let len = self.model.header().total_len_bytes;
        #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
        let bytes_per_weight = len as f64 / self.model.weight_count().max(1) as f64;
        say!(
            "\n  state        {} ({} features)\n  weight file  {} (read-only)\n               {}, {} weights, {bytes_per_weight:.2} bytes each; {} of it is the table",
            self.state.display(),
            grouped(self.report.feature_count),
            self.weight_file.display(),
            bytes(len),
            grouped(self.model.weight_count()),
            bytes(self.table_len_bytes()),
        );
    }

    pub(super) fn table_len_bytes(&self) -> u64 {
        self.model.file().section(SectionKind::Weights).len() as u64
    }

    /// Scores one user against 500 creatives 5,000 times and prints the latency.
    pub(super) fn print_latency(&self, held_out: &str) -> Result<(), Failure> {
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

/// Returns one more than the largest generation in the folder.
pub(super) fn next_generation(folder: &Path) -> Result<u64, Failure> {
    let mut max = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let generation = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        max = max.max(generation.unwrap_or(0));
    }
    Ok(max + 1)
}

/// Returns the metrics of the true probabilities of a generated log: the best that any model can reach.
pub(super) fn bayes_metrics(log: &str) -> Result<Metrics, Failure> {
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
