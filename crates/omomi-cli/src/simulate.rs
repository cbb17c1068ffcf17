//! `omomi simulate`: shows on made-up logs with known truth how good the judgments are. A hidden command, for people
//! who change the gate or its settings.

use std::path::PathBuf;

use omomi_train::judge::gate::GateSettings;
use omomi_train::judge::power::{PowerCounts, PowerOptions, power};
use omomi_train::operate::publish::Verifier;
use omomi_train::simulate::{ACCIDENTS, Accident, Caught, MonthOptions, Noticed, WorldSpec, month, simulate_accidents};

use crate::Failure;
use crate::output::{note, one_line, say};
use crate::text::{grouped, table};

/// Show how often the gate passes, holds back, or cannot tell a candidate of known quality
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    power: PowerArguments,
}

#[derive(clap::Subcommand)]
enum What {
    Month(MonthArguments),
}

#[derive(clap::Args)]
struct PowerArguments {
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

/// Show how a month of daily training goes: healthy days that are held back, how far what is served is from the truth,
/// and which step notices which accident
#[derive(clap::Args)]
struct MonthArguments {
    /// Number of days that are judged
    #[arg(long, value_name = "COUNT", default_value_t = 31)]
    days: u32,
    /// Rows of a day
    #[arg(long, value_name = "COUNT", default_value_t = 40_000)]
    rows: u64,
    /// Mean click probability
    #[arg(long, value_name = "RATE", default_value_t = 0.1)]
    click_rate: f64,
    /// Number of worlds
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    seeds: u64,
    /// Seed of the first world
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first_seed: u64,
    /// Worlds that do not change at all
    #[arg(long)]
    unchanging: bool,
    /// Train without the times of the rows, so that the bias is that of the last rows
    #[arg(long)]
    without_times: bool,
    /// Let all accidents happen after that many days, instead of judging healthy days
    #[arg(long)]
    accidents: bool,
    /// Let each accident of logs happen to the log of every healthy day, and count on how many of them the profile
    /// notices it on that day
    #[arg(long, conflicts_with = "accidents")]
    on_every_day: bool,
    /// Only accidents whose name has one of these texts
    #[arg(long, value_name = "TEXT", num_args = 1..)]
    only: Vec<String>,
    /// Add the figures of all days to this file, one line of JSON each, to try other rules on them
    #[arg(long, value_name = "FILE", conflicts_with = "accidents")]
    figures: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        Some(What::Month(arguments)) => run_month(arguments),
        None => run_power(&arguments.power),
    }
}

fn run_power(arguments: &PowerArguments) -> Result<(), Failure> {
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
            let mut options = PowerOptions::new(clicks, worse / 100.0);
            options.seeds = arguments.seeds;
            options.click_rate = click_rate;
            let PowerCounts { passed, held_back, cannot_tell } = power(options, &settings);
            let share = |count: u64| format!("{:.0} %", 100.0 * count as f64 / arguments.seeds.max(1) as f64);
            rows.push(vec![grouped(clicks), format!("{worse} %"), share(passed), share(held_back), share(cannot_tell)]);
        }
    }
    say!("{}", table(&["clicks", "truly worse by", "passed", "held back", "cannot tell"], rows));
    Ok(())
}

fn run_month(arguments: &MonthArguments) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let is_named = |accident: &&Accident| {
        arguments.only.is_empty() || arguments.only.iter().any(|text| accident.name.contains(text))
    };
    let accidents: Vec<Accident> = ACCIDENTS.iter().filter(is_named).copied().collect();
    let mut noticed: Vec<Noticed> = Vec::new();
    for seed in (arguments.first_seed..).take(usize::try_from(arguments.seeds)?) {
        let folder = WorkFolder::of_seed(seed);
        let world = WorldSpec {
            seed,
            rows_per_day: arguments.rows,
            click_rate: arguments.click_rate,
            is_changing: !arguments.unchanging,
        };
        let mut options = MonthOptions::new(world, Verifier::this_program()?, &folder.0);
        options.days = arguments.days;
        options.with_times = !arguments.without_times;
        options.on_every_day = if arguments.on_every_day { accidents.clone() } else { Vec::new() };
        options.figures.clone_from(&arguments.figures);
        if arguments.accidents {
            show_accidents(seed, &options, &accidents)?;
            continue;
        }
        let month = month(&options, &mut |_| ())?;
        add(&mut noticed, &month.noticed);
        for (day, caught) in &month.held_back {
            note!("seed {seed}, day {day}: {}", words(caught));
        }
        let ratios = &month.calibration;
        let ends = [f64::min, f64::max].map(|end| ratios.iter().copied().reduce(end).unwrap_or(f64::NAN));
        rows.push(vec![
            seed.to_string(),
            format!("{} of {}", month.held_back.len(), month.days),
            format!("{:.2} %", 100.0 * month.excess()),
            format!("{:.3} to {:.3}", ends[0], ends[1]),
        ]);
        note!("{}", rows.last().map(|row| row.join(" | ")).unwrap_or_default());
    }
    if !arguments.accidents {
        say!("{}", table(&["seed", "healthy days held back", "log loss above the truth", "calibration"], rows));
    }
    if arguments.on_every_day {
        let row = |it: &Noticed| {
            let share = format!("{:.1} %", 100.0 * f64::from(it.noticed) / f64::from(it.days.max(1)));
            vec![it.accident.name.to_owned(), format!("{} of {}", it.noticed, it.days), share]
        };
        let rows = noticed.iter().map(row).collect();
        say!("\n{}", table(&["accident on every day", "noticed by the profile", "share"], rows));
    }
    Ok(())
}

/// Adds what was noticed in one world to that of the others.
fn add(sums: &mut Vec<Noticed>, of_world: &[Noticed]) {
    if sums.is_empty() {
        sums.extend(of_world);
        return;
    }
    for (sum, it) in sums.iter_mut().zip(of_world) {
        (sum.days, sum.noticed) = (sum.days + it.days, sum.noticed + it.noticed);
    }
}

/// A folder for the files of a world, which is removed at the end.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn of_seed(seed: u64) -> Self {
        Self(std::env::temp_dir().join(format!("omomi-simulate-{}-{seed}", std::process::id())))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn show_accidents(seed: u64, options: &MonthOptions, accidents: &[Accident]) -> Result<(), Failure> {
    let outcomes = simulate_accidents(options, accidents, &mut |_| ())?;
    let mut rows = Vec::new();
    for outcome in &outcomes {
        let accident = outcome.accident;
        let name = if accident.is_harmful { accident.name.to_owned() } else { format!("{} (harmless)", accident.name) };
        let (day, words) = match &outcome.caught {
            Some((day, caught)) => (day.to_string(), words(caught)),
            None => ("-".to_owned(), "published".to_owned()),
        };
        rows.push(vec![name, day, words]);
    }
    let shipped = outcomes.iter().filter(|outcome| outcome.accident.is_harmful && outcome.caught.is_none()).count();
    say!("{}\n", table(&["accident", "noticed on day", "by"], rows));
    say!("seed {seed}: {shipped} of {} accidents published", outcomes.len());
    Ok(())
}

fn words(caught: &Caught) -> String {
    let owner = caught.owner.map_or_else(String::new, |owner| format!(" [{}]", owner.word()));
    let text: String = one_line(&caught.words).chars().take(200).collect();
    format!("{}: {text}{owner}", caught.stage)
}
