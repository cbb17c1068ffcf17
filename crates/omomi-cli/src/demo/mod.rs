//! `omomi demo`: the whole path from click logs to published weights, with the data of the repository alone.

mod run;
mod today;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use omomi::contract::Contract;
use omomi_train::log::generate::{self, LogSpec, WriteOptions};

use crate::Failure;
use crate::output::say;
use crate::text::{figure, grouped, table};
use run::{LOGIC_ID, Run, bayes_metrics};

/// Train, average, prune, pack, evaluate, publish and score, on a real click log and on a generated one
///
/// The real log ships with the repository. All files go to one folder. At the end, the demo suggests what to try next.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder for logs, states and weight files
    #[arg(long, value_name = "DIR", default_value = "demo")]
    dir: PathBuf,
    /// Folder with the Open Bandit logs
    #[arg(long, value_name = "DIR", default_value = "tests/data/open-bandit")]
    data: PathBuf,
    /// Number of rows of the generated log
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    rows: u64,
}

/// The column with the time of the impression, in both logs.
const TIME_COLUMN: &str = "timestamp";
/// Number of files of the generated log, in order of time.
const PART_COUNT: usize = 10;

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
    let log = GeneratedLog::write(arguments)?;
    let yesterday = yesterday(&log)?;
    say!("\n3. Today's model: two processes train on two data sets; their average replaces yesterday's file\n");
    let today = today::run(&log, &yesterday)?;
    say!("\nThe report: {}", today.report.display());
    say!("\nTry next");
    say!("  omomi inspect {}", today.weight_file.display());
    say!("  omomi verify {}", today.weight_file.display());
    say!("  omomi explain {} --logs {} --row 1", today.weight_file.display(), log.evaluation_part());
    say!("  omomi contract check {}", log.contract_file.display());
    say!("  omomi contract generate --scala {}    (or --java, --c, --rust)", today.weight_file.display());
    say!("  omomi status {}", today.store.display());
    say!("  omomi rollback {}    (and omomi follow ...)", today.store.display());
    say!("  omomi drill {}    (rehearses incidents of a store and a server)", today.store.display());
    say!("  rank 500 candidates from Scala: jvm-bindings/README.md");
    say!("  (in the repository, run `cargo run --release --` in place of `omomi`)");
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
    say!("  (287 clicks in 60,000 rows teach almost nothing: this log shows the steps, the next one the figures)");
    run.print_file();
    Ok(())
}

/// A generated log in [`PART_COUNT`] files, in order of time.
struct GeneratedLog {
    folder: PathBuf,
    contract: Contract,
    contract_file: PathBuf,
    parts: Vec<String>,
}

impl GeneratedLog {
    fn write(arguments: &Arguments) -> Result<Self, Failure> {
        let folder = arguments.dir.join("generated");
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)?;
        let paths: Vec<PathBuf> = (0..PART_COUNT).map(|part| logs.join(format!("part-{part:03}.parquet"))).collect();
        let spec = LogSpec { rows: arguments.rows, seed: 1, click_rate: 0.1 };
        let start = Instant::now();
        generate::write(&spec, &paths, WriteOptions::default().with(|it| it.overwrite = true), &mut |_| ())?;
        let contract_file = logs.join("contract.toml");
        fs::write(&contract_file, generate::CONTRACT)?;
        let seconds = start.elapsed().as_secs_f64();
        say!("  generated {} rows in {seconds:.1} s\n", grouped(arguments.rows));
        let contract = omomi_train::toml::parse_contract(generate::CONTRACT)?;
        let parts = paths.iter().map(|path| path.display().to_string()).collect();
        Ok(Self { folder, contract, contract_file, parts })
    }

    /// The files to learn from: all but the last two.
    fn learned_parts(&self) -> &[String] {
        &self.parts[..PART_COUNT - 2]
    }

    /// The second last file: for recalibration, pruning and packing.
    fn fitting_part(&self) -> &str {
        &self.parts[PART_COUNT - 2]
    }

    /// The last file: for evaluation only.
    fn evaluation_part(&self) -> &str {
        &self.parts[PART_COUNT - 1]
    }
}

/// Makes yesterday's model, from the older half of the files to learn from.
fn yesterday(log: &GeneratedLog) -> Result<Run, Failure> {
    let learned = log.learned_parts();
    let older = &learned[..learned.len() / 2];
    let run = Run::new(&log.contract, &log.folder, LOGIC_ID, older, log.evaluation_part())?;
    let bayes = bayes_metrics(log.evaluation_part())?;
    let mut rows = run.rows()?;
    rows.insert(3, vec!["  of the true probabilities".to_owned(), format!("{:.6}", bayes.log_loss)]);
    rows.insert(6, vec!["  of the true probabilities".to_owned(), figure(bayes.normalized_entropy)]);
    say!("{}", table(&["", "held-out rows"], rows));
    run.print_file();
    run.print_latency(log.evaluation_part())?;
    Ok(run)
}
