//! Reads an experiment out of joined logs.

use std::collections::HashMap;

use omomi::experiment::Experiment;

use super::blocks::{blocks, notes};
use super::comparison::{Difference, MIN_CLICKS, Past, difference, estimate};
use super::error::ReadOutError;
use super::fit::{Fit, planned_shares, unit_column};
use super::interval::{Validity, Width, holm};
use super::metric::{
    CLICKS, FIXED_COUNT, IMPRESSIONS, LOSS, Metric, PREDICTIONS, PROBABILITY, REVENUE, SCORED, SCORED_CLICKS, WINS,
};
use super::moments::Moments;
use super::result::{
    ArmDifference, ArmUnits, Look, LookMetric, MetricReadOut, ReadOut, SharesFrom, SliceDifference, SliceReadOut,
};
use super::rows::{Columns, More, Named, Purpose, Revenue, Row, each_row};
use super::sample_ratio::sample_ratio;
use super::survey::{REPLACED, Selection, Survey};
use super::units::Units;
use crate::evaluate::probability_log_loss;

/// Fewest units per bucket for planned shares from buckets: then a bucket without a unit is rarer than 1 %.
const MIN_UNITS_PER_BUCKET: f64 = 5.0;
/// Most values of a column that are slices of their own.
const MAX_SLICES: usize = 1_000;
/// Most looks.
const MAX_LOOKS: i64 = 50;
const MINUTE_US: i64 = 60_000_000;

/// What is read out, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadOutOptions {
    /// Patterns of outputs of `omomi log join`.
    pub logs: Vec<String>,
    /// Column of the unit: what is assigned to an arm, such as a user, or `request_id`.
    pub unit: String,
    /// The experiment, if the logs have several.
    pub experiment: Option<String>,
    /// The control arm. `None`: the one with the name `control`.
    pub control: Option<String>,
    /// The planned share of each arm, in any unit. Empty: from the experiment file, or from the buckets of the logs.
    pub shares: Vec<(String, u64)>,
    /// The experiment file. Rows that do not fit it are an error.
    pub file: Option<Experiment>,
    /// Column that is 1 for a click. `None`: `click_delay_ms` has a value.
    pub label: Option<String>,
    /// What counts as revenue.
    pub revenue: Revenue,
    /// Numeric columns to compare, too.
    pub metrics: Vec<String>,
    /// Columns by whose values the first metric is split.
    pub by: Vec<String>,
    /// The metric that is split by columns.
    pub by_metric: Metric,
    /// Numeric column with what was known of the unit before the experiment.
    pub covariate: Option<String>,
    /// Logs from before the experiment, from which the covariates are computed.
    pub covariate_logs: Vec<String>,
    /// Leaves out rows before this time, in microseconds since 1970-01-01 UTC.
    pub since_us: Option<i64>,
    /// Leaves out rows from this time on.
    pub until_us: Option<i64>,
    /// At which moments the intervals hold.
    pub validity: Validity,
    /// The share of intervals that may miss the truth.
    pub alpha: f64,
}

impl ReadOutOptions {
    /// Returns options for always-valid intervals of 95 %.
    #[must_use]
    pub fn new(logs: &[String], unit: &str) -> Self {
        Self {
            logs: logs.to_vec(),
            unit: unit.to_owned(),
            experiment: None,
            control: None,
            shares: Vec::new(),
            file: None,
            label: None,
            revenue: Revenue::ClickPrice,
            metrics: Vec::new(),
            by: Vec::new(),
            by_metric: Metric::Ctr,
            covariate: None,
            covariate_logs: Vec::new(),
            since_us: None,
            until_us: None,
            validity: Validity::Always { narrowest_at_units: Validity::NARROWEST_AT_UNITS },
            alpha: 0.05,
        }
    }

    /// Returns options for the experiment of a file: its name, unit, control arm and shares are those of the file.
    #[must_use]
    pub fn of_file(logs: &[String], file: Experiment) -> Self {
        Self::new(logs, unit_column(&file)).with(|it| {
            it.experiment = Some(file.name.clone());
            it.control = file.arms.get(file.control).map(|arm| arm.name.clone());
            it.file = Some(file);
        })
    }

    /// Returns the planned shares that were given, or those of the experiment file.
    #[must_use]
    pub fn planned_shares(&self) -> Vec<(String, u64)> {
        match &self.file {
            Some(file) if self.shares.is_empty() => planned_shares(file),
            _ => self.shares.clone(),
        }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn named(&self, purpose: Purpose) -> Named<'_> {
        let covariate = self.covariate.iter().filter(|_| purpose == Purpose::Arms);
        let slices = if purpose == Purpose::Arms { &self.by[..] } else { &[] };
        Named {
            unit: &self.unit,
            label: self.label.as_deref(),
            revenue: self.revenue,
            numbers: self.metrics.iter().chain(covariate).map(String::as_str).collect(),
            slices: slices.iter().map(String::as_str).collect(),
            purpose,
        }
    }

    /// Number of sums of a unit: those of the metrics, then the covariate.
    fn width(&self) -> usize {
        FIXED_COUNT + 2 * self.metrics.len() + usize::from(self.covariate.is_some())
    }

    fn all_metrics(&self) -> Vec<Metric> {
        let columns = self.metrics.iter().enumerate().map(|(index, name)| Metric::Column(index, name.clone()));
        Metric::standard().into_iter().chain(columns).collect()
    }
}

/// Adds a row to the sums of its unit.
struct Adder<'a> {
    options: &'a ReadOutOptions,
    of_impressions: bool,
    currency: Option<String>,
}

impl Adder<'_> {
    fn add(&self, sums: &mut [f64], row: &Row<'_>, more: &More<'_>) {
        sums[PREDICTIONS] += 1.0;
        sums[WINS] += f64::from(u8::from(row.is_won));
        if row.is_shown || !self.of_impressions {
            let click = f64::from(u8::from(row.is_clicked));
            sums[IMPRESSIONS] += 1.0;
            sums[CLICKS] += click;
            if let Some(probability) = row.probability {
                sums[SCORED] += 1.0;
                sums[SCORED_CLICKS] += click;
                sums[LOSS] += probability_log_loss(probability, row.is_clicked);
                sums[PROBABILITY] += probability;
            }
        }
        sums[REVENUE] += row.revenue_micros.unwrap_or(0.0) / 1e6;
        for index in 0..self.options.metrics.len() {
            if let Some(number) = more.number(index) {
                sums[FIXED_COUNT + 2 * index] += number;
                sums[FIXED_COUNT + 2 * index + 1] += 1.0;
            }
        }
        if self.options.covariate.is_some() {
            let index = self.options.metrics.len();
            // It is the same in every row of the unit; the last one counts.
            if let Some(number) = more.number(index) {
                sums[FIXED_COUNT + 2 * index] = number;
            }
        }
    }

    fn check_currency(&mut self, row: &Row<'_>) -> Result<(), ReadOutError> {
        match (&self.currency, row.currency) {
            (Some(one), Some(other)) if one != other => {
                Err(ReadOutError::SeveralCurrencies { one: one.clone(), other: other.to_owned() })
            }
            (None, Some(currency)) => {
                self.currency = Some(currency.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The units of the values of one column.
#[derive(Default)]
struct Slices {
    by_value: HashMap<Option<String>, Units>,
    /// The rows of all further values.
    further: Option<Units>,
}

impl Slices {
    fn units_of(&mut self, value: Option<&str>, width: usize) -> &mut Units {
        let value = value.map(str::to_owned);
        if self.by_value.len() >= MAX_SLICES && !self.by_value.contains_key(&value) {
            return self.further.get_or_insert_with(|| Units::new(width));
        }
        self.by_value.entry(value).or_insert_with(|| Units::new(width))
    }
}

/// Everything that was read.
struct Reading<'a> {
    options: &'a ReadOutOptions,
    /// The control arm first.
    arms: Vec<String>,
    units: Units,
    past: Option<Units>,
    metrics: Vec<Metric>,
}

impl Reading<'_> {
    fn past_place(&self) -> Past {
        match (&self.past, &self.options.covariate) {
            (Some(_), _) => Past::Sums(self.options.width()),
            (None, Some(_)) => Past::Number(self.options.width() - 1),
            (None, None) => Past::Nothing,
        }
    }

    /// Returns the moments of each arm. Units that were in several arms count in none.
    fn moments(&self) -> Vec<Moments> {
        let past = self.past.as_ref().map(|past| (past, self.options.width()));
        self.units.moments(self.arms.len(), |_, arm| Some(arm), past)
    }

    fn slice_moments(&self, slice: &Units) -> Vec<Moments> {
        slice.moments(self.arms.len(), |unit, _| self.units.arm_of(unit), None)
    }

    fn difference(&self, metric: &Metric, moments: &[Moments], arm: usize, width: &Width) -> Option<Difference> {
        let layout = (self.options.width(), self.past_place());
        difference(metric, (&moments[0], &moments[arm]), layout, moments, width)
    }

    fn look(&self, until_us: i64, shares: Option<&[f64]>, width: Option<&Width>) -> Look {
        let moments = self.moments();
        let units: Vec<u64> = moments.iter().map(Moments::unit_count).collect();
        let of_metric = |metric: &Metric, width: &Width| {
            let differences =
                (1..self.arms.len()).map(|arm| self.difference(metric, &moments, arm, width)).collect::<Vec<_>>();
            LookMetric {
                arms: moments.iter().map(|arm| estimate(metric, arm, self.options.width(), width)).collect(),
                differences: differences.iter().map(|it| it.map(|it| it.absolute)).collect(),
                relative: differences.iter().map(|it| it.and_then(|it| it.relative)).collect(),
            }
        };
        Look {
            until_us,
            sample_ratio_p_value: shares.and_then(|shares| sample_ratio(&units, shares)).map(|test| test.p_value),
            metrics: width
                .map_or_else(Vec::new, |width| self.metrics.iter().map(|metric| of_metric(metric, width)).collect()),
            units,
        }
    }
}

/// Reads an experiment out of logs. A read-out that is [blocked](ReadOut::blocked) has no metrics.
///
/// # Errors
///
/// Returns [`ReadOutError`] if the logs cannot be read, or are not those of one experiment with two arms.
pub fn read_out(options: &ReadOutOptions) -> Result<ReadOut, ReadOutError> {
    let columns = Columns::of(&options.logs, &options.named(Purpose::Arms))?;
    let selection =
        Selection { experiment: options.experiment.as_deref(), since_us: options.since_us, until_us: options.until_us };
    let fit = options.file.as_ref();
    let fit = fit.map(|file| Fit::new(file, options.shares.is_empty(), !columns.is_unit_hashed()));
    let survey = Survey::of(&options.logs, &columns, selection, fit)?;
    let arms = arms_of(&survey, options.control.as_deref())?;
    let (shares, shares_from) = given_shares(options, &arms)?;
    let mut reading =
        Reading { options, units: Units::new(options.width()), past: None, metrics: options.all_metrics(), arms };
    let width = Width::new(options.validity, options.alpha);
    // Intervals that hold once must not be looked at before.
    let look_width = matches!(options.validity, Validity::Always { .. }).then_some(width);
    let mut adder = Adder { options, of_impressions: survey.of_impressions, currency: None };
    let mut slices: Vec<Slices> = options.by.iter().map(|_| Slices::default()).collect();
    let mut left_out = survey.left_out.clone();
    let step_us = look_step_us(survey.first_us, survey.last_us);
    let mut next_us = (survey.first_us.div_euclid(step_us) + 1) * step_us;
    let mut looks = Vec::new();
    if !options.covariate_logs.is_empty() {
        // The covariates of looks need the past first, of units that are not known yet: so all of it is read.
        reading.past = Some(read_past(options, survey.first_us)?);
    }
    each_row(&options.logs, &columns, &mut |row, more| {
        let Ok((unit, arm)) = selection.of(row) else { return Ok(()) };
        if survey.is_replaced(row) {
            *left_out.entry(REPLACED).or_default() += 1;
            return Ok(());
        }
        if survey.is_in_order && !row.is_late && row.time_us >= next_us {
            looks.push(reading.look(next_us, shares.as_deref(), look_width.as_ref()));
            next_us = (row.time_us.div_euclid(step_us) + 1) * step_us;
        }
        adder.check_currency(row)?;
        let place = reading.arms.iter().position(|known| known == arm).unwrap_or(0);
        let arm = u16::try_from(place).unwrap_or(0);
        adder.add(reading.units.sums_of(unit, arm), row, more);
        for (index, slices) in slices.iter_mut().enumerate() {
            let units = slices.units_of(more.slice(index), options.width());
            adder.add(units.sums_of(unit, arm), row, more);
        }
        Ok(())
    })?;
    let moments = reading.moments();
    let unit_counts: Vec<u64> = moments.iter().map(Moments::unit_count).collect();
    let (shares, shares_from) = match shares {
        Some(shares) => (Some(shares), shares_from),
        None => bucket_shares(&survey, &reading.arms, &unit_counts),
    };
    if survey.is_in_order {
        // Looks of the time before the shares were known get their test here.
        for look in &mut looks {
            let test = shares.as_deref().and_then(|shares| sample_ratio(&look.units, shares));
            look.sample_ratio_p_value = test.map(|test| test.p_value);
        }
        looks.push(reading.look(survey.last_us + 1, shares.as_deref(), look_width.as_ref()));
    }
    let test = shares.as_deref().and_then(|shares| sample_ratio(&unit_counts, shares));
    let all_shares = shares.as_ref().map(|shares| shares.iter().sum::<f64>());
    let arm_units = reading.arms.iter().enumerate().map(|(index, arm)| {
        let known = survey.arms.get(arm).cloned().unwrap_or_default();
        ArmUnits {
            arm: arm.clone(),
            units: unit_counts[index],
            rows: known.row_count,
            planned_share: shares.as_ref().zip(all_shares).map(|(shares, all)| shares[index] / all),
            window_us: [known.first_us, known.last_us],
        }
    });
    let mut read_out = ReadOut {
        version: ReadOut::VERSION,
        experiment: survey.experiment.clone(),
        unit: options.unit.clone(),
        control: reading.arms[0].clone(),
        validity: options.validity,
        alpha: options.alpha,
        window_us: [survey.first_us, survey.last_us],
        row_count: survey.row_count,
        left_out: left_out.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        of_impressions: survey.of_impressions,
        revenue: options.revenue.name().to_owned(),
        currency: adder.currency.clone(),
        arms: arm_units.collect(),
        units_in_several_arms: reading.units.several_count(),
        shares_from,
        sample_ratio: test,
        blocked: Vec::new(),
        notes: Vec::new(),
        metrics: Vec::new(),
        slices: None,
        looks,
        bytes_per_unit: reading.units.len_bytes() / (reading.units.len() as u64).max(1),
    };
    read_out.notes = notes(&read_out, &survey);
    read_out.blocked = blocks(&read_out, &survey);
    if read_out.blocked.is_empty() {
        let context = Notes { columns: &columns, options };
        let of = |metric: &Metric| metric_read_out(&reading, metric, &moments, &width, &context);
        read_out.metrics = reading.metrics.iter().map(of).collect();
        read_out.slices = (!options.by.is_empty()).then(|| slice_read_out(&reading, &slices, width));
    } else {
        read_out.looks.iter_mut().for_each(|look| look.metrics.clear());
    }
    Ok(read_out)
}

/// Returns the arms, the control arm first.
fn arms_of(survey: &Survey, control: Option<&str>) -> Result<Vec<String>, ReadOutError> {
    let mut arms: Vec<String> = survey.arms.keys().cloned().collect();
    if let [arm] = &arms[..] {
        return Err(ReadOutError::OneArm { arm: arm.clone() });
    }
    let wanted = control.unwrap_or("control");
    let Some(place) = arms.iter().position(|arm| arm == wanted) else {
        return Err(ReadOutError::NoControl { expected: control.map(str::to_owned), found: arms });
    };
    let control = arms.remove(place);
    arms.insert(0, control);
    Ok(arms)
}

/// Returns the shares that the options or the file give, in the order of the arms: each arm of the logs has one, and no
/// other arm.
fn given_shares(options: &ReadOutOptions, arms: &[String]) -> Result<(Option<Vec<f64>>, SharesFrom), ReadOutError> {
    let shares = options.planned_shares();
    let shares_from = if options.shares.is_empty() { SharesFrom::File } else { SharesFrom::Given };
    if shares.is_empty() {
        return Ok((None, SharesFrom::Nothing));
    }
    let mut names: Vec<String> = shares.iter().map(|(arm, _)| arm.clone()).collect();
    let mut found = arms.to_vec();
    names.sort();
    found.sort();
    if names != found {
        return Err(ReadOutError::OtherArms { expected: names, found });
    }
    let share = |arm: &String| shares.iter().find(|(name, _)| name == arm).map_or(0.0, |(_, it)| *it as f64);
    Ok((Some(arms.iter().map(share).collect()), shares_from))
}

/// Returns the shares of the buckets, if the log has so many units that every bucket must have come up.
fn bucket_shares(survey: &Survey, arms: &[String], unit_counts: &[u64]) -> (Option<Vec<f64>>, SharesFrom) {
    let counts = arms.iter().map(|arm| survey.arms.get(arm).map_or(0, |arm| arm.buckets.len()));
    let counts: Vec<usize> = counts.collect();
    let all = counts.iter().sum::<usize>() as f64;
    let units = unit_counts.iter().sum::<u64>() as f64;
    if all == 0.0 || counts.contains(&0) || units < all * MIN_UNITS_PER_BUCKET {
        return (None, SharesFrom::Nothing);
    }
    (Some(counts.into_iter().map(|count| count as f64).collect()), SharesFrom::Buckets)
}

/// Returns the time between two looks: the shortest round one with at most [`MAX_LOOKS`] looks.
fn look_step_us(first_us: i64, last_us: i64) -> i64 {
    let steps = [1, 5, 15, 60, 180, 360, 720, 1_440, 10_080].map(|minutes| minutes * MINUTE_US);
    let span = last_us.saturating_sub(first_us);
    steps.into_iter().find(|step| span / step < MAX_LOOKS).unwrap_or_else(|| span / MAX_LOOKS + 1)
}

/// Reads what units did before the experiment.
fn read_past(options: &ReadOutOptions, started_us: i64) -> Result<Units, ReadOutError> {
    let columns = Columns::of(&options.covariate_logs, &options.named(Purpose::Past))?;
    let without = ReadOutOptions { covariate: None, ..options.clone() };
    // The same rule of what an impression is needs the same log: here, it follows from the earlier one.
    let mut of_impressions = false;
    each_row(&options.covariate_logs, &columns, &mut |row, _| {
        of_impressions |= row.is_shown;
        Ok(())
    })?;
    let adder = Adder { options: &without, of_impressions, currency: None };
    let mut units = Units::new(options.width());
    each_row(&options.covariate_logs, &columns, &mut |row, more| {
        // What happened after the start may be an effect of the arms.
        if let Some(unit) = row.unit.filter(|_| row.time_us < started_us) {
            adder.add(units.sums_of(unit, 0), row, more);
        }
        Ok(())
    })?;
    Ok(units)
}

/// What the notes of metrics say.
struct Notes<'a> {
    columns: &'a Columns,
    options: &'a ReadOutOptions,
}

fn metric_read_out(
    reading: &Reading<'_>,
    metric: &Metric,
    moments: &[Moments],
    width: &Width,
    context: &Notes<'_>,
) -> MetricReadOut {
    let total = |index: usize| moments.iter().map(|arm| arm.total(index)).sum::<f64>();
    let absent = match metric {
        Metric::Revenue if total(REVENUE) == 0.0 => Some(format!(
            "no row has a value in `{}`: events need a price, or choose another revenue with --revenue",
            context.options.revenue.columns()[0]
        )),
        Metric::WinRate if !context.columns.has_wins() || total(WINS) == 0.0 => {
            Some("no row was won: `omomi log join` writes `won` from events of the kind win".to_owned())
        }
        Metric::NormalizedLogLoss | Metric::Calibration if !context.columns.has_probabilities() => {
            Some("the logs have no column `probability`, which `omomi log join` writes".to_owned())
        }
        Metric::NormalizedLogLoss | Metric::Calibration if total(SCORED) == 0.0 => {
            Some("no impression has a probability of a model".to_owned())
        }
        Metric::Column(index, name) if total(FIXED_COUNT + 2 * index + 1) == 0.0 => {
            Some(format!("no row has a finite number in `{name}`"))
        }
        _ => None,
    };
    if absent.is_some() {
        let (arms, differences) = (vec![None; moments.len()], vec![None; moments.len() - 1]);
        return MetricReadOut { metric: metric.name().to_owned(), arms, differences, note: absent };
    }
    let few_clicks = |arm: &Moments| metric.needs_clicks() && arm.total(CLICKS) + 1e-6 < MIN_CLICKS;
    let named = |is_so: &dyn Fn(&Moments) -> bool| -> Option<String> {
        let arms = reading.arms.iter().zip(moments).filter(|(_, moments)| is_so(moments));
        let names: Vec<&str> = arms.map(|(arm, _)| arm.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let is_alike = |arm: &Moments| {
        estimate(metric, arm, context.options.width(), width).is_some_and(|estimate| estimate.low.is_none())
    };
    let reasons = [
        (named(&few_clicks), format!("arms with fewer than {MIN_CLICKS} clicks")),
        (named(&|arm| arm.unit_count() < 2), "arms with fewer than 2 units".to_owned()),
        (named(&is_alike), "arms whose units are all alike".to_owned()),
    ];
    let reason = reasons.into_iter().find_map(|(arms, why)| Some((arms?, why)));
    let note = reason.map(|(arms, why)| format!("no interval: {why}: {arms}"));
    let differences = (1..moments.len()).map(|arm| {
        let found = reading.difference(metric, moments, arm, width)?;
        Some(ArmDifference {
            arm: reading.arms[arm].clone(),
            absolute: found.absolute,
            relative: found.relative,
            p_value: found.p_value,
            variance_reduction: found.variance_reduction,
            unadjusted: found.unadjusted,
        })
    });
    MetricReadOut {
        metric: metric.name().to_owned(),
        arms: moments.iter().map(|arm| estimate(metric, arm, context.options.width(), width)).collect(),
        differences: differences.collect(),
        note,
    }
}

fn slice_read_out(reading: &Reading<'_>, slices: &[Slices], width: Width) -> SliceReadOut {
    let metric = &reading.options.by_metric;
    let mut all: Vec<(usize, Option<String>, Vec<Moments>)> = Vec::new();
    for (column, slices) in slices.iter().enumerate() {
        let mut of_column: Vec<(usize, Option<String>, Vec<Moments>)> = slices
            .by_value
            .iter()
            .map(|(value, units)| (column, value.clone(), reading.slice_moments(units)))
            .collect();
        let units = |moments: &[Moments]| moments.iter().map(Moments::unit_count).sum::<u64>();
        of_column.sort_by(|one, other| units(&other.2).cmp(&units(&one.2)).then_with(|| one.1.cmp(&other.1)));
        let further = slices
            .further
            .iter()
            .map(|units| (column, Some("(further values)".to_owned()), reading.slice_moments(units)));
        all.extend(of_column.into_iter().chain(further));
    }
    let without_past = (reading.options.width(), Past::Nothing);
    let compare = |moments: &[Moments], arm: usize, width: &Width| {
        difference(metric, (&moments[0], &moments[arm]), without_past, moments, width)
    };
    let p_value = |moments: &[Moments], arm: usize| compare(moments, arm, &width).and_then(|found| found.p_value);
    let arm_count = reading.arms.len();
    let raw = all.iter().flat_map(|(.., moments)| (1..arm_count).map(move |arm| p_value(moments, arm)));
    let raw: Vec<Option<f64>> = raw.collect();
    let known: Vec<f64> = raw.iter().copied().flatten().collect();
    let width = width.shared_by(known.len());
    let mut adjusted = holm(&known).into_iter();
    let mut adjusted =
        raw.into_iter().map(|p_value| p_value.and_then(|_| adjusted.next())).collect::<Vec<_>>().into_iter();
    let mut found = Vec::new();
    for (column, value, moments) in &all {
        for arm in 1..arm_count {
            let difference = compare(moments, arm, &width);
            found.push(SliceDifference {
                column: reading.options.by[*column].clone(),
                value: value.clone(),
                arm: reading.arms[arm].clone(),
                units: [moments[arm].unit_count(), moments[0].unit_count()],
                absolute: difference.map(|it| it.absolute),
                relative: difference.and_then(|it| it.relative),
                p_value: adjusted.next().flatten(),
            });
        }
    }
    SliceReadOut { metric: metric.name().to_owned(), comparisons: known.len() as u64, slices: found }
}

/// Returns the moments of the units of logs from before an experiment, whose rows need no arm.
pub(super) fn units_before(options: &ReadOutOptions) -> Result<Moments, ReadOutError> {
    let without = ReadOutOptions { covariate_logs: options.logs.clone(), covariate: None, ..options.clone() };
    let units = read_past(&without, i64::MAX)?;
    Ok(units.moments(1, |_, _| Some(0), None).swap_remove(0))
}
