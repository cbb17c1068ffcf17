//! `omomi ab`: reads an experiment out, or plans one.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use omomi::new_file::NewFile;
use omomi_train::operate::experiment;
use omomi_train::read_out::{
    Baseline, Block, BlockKind, Estimate, Metric, MetricReadOut, Plan, PlanOptions, ReadOut, ReadOutOptions, Revenue,
    SharesFrom, Validity, plan, read_out,
};
use serde_json::json;

use crate::Failure;
use crate::output::{note, one_line, print_exactly, say};
use crate::text::{grouped, parse_unix_ms, table, window_text};

/// Slices that are printed of each column; JSON has all.
const SHOWN_SLICES: usize = 20;

/// Compare the arms of an experiment, from joined logs
///
/// Reads outputs of `omomi log join`. Units (users, or requests) are the ones that were assigned to arms, so all rows
/// of a unit count together. Intervals hold at all times, however often anyone looks, unless --horizon is given.
///
/// The sample ratio is tested first: if the arms have not the units that were planned, nothing else is shown. Exit code
/// 3: the experiment is broken. 4: cannot tell yet.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  omomi ab --logs 'joined/*.parquet' --experiment-file wide.experiment
  omomi ab --logs 'joined/*.parquet' --unit user_id --shares control=5000,b=5000
  omomi ab --plan --unit user_id --baseline-rate 0.02 --impressions-per-unit 6 --effect 0.03
  omomi ab --plan --unit user_id --logs 'before/*.parquet' --effect 0.03")]
pub(crate) struct Arguments {
    /// Outputs of `omomi log join`, as paths or quoted patterns, in the order of time
    #[arg(long, value_name = "PATTERN", num_args = 1.., required_unless_present = "baseline_rate")]
    logs: Vec<String>,
    /// The file that servers read. It says experiment, unit, control arm and shares; rows that do not fit are refused
    #[arg(long, value_name = "FILE", conflicts_with_all = ["unit", "experiment", "control"])]
    experiment_file: Option<PathBuf>,
    /// Column of what was assigned to arms: a field, such as user_id, or request_id
    #[arg(long, value_name = "COLUMN", required_unless_present = "experiment_file")]
    unit: Option<String>,
    /// Experiment to read, if the logs have several
    #[arg(long, value_name = "NAME")]
    experiment: Option<String>,
    /// The arm that the others are compared with [default: control]
    #[arg(long, value_name = "ARM")]
    control: Option<String>,
    /// Planned shares of the arms, such as control=5000,b=5000 [default: from the experiment file, or from the buckets
    /// in the logs]
    #[arg(long, value_name = "ARM=SHARE,...", value_delimiter = ',', value_parser = parse_share)]
    shares: Vec<(String, u64)>,
    /// Column that is 1 for a click [default: rows with a click_delay_ms]
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// What counts as revenue: click-price, win-price or conversion-value
    #[arg(long, value_name = "WHAT", default_value = "click-price", value_parser = parse_revenue)]
    revenue: Revenue,
    /// Numeric column to compare, too: its mean over the rows that have a number
    #[arg(long = "metric", value_name = "COLUMN")]
    metrics: Vec<String>,
    /// Column by whose values the experiment is split, with a correction for the number of slices
    #[arg(long, value_name = "COLUMN")]
    by: Vec<String>,
    /// Metric of --by and of --plan: ctr, revenue, win-rate, impressions-per-unit, log-loss or calibration
    #[arg(long, value_name = "METRIC", default_value = "ctr", value_parser = parse_metric)]
    by_metric: Metric,
    /// Numeric column with what was known of the unit before the experiment, to make intervals narrower (CUPED)
    #[arg(long, value_name = "COLUMN", conflicts_with = "covariate_logs")]
    covariate: Option<String>,
    /// Joined logs from before the experiment, to make intervals narrower (CUPED)
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    covariate_logs: Vec<String>,
    /// Leave out rows before this time, such as 2026-10-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_unix_ms)]
    since: Option<i64>,
    /// Leave out rows from this time on
    #[arg(long, value_name = "TIME", value_parser = parse_unix_ms)]
    until: Option<i64>,
    /// Read out once, when this many units of all arms are there (from --plan): narrower, without any earlier look
    #[arg(long, value_name = "UNITS")]
    horizon: Option<u64>,
    /// At how many units always-valid intervals are narrowest. Choose it before the first look
    #[arg(long, value_name = "UNITS", default_value_t = Validity::NARROWEST_AT_UNITS, conflicts_with = "horizon")]
    narrowest_at: u64,
    /// Share of intervals that may miss the truth
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = parse_alpha)]
    alpha: f64,
    /// Write all figures as JSON, for `omomi report --ab`; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Replace the file of --json if it exists
    #[arg(long)]
    force: bool,
    /// Plan an experiment instead: how many units it takes
    #[arg(long, requires = "effect")]
    plan: bool,
    /// With --plan: the smallest relative effect to find, such as 0.03 for 3 %
    #[arg(long, value_name = "SHARE", requires = "plan")]
    effect: Option<f64>,
    /// With --plan: the probability of finding it
    #[arg(long, value_name = "SHARE", default_value_t = 0.8)]
    power: f64,
    /// With --plan: the click-through rate, if there is no log from before
    #[arg(long, value_name = "RATE", requires_all = ["plan", "impressions_per_unit"], conflicts_with = "logs")]
    baseline_rate: Option<f64>,
    /// With --plan: mean impressions of a unit
    #[arg(long, value_name = "N", requires = "baseline_rate")]
    impressions_per_unit: Option<f64>,
    /// With --baseline-rate: how many times as much clicks of a unit vary as independent ones
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    design_effect: f64,
}

/// The metrics are not shown.
#[derive(Debug)]
pub(crate) struct Blocked {
    what: &'static str,
    kind: BlockKind,
}

impl Blocked {
    /// Returns the failure of a result that is blocked.
    pub(crate) fn of(what: &'static str, blocks: &[Block]) -> Option<Self> {
        let is_broken = blocks.iter().any(|block| block.kind == BlockKind::Broken);
        let kind = if is_broken { BlockKind::Broken } else { BlockKind::CannotTell };
        (!blocks.is_empty()).then_some(Self { what, kind })
    }

    /// Returns the exit code.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self.kind {
            BlockKind::Broken => 3,
            BlockKind::CannotTell => 4,
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            BlockKind::Broken => write!(formatter, "{} is held back: its data are broken", self.what),
            BlockKind::CannotTell => write!(formatter, "{} cannot be told", self.what),
        }
    }
}

impl std::error::Error for Blocked {}

fn parse_share(text: &str) -> Result<(String, u64), String> {
    let parsed = text.split_once('=').and_then(|(arm, share)| Some((arm.to_owned(), share.parse().ok()?)));
    let share = parsed.filter(|(arm, share)| !arm.is_empty() && *share > 0);
    share.ok_or_else(|| "expected ARM=SHARE with a whole number above 0, such as control=5000".to_owned())
}

pub(crate) fn parse_revenue(text: &str) -> Result<Revenue, String> {
    let names = Revenue::ALL.map(Revenue::name).join(", ");
    Revenue::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| format!("expected one of {names}"))
}

fn parse_metric(text: &str) -> Result<Metric, String> {
    Ok(match text {
        "ctr" => Metric::Ctr,
        "revenue" => Metric::Revenue,
        "win-rate" => Metric::WinRate,
        "impressions-per-unit" => Metric::ImpressionsPerUnit,
        "log-loss" => Metric::NormalizedLogLoss,
        "calibration" => Metric::Calibration,
        _ => return Err("expected ctr, revenue, win-rate, impressions-per-unit, log-loss or calibration".to_owned()),
    })
}

pub(crate) fn parse_alpha(text: &str) -> Result<f64, String> {
    let alpha = text.parse().ok().filter(|alpha: &f64| *alpha > 0.0 && *alpha < 0.5);
    alpha.ok_or_else(|| "expected a share above 0 and below 0.5, such as 0.05".to_owned())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = match &arguments.experiment_file {
        Some(path) => ReadOutOptions::of_file(&arguments.logs, experiment::read(path)?),
        None => ReadOutOptions::new(&arguments.logs, arguments.unit.as_deref().unwrap_or_default()).with(|it| {
            it.experiment.clone_from(&arguments.experiment);
            it.control.clone_from(&arguments.control);
        }),
    };
    let options = options.with(|it| {
        it.shares.clone_from(&arguments.shares);
        it.label.clone_from(&arguments.label);
        it.revenue = arguments.revenue;
        it.metrics.clone_from(&arguments.metrics);
        it.by.clone_from(&arguments.by);
        it.by_metric = arguments.by_metric.clone();
        it.covariate.clone_from(&arguments.covariate);
        it.covariate_logs.clone_from(&arguments.covariate_logs);
        it.since_us = arguments.since.map(|ms| ms.saturating_mul(1_000));
        it.until_us = arguments.until.map(|ms| ms.saturating_mul(1_000));
        it.validity = match arguments.horizon {
            Some(horizon_units) => Validity::Once { horizon_units },
            None => Validity::Always { narrowest_at_units: arguments.narrowest_at },
        };
        it.alpha = arguments.alpha;
    });
    if let Some(effect) = arguments.effect {
        return run_plan(arguments, &options, effect);
    }
    let found = read_out(&options)?;
    if print_or_write(arguments.json.as_deref(), arguments.force, &serde_json::to_value(&found)?)? {
        print_read_out(&found);
        note_json(arguments.json.as_deref());
    } else {
        print_blocks(&found.blocked);
    }
    Blocked::of("the read-out", &found.blocked).map_or(Ok(()), |blocked| Err(blocked.into()))
}

/// Prints a value as JSON if `path` is `-`, or writes it to a file. Returns whether text is to be printed, too.
pub(crate) fn print_or_write(path: Option<&Path>, replace: bool, value: &serde_json::Value) -> Result<bool, Failure> {
    let Some(path) = path else { return Ok(true) };
    if path.as_os_str() == "-" {
        crate::refusal::print_json(value);
        return Ok(false);
    }
    let written = NewFile::create(path, replace).and_then(|new| {
        new.file().write_all(format!("{value:#}\n").as_bytes())?;
        new.commit()
    });
    written.map_err(|error| format!("{}: cannot write the file: {error}", path.display()))?;
    Ok(true)
}

pub(crate) fn note_json(path: Option<&Path>) {
    if let Some(path) = path {
        say!("\nAll figures: {}", path.display());
    }
}

/// Prints why there are no metrics, on standard error.
pub(crate) fn print_blocks(blocks: &[Block]) {
    for block in blocks {
        note!("{}", one_line(&block.message));
        block.causes.iter().for_each(|cause| note!("  possible cause: {}", one_line(cause)));
        note!("  who must act: {}", block.owner);
        note!("  what to do: {}", one_line(&block.action));
    }
}

fn print_read_out(found: &ReadOut) {
    let unit_count: u64 = found.arms.iter().map(|arm| arm.units).sum();
    say!(
        "Experiment {}: {} rows, {} units ({}), {}\n",
        one_line(&found.experiment),
        grouped(found.row_count),
        grouped(unit_count),
        one_line(&found.unit),
        window_text((found.window_us[0], found.window_us[1]))
    );
    let rows = found.arms.iter().map(|arm| {
        let share = arm.units as f64 / unit_count.max(1) as f64;
        let name = if arm.arm == found.control { format!("{} (control)", arm.arm) } else { arm.arm.clone() };
        let planned = arm.planned_share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0));
        vec![name, grouped(arm.units), format!("{:.2} %", share * 100.0), planned, grouped(arm.rows)]
    });
    say!("{}\n", table(&["arm", "units", "share", "planned", "rows"], rows.collect()));
    match found.sample_ratio {
        Some(test) => say!(
            "Sample ratio: {} (p = {:.3}; planned shares {})\n",
            if test.passes() { "as planned" } else { "WRONG" },
            test.p_value,
            match found.shares_from {
                SharesFrom::Given => "as given",
                SharesFrom::File => "of the experiment file",
                SharesFrom::Buckets | SharesFrom::Nothing => "from the buckets",
            }
        ),
        None => say!("Sample ratio: not known\n"),
    }
    for (reason, count) in &found.left_out {
        say!("left out: {} rows {reason}", grouped(*count));
    }
    found.notes.iter().for_each(|text| say!("note: {}", one_line(text)));
    print_blocks(&found.blocked);
    if !found.blocked.is_empty() {
        return;
    }
    let validity = match found.validity {
        Validity::Always { narrowest_at_units } => {
            format!("hold at all times together, and are narrowest at {} units", grouped(narrowest_at_units))
        }
        Validity::Once { .. } => "hold once, now that the horizon is reached".to_owned(),
    };
    say!("{:.0} % intervals {validity}\n", (1.0 - found.alpha) * 100.0);
    say!("{}", metric_table(found));
    for metric in found.metrics.iter().filter(|metric| metric.note.is_some()) {
        say!("note: {}: {}", one_line(&metric.metric), one_line(metric.note.as_deref().unwrap_or_default()));
    }
    if let Some(slices) = &found.slices {
        let mut shown: Vec<(&str, usize)> = Vec::new();
        let mut rows = Vec::new();
        for slice in &slices.slices {
            match shown.last_mut() {
                Some((column, count)) if *column == slice.column => *count += 1,
                _ => shown.push((&slice.column, 1)),
            }
            if shown.last().is_some_and(|(_, count)| *count > SHOWN_SLICES) {
                continue;
            }
            rows.push(vec![
                format!("{} = {}", slice.column, slice.value.as_deref().unwrap_or("(none)")),
                slice.arm.clone(),
                grouped(slice.units.iter().sum()),
                interval(slice.relative, 100.0, true, " %"),
                slice.p_value.map_or_else(|| "-".to_owned(), probability),
            ]);
        }
        let header = ["slice", "arm", "units", "relative difference", "p (Holm)"];
        say!("\n{} by slice, {} comparisons\n", slices.metric, slices.comparisons);
        say!("{}", table(&header, rows));
        let hidden: usize = shown.iter().map(|(_, count)| count.saturating_sub(SHOWN_SLICES)).sum();
        if hidden > 0 {
            say!("... and {} more: see --json", grouped(hidden as u64));
        }
    }
}

fn metric_table(found: &ReadOut) -> String {
    let mut rows = Vec::new();
    for metric in &found.metrics {
        rows.extend(metric_rows(found, metric));
    }
    table(&["metric", "arm", "value", "difference", "relative", "p"], rows)
}

fn metric_rows(found: &ReadOut, metric: &MetricReadOut) -> Vec<Vec<String>> {
    let name = |index: usize| match (index, &found.currency) {
        (0, Some(currency)) if metric.metric.starts_with("revenue") => format!("{} ({currency})", metric.metric),
        (0, _) => metric.metric.clone(),
        _ => String::new(),
    };
    let arms = found.arms.iter().zip(&metric.arms).enumerate();
    arms.map(|(index, (arm, value))| {
        let difference = index.checked_sub(1).and_then(|place| metric.differences.get(place)?.as_ref());
        let p_value = difference.and_then(|it| it.p_value).map(probability);
        let reduction = difference.and_then(|it| it.variance_reduction);
        let reduced = reduction.map_or_else(String::new, |it| format!(" [variance -{:.0} %]", it * 100.0));
        vec![
            name(index),
            arm.arm.clone(),
            interval(*value, 1.0, false, ""),
            interval(difference.map(|it| it.absolute), 1.0, true, "") + &reduced,
            interval(difference.and_then(|it| it.relative), 100.0, true, " %"),
            p_value.unwrap_or_else(|| if index == 0 { String::new() } else { "-".to_owned() }),
        ]
    })
    .collect()
}

/// Formats a p-value.
fn probability(p_value: f64) -> String {
    if p_value < 0.000_1 { "< 0.0001".to_owned() } else { format!("{p_value:.4}") }
}

/// Formats an estimate with its interval.
pub(crate) fn interval(estimate: Option<Estimate>, factor: f64, has_sign: bool, unit: &str) -> String {
    let Some(estimate) = estimate else { return "-".to_owned() };
    let figure = |value: f64| {
        let value = value * factor;
        // Five significant digits of what is small.
        let decimals = if value.abs() >= 100.0 {
            2
        } else if value.abs() >= 1.0 || factor > 1.0 {
            3
        } else {
            6
        };
        if has_sign { format!("{value:+.decimals$}") } else { format!("{value:.decimals$}") }
    };
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => {
            format!("{}{unit} ({} to {})", figure(estimate.value), figure(low), figure(high))
        }
        _ => format!("{}{unit} (no interval)", figure(estimate.value)),
    }
}

fn run_plan(arguments: &Arguments, options: &ReadOutOptions, effect: f64) -> Result<(), Failure> {
    let shares = match &options.planned_shares()[..] {
        [] => vec![("control".to_owned(), 5_000), ("treatment".to_owned(), 5_000)],
        given => control_first(given, options.control.as_deref())?,
    };
    let baseline = match arguments.baseline_rate.zip(arguments.impressions_per_unit) {
        Some((rate, impressions)) => Baseline::of_ctr(rate, impressions, arguments.design_effect)?,
        None => Baseline::of_logs(options, &arguments.by_metric)?,
    };
    let found = plan(baseline, PlanOptions { effect, power: arguments.power, alpha: arguments.alpha, shares })?;
    let metric = if arguments.baseline_rate.is_some() { "ctr" } else { arguments.by_metric.name() };
    let value = json!({ "plan": &found, "metric": metric });
    if print_or_write(arguments.json.as_deref(), arguments.force, &value)? {
        print_plan(&found, metric);
        note_json(arguments.json.as_deref());
    }
    Ok(())
}

/// Returns the shares with the control arm first.
fn control_first(shares: &[(String, u64)], control: Option<&str>) -> Result<Vec<(String, u64)>, Failure> {
    let wanted = control.unwrap_or("control");
    let mut shares = shares.to_vec();
    let place = shares.iter().position(|(arm, _)| arm == wanted);
    let place = place
        .ok_or_else(|| format!("--shares: expected the control arm `{wanted}`, found none; name it with --control"))?;
    let control = shares.remove(place);
    shares.insert(0, control);
    Ok(shares)
}

fn print_plan(found: &Plan, metric: &str) {
    let source = found.baseline.units.map_or_else(String::new, |units| format!(", from {} units", grouped(units)));
    let mut text = table(
        &[],
        vec![
            vec!["metric".to_owned(), format!("{metric} = {:.6}{source}", found.baseline.value)],
            vec!["deviation of a unit".to_owned(), format!("{:.6}", found.baseline.unit_deviation)],
            vec![
                "smallest effect".to_owned(),
                format!(
                    "{:+.2} %, found with a probability of {:.0} %",
                    found.options.effect * 100.0,
                    found.options.power * 100.0
                ),
            ],
            vec!["units together".to_owned(), grouped(found.units)],
        ],
    );
    for (arm, units) in &found.units_by_arm {
        text.push_str(&format!("\n  {}: {}", one_line(arm), grouped(*units)));
    }
    text.push_str(&format!(
        "\n\nRead out with --horizon {}, once, when that many units are there.\nOr with --narrowest-at {} at any time: \
         the intervals are then {:.2} times as wide at that moment.\n",
        found.units, found.units, found.always_valid_factor
    ));
    print_exactly(text.as_bytes());
}
