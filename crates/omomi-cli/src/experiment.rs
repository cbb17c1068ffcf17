//! `omomi experiment`: begins, changes and checks experiment files.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use omomi::error::Owner;
use omomi::experiment::{
    Arm, ArmState, BUCKET_COUNT, CalibrationBand, Experiment, Exploration, Exposure, Guard, Method, Unit,
};
use omomi_train::operate::experiment::{self, Change};
use serde_json::{Value, json};

use crate::Failure;
use crate::output::{json_line, note, one_line, say};
use crate::text::{grouped, table};

/// Compare models on live requests: begin, change, check and watch an experiment
///
/// An experiment is a small file beside the stores. Servers read it again at each poll: docs/experiments.md.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(CheckArguments),
    Start(Box<StartArguments>),
    Share(ShareArguments),
    Stop(StopArguments),
    Status(StatusArguments),
}

/// Check an experiment file, and the stores and weight files of its arms
///
/// Exits with 5 if something is wrong.
#[derive(clap::Args)]
struct CheckArguments {
    /// The experiment file
    file: PathBuf,
}

/// Begin an experiment: write the first version of its file
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("guard").multiple(true))]
struct StartArguments {
    /// The experiment file to write
    file: PathBuf,
    /// Name of the experiment, which is in each log record
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The control arm: its name and its store, such as current=feed-ctr. It gets what no other arm has
    #[arg(long, value_name = "ARM=STORE", value_parser = parse_control)]
    control: Arm,
    /// Another arm: name, store and share, such as wide=feed-ctr-wide:10% or wide=feed-ctr-wide:1000 (of 10,000)
    #[arg(long, value_name = "ARM=STORE:SHARE", value_parser = parse_arm)]
    arm: Vec<(Arm, u32)>,
    /// An arm that only scores a share of the requests, beside the arm that answers
    #[arg(long, value_name = "ARM=STORE:SHARE", value_parser = parse_arm)]
    shadow: Vec<(Arm, u32)>,
    /// Field of the context that is assigned to an arm, such as user_id [default: each request by itself]
    #[arg(long, value_name = "FIELD")]
    unit: Option<String>,
    /// 16 hexadecimal digits, to assign units as another experiment does [default: at random]
    #[arg(long, value_name = "HEX", value_parser = parse_salt)]
    salt: Option<u64>,
    /// Share of the requests that explore, such as 5% or 500 (of 10,000) [default: none, servers take the best]
    #[arg(long, value_name = "SHARE", value_parser = parse_share, requires = "exploration")]
    explore: Option<u32>,
    /// How they explore: with this probability, they take any of the eligible candidates
    #[arg(long, value_name = "PROBABILITY", group = "exploration", requires = "explore")]
    epsilon: Option<f64>,
    /// How they explore: softmax of the utilities with this temperature, in their unit
    #[arg(long, value_name = "T", group = "exploration", requires = "explore")]
    temperature: Option<f64>,
    /// Let each server stop an arm by itself if it fails to answer more than this share of its requests, such as 0.01
    #[arg(long, value_name = "SHARE", group = "guard")]
    guard_errors: Option<f64>,
    /// Let each server stop an arm by itself if its calibration ratio (predicted clicks over clicks) leaves this band,
    /// such as 0.5:2. Servers see clicks only if their own serving log records them
    #[arg(long, value_name = "MIN:MAX", group = "guard", value_parser = parse_band)]
    guard_calibration: Option<[f64; 2]>,
    /// Which predictions may be clicked, for --guard-calibration: all that are recorded, or those with an impression
    #[arg(long, value_name = "WHICH", default_value = "impressions", value_parser = ["impressions", "predictions"])]
    guard_of: String,
    /// How many seconds a prediction waits for its click, for --guard-calibration
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
    guard_window: u64,
    /// The highest probability of stopping a generation that is within its bands
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.001, requires = "guard")]
    guard_false_stops: f64,
}

/// Change the shares of arms; the control arm gets the rest, and as few units as possible move
///
/// An arm that was stopped serves again.
#[derive(clap::Args)]
struct ShareArguments {
    /// The experiment file
    file: PathBuf,
    /// Arms and their new shares, such as wide=25% or wide=2500 (of 10,000)
    #[arg(value_name = "ARM=SHARE", required = true, value_parser = parse_named_share)]
    shares: Vec<(String, u32)>,
}

/// Stop an arm: its units get the control arm at once
#[derive(clap::Args)]
struct StopArguments {
    /// The experiment file
    file: PathBuf,
    /// Name of the arm
    arm: String,
}

/// Show the arms, their shares, and what running servers report
#[derive(clap::Args)]
struct StatusArguments {
    /// The experiment file
    file: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Something is wrong with an arm.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the arms' problems must be solved first")]
pub(crate) struct ArmsWrong(usize);

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check(arguments) => check(arguments),
        Command::Start(arguments) => start(arguments),
        Command::Share(arguments) => share(arguments),
        Command::Stop(arguments) => stop(arguments),
        Command::Status(arguments) => status(arguments),
    }
}

fn check(arguments: &CheckArguments) -> Result<(), Failure> {
    let (experiment, problems) = experiment::check(&arguments.file)?;
    say_arms(&experiment);
    for problem in &problems {
        note!("problem: {}", one_line(&problem.text));
        note!("  who must act: {}", problem.owner.word());
    }
    if !problems.is_empty() {
        return Err(ArmsWrong(problems.len()).into());
    }
    say!("the file and the stores of all arms are good");
    Ok(())
}

fn start(arguments: &StartArguments) -> Result<(), Failure> {
    let shadows = arguments.shadow.iter().map(|(arm, share)| {
        let state = ArmState::Shadow { share: *share };
        (Arm { state, ..arm.clone() }, 0)
    });
    let control = (arguments.control.clone(), 0);
    let arms = std::iter::once(control).chain(arguments.arm.iter().cloned()).chain(shadows).collect();
    let unit = arguments.unit.clone().map_or(Unit::Request, Unit::Field);
    let policies = (arguments.exploration(), arguments.guard());
    let experiment = experiment::start(&arguments.file, &arguments.name, unit, arguments.salt, arms, policies)?;
    say_arms(&experiment);
    say!("check the stores: omomi experiment check {}", arguments.file.display());
    Ok(())
}

impl StartArguments {
    fn exploration(&self) -> Option<Exploration> {
        let epsilon = self.epsilon.map(|epsilon| Method::EpsilonUniform { epsilon });
        let method = epsilon.or_else(|| self.temperature.map(|temperature| Method::Softmax { temperature }))?;
        Some(Exploration { share: self.explore?, method })
    }

    fn guard(&self) -> Option<Guard> {
        if self.guard_errors.is_none() && self.guard_calibration.is_none() {
            return None;
        }
        let of = if self.guard_of == "predictions" { Exposure::Predictions } else { Exposure::Impressions };
        let window = Duration::from_secs(self.guard_window);
        let calibration = self.guard_calibration.map(|[min, max]| CalibrationBand { min, max, of, window });
        let false_stop_probability = self.guard_false_stops;
        Some(Guard { max_error_share: self.guard_errors, calibration, false_stop_probability })
    }
}

fn share(arguments: &ShareArguments) -> Result<(), Failure> {
    say_change(&experiment::share(&arguments.file, &arguments.shares)?);
    Ok(())
}

fn stop(arguments: &StopArguments) -> Result<(), Failure> {
    say_change(&experiment::stop(&arguments.file, &arguments.arm)?);
    Ok(())
}

fn say_change(change: &Change) {
    say_arms(&change.after);
    let percent = f64::from(change.moved) * 100.0 / f64::from(BUCKET_COUNT);
    say!("{} of {} buckets moved: {percent:.2} % of the units", grouped(change.moved.into()), grouped(10_000));
    say!("servers obey at their next poll");
}

fn say_arms(experiment: &Experiment) {
    let unit = match &experiment.unit {
        Unit::Request => "each request".to_owned(),
        Unit::Field(field) => format!("field `{field}`"),
    };
    say!("experiment {}, version {}, unit: {unit}", experiment.name, experiment.version);
    let rows = experiment.arms.iter().enumerate().map(|(index, arm)| {
        let share = match arm.state {
            ArmState::Shadow { share } => share,
            ArmState::Serve | ArmState::Stopped => experiment.assignment.share(index),
        };
        let name = if index == experiment.control { format!("{} (control)", arm.name) } else { arm.name.clone() };
        vec![name, arm.state.word().to_owned(), percent_of(share), arm.store.display().to_string()]
    });
    say!("{}", table(&["arm", "state", "share", "store"], rows.collect()));
    if let Some(Exploration { share, method }) = experiment.exploration {
        let how = match method {
            Method::EpsilonUniform { epsilon } => format!("any candidate with probability {epsilon}"),
            Method::Softmax { temperature } => format!("softmax with temperature {temperature}"),
        };
        say!("explores: {} of the requests, {how}", percent_of(share));
    }
    if let Some(guard) = experiment.guard {
        if let Some(max) = guard.max_error_share {
            say!("guard: servers stop an arm that fails to answer more than {:.2} % of its requests", 100.0 * max);
        }
        if let Some(CalibrationBand { min, max, of, .. }) = guard.calibration {
            say!("guard: servers stop an arm with a calibration ratio outside {min} to {max}, by its {}", of.word());
        }
    }
}

fn percent_of(share: u32) -> String {
    format!("{:.2} %", f64::from(share) * 100.0 / f64::from(BUCKET_COUNT))
}

fn status(arguments: &StatusArguments) -> Result<(), Failure> {
    let experiment = experiment::read(&arguments.file)?;
    let reports = experiment::reports(&arguments.file);
    if arguments.json {
        let servers: Vec<_> = reports.into_iter().map(|(_, report)| report).collect();
        let report = json!({ "experiment": experiment.name, "version": experiment.version, "servers": servers });
        say!("{}", json_line(&report));
        return Ok(());
    }
    say_arms(&experiment);
    if reports.is_empty() {
        say!("no server has reported");
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut rows = Vec::new();
    for (name, report) in &reports {
        let age = now.saturating_sub(report["unix_seconds"].as_u64().unwrap_or(0));
        let version = report["version"].as_u64().unwrap_or(0);
        if version != experiment.version {
            note!("{}: still at version {version}", one_line(name));
        }
        for key in ["problem", "memory_problem"] {
            if let Some(text) = report[key]["text"].as_str() {
                note!("{}: {}", one_line(name), one_line(text));
            }
        }
        for arm in report["arms"].as_array().into_iter().flatten() {
            if let Some(text) = arm["guard_stop"]["text"].as_str() {
                note!("{}: {}", one_line(name), one_line(text));
                note!("  who must act: {}", Owner::Ml.word());
            }
            let number = |key: &str| grouped(arm[key].as_u64().unwrap_or(0));
            let text = |value: &Value| value.as_str().map_or_else(String::new, one_line);
            rows.push(vec![
                one_line(name),
                format!("{age} s"),
                text(&arm["name"]),
                if arm["is_ready"] == json!(true) { "yes".to_owned() } else { "no".to_owned() },
                arm["generation"].as_u64().map_or_else(String::new, |generation| generation.to_string()),
                text(&arm["logic_id"]),
                number("answered_count"),
                number("fell_back_count"),
                number("shadow_count"),
                number("shadow_skipped_count"),
            ]);
        }
    }
    let header = [
        "server",
        "report",
        "arm",
        "ready",
        "generation",
        "logic id",
        "answered",
        "by control instead",
        "as shadow",
        "skipped",
    ];
    say!("{}", table(&header, rows));
    Ok(())
}

fn parse_control(text: &str) -> Result<Arm, String> {
    let (name, store) = text.split_once('=').ok_or("expected ARM=STORE, such as current=feed-ctr")?;
    Ok(Arm { name: name.to_owned(), store: store.into(), state: ArmState::Serve })
}

fn parse_arm(text: &str) -> Result<(Arm, u32), String> {
    let expected = "expected ARM=STORE:SHARE, such as wide=feed-ctr-wide:10%";
    let (arm, share) = text.rsplit_once(':').ok_or(expected)?;
    Ok((parse_control(arm).map_err(|_| expected)?, parse_share(share)?))
}

fn parse_named_share(text: &str) -> Result<(String, u32), String> {
    let (name, share) = text.split_once('=').ok_or("expected ARM=SHARE, such as wide=25%")?;
    Ok((name.to_owned(), parse_share(share)?))
}

/// Parses a number of buckets, or a percentage with at most two decimals.
fn parse_share(text: &str) -> Result<u32, String> {
    let expected = || format!("expected a share such as 10% or 1000 (of {BUCKET_COUNT}), found {text:?}");
    let share = match text.strip_suffix('%') {
        Some(percent) => {
            let (whole, decimals) = percent.split_once('.').unwrap_or((percent, ""));
            let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if whole.is_empty() || decimals.len() > 2 || !is_digits(whole) || !is_digits(decimals) {
                return Err(expected());
            }
            format!("{whole}{decimals:0<2}").parse::<u32>().ok()
        }
        None => text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten(),
    };
    share.filter(|share| *share <= BUCKET_COUNT).ok_or_else(expected)
}

fn parse_band(text: &str) -> Result<[f64; 2], String> {
    let band = text.split_once(':').and_then(|(min, max)| Some([min.parse().ok()?, max.parse().ok()?]));
    band.ok_or_else(|| format!("expected MIN:MAX, such as 0.5:2, found {text:?}"))
}

fn parse_salt(text: &str) -> Result<u64, String> {
    let salt = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    salt.ok_or_else(|| "expected 16 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_buckets_or_percent() {
        let expected = [("1000", 1_000), ("10%", 1_000), ("0.5%", 50), ("12.34%", 1_234), ("100%", 10_000), ("0", 0)];
        for (text, share) in expected {
            assert_eq!(parse_share(text), Ok(share), "{text}");
        }
        for text in ["", "%", "10001", "100.01%", "1.234%", "-1", "+1", "1e3", ".5%", "a"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_arm_has_a_name_a_store_and_a_share() {
        let (arm, share) = parse_arm("wide=/models/feed:ctr:10%").unwrap();
        assert_eq!((arm.name.as_str(), arm.store.to_str(), share), ("wide", Some("/models/feed:ctr"), 1_000));
        assert!(parse_arm("wide").is_err() && parse_arm("wide:10%").is_err() && parse_control("wide").is_err());
    }
}
