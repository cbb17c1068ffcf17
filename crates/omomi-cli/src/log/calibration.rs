//! `omomi log calibration`.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::places::FileFailure;
use omomi_train::bucket::NewFile;
use omomi_train::serving_logs::served_calibration;

use crate::Failure;
use crate::contract::read_contract;
use crate::output::say;
use crate::text::{grouped, table};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Outputs of `omomi log join`, as paths or quoted patterns
    #[arg(value_name = "PATTERN", required = true)]
    logs: Vec<String>,
    /// Path of the contract.toml
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// Also write the figures as JSON, for `omomi report --served`
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the figures as Prometheus text, for a collector that reads files. The file is replaced at once
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Replace the file of --json if it exists
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let contract = read_contract(&arguments.contract)?;
    let served = served_calibration(&arguments.logs, &contract)?;
    if let Some(path) = &arguments.json {
        let mut text = serde_json::to_vec_pretty(&served)?;
        text.push(b'\n');
        write(path, &text, arguments.force)?;
    }
    if let Some(path) = &arguments.metrics {
        write(path, served.to_prometheus().as_bytes(), true)?;
    }
    let rows = served.hours.iter().map(|hour| {
        vec![
            hour.hour(),
            hour.logic_id.clone().unwrap_or_else(|| "(the server itself)".to_owned()),
            grouped(hour.predictions),
            format!("{:.2}", hour.probability_sum),
            grouped(hour.clicks),
            hour.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
        ]
    });
    let predictions = if served.of_impressions { "shown" } else { "predictions" };
    say!("{}", table(&["hour", "logic id", predictions, "probabilities", "clicks", "ratio"], rows.collect()));
    Ok(())
}

fn write(path: &Path, bytes: &[u8], replace: bool) -> Result<(), Failure> {
    let written = NewFile::create(path, replace).and_then(|new| {
        new.file().write_all(bytes)?;
        new.commit()
    });
    Ok(written.map_err(FileFailure::writing(path))?)
}
