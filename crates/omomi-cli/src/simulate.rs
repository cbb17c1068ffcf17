//! `omomi simulate`: shows on made-up logs with known truth how good the judgments are. A hidden command, for people
//! who change the gate or its settings.

use std::path::PathBuf;

use omomi_train::judge::gate::GateSettings;
use omomi_train::judge::power::{PowerCounts, PowerOptions, power};

use crate::Failure;
use crate::output::say;
use crate::text::{grouped, table};

/// Show how often the gate passes, holds back, or cannot tell a candidate of known quality
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Numbers of clicks in an evaluation
    #[arg(long, value_name = "COUNT", num_args = 1.., default_values_t = [100, 300, 1_000, 3_000, 10_000])]
    clicks: Vec<u64>,
    /// How much worse the candidate truly is, in percent of normalized entropy
    #[arg(long, value_name = "PERCENT", num_args = 1.., default_values_t = [0.0, 0.5, 1.0, 2.0, 5.0, 10.0])]
    worse: Vec<f64>,
    /// Number of evaluations of each kind
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    seeds: u64,
    /// Mean true click probability, from 0.001 to 0.5
    #[arg(long, value_name = "RATE", default_value_t = 0.1)]
    click_rate: f64,
    /// Settings of the gate [default: the built-in settings]
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let click_rate = arguments.click_rate;
    if !(0.001..=0.5).contains(&click_rate) {
        return Err(format!("expected a click rate from 0.001 to 0.5, found {click_rate}").into());
    }
    let settings = match &arguments.gate {
        Some(path) => GateSettings::read(path)?,
        None => GateSettings::default(),
    };
    let mut rows = Vec::new();
    for &clicks in &arguments.clicks {
        for &worse in &arguments.worse {
            let options = PowerOptions { clicks, worse: worse / 100.0, seeds: arguments.seeds, click_rate };
            let PowerCounts { passed, held_back, cannot_tell } = power(options, &settings);
            let share = |count: u64| format!("{:.0} %", 100.0 * count as f64 / arguments.seeds.max(1) as f64);
            rows.push(vec![grouped(clicks), format!("{worse} %"), share(passed), share(held_back), share(cannot_tell)]);
        }
    }
    say!("{}", table(&["clicks", "truly worse by", "passed", "held back", "cannot tell"], rows));
    Ok(())
}
