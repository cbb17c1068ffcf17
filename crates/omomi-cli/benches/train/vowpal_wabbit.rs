//! Runs Vowpal Wabbit as a child process, on the same features, with its FTRL and its own cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use omomi_train::evaluate::{Evaluator, Metrics};

/// The command that runs Vowpal Wabbit.
pub struct VowpalWabbit {
    words: Vec<String>,
}

/// The time and the memory of a run.
pub struct Outcome {
    pub took: Duration,
    /// Peak memory of any child process so far, in bytes.
    pub peak_memory_bytes: u64,
}

impl VowpalWabbit {
    /// Takes the command from `OMOMI_VW`, such as `python3 -m vowpalwabbit`, or else `vw` from the path. Returns `None`
    /// if it does not run.
    pub fn find() -> Option<Self> {
        let words = std::env::var("OMOMI_VW").unwrap_or_else(|_| "vw".to_owned());
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let found = Self { words };
        let answers = found.command().arg("--version").output().is_ok_and(|output| output.status.success());
        answers.then_some(found)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command
    }

    /// Trains `passes` times on the rows: first from text, then from its cache.
    pub fn learn(&self, text: &Path, folder: &Path, passes: u32, extra: &[&str]) -> Outcome {
        let started = Instant::now();
        let output = self
            .command()
            .arg("--data")
            .arg(text)
            .arg("--cache_file")
            .arg(folder.join("vw.cache"))
            .args(["--kill_cache", "--holdout_off", "--loss_function=logistic", "--link=logistic"])
            .args(["--bit_precision=22", "--quiet"])
            .arg(format!("--passes={passes}"))
            .args(extra)
            .output()
            .expect("Vowpal Wabbit, which has just answered");
        let took = started.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Outcome { took, peak_memory_bytes: peak_memory_of_children() }
    }

    /// Trains one pass, and returns the metrics of the rows, each predicted before it was learned.
    pub fn progressive(&self, text: &Path, folder: &Path, clicked: &[bool], extra: &[&str]) -> (Outcome, Metrics) {
        let predictions: PathBuf = folder.join("vw.predictions");
        let to = format!("--predictions={}", predictions.to_str().expect("UTF-8"));
        let outcome = self.learn(text, folder, 1, &[&[to.as_str()], extra].concat());
        let mut evaluator = Evaluator::exact();
        let predictions = fs::read_to_string(predictions).expect("predictions");
        let probabilities = predictions.split_whitespace().map(|word| word.parse::<f64>().expect("a probability"));
        let mut row_count = 0;
        for (probability, &clicked) in probabilities.zip(clicked) {
            // Vowpal Wabbit rounds to six digits, and 0 is not a probability.
            evaluator.add_probability(probability.clamp(1e-6, 1.0 - 1e-6), clicked);
            row_count += 1;
        }
        assert_eq!(row_count, clicked.len(), "a prediction for each row");
        (outcome, evaluator.metrics())
    }
}

/// Returns the largest peak memory of all child processes that have ended, in bytes.
fn peak_memory_of_children() -> u64 {
    // SAFETY: a zeroed `rusage` is valid, and the C library writes to the one that it gets.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    // Linux reports KiB.
    u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1_024
}
