//! The history of a store's logs: what the served file saw on the rows of each day, and whether a day is unlike those
//! before.
//!
//! A fault that is in the training log and in the evaluation log deceives any comparison of two files. The served file
//! was trained before the fault, so its figures jump: calibration, entropy, unseen categories, missing values, the
//! distribution of a field. The gate reads these figures, and so does `omomi profile`, which runs before training.
//!
//! ```text
//! figures of the served file on today's rows --+--> compare --> jumps, worst first
//! figures of the days before, from the store --+
//! ```
//!
//! One file per day: `STORE/history/<end of the window>-<digest of the logs>.json`. A day that jumped does not widen
//! the bands of the days after, unless people accept it: then the history begins with that day.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use crate::evaluate::{EvaluatedRows, ModelEvaluation, Overall, ReliabilityBin};
use omomi::error::Owner;
use omomi::new_file::NewFile;

/// Most days that bands are learned from.
const MAX_DAYS: usize = 28;
/// From this number of days on, bands are as narrow as they get.
const ENOUGH_DAYS: usize = 4;
/// The last days, from which a figure may drift away from the median of all.
const LATELY_DAYS: usize = 3;
/// Half of a band, in robust standard deviations of the days before.
const DEVIATIONS: f64 = 5.0;
/// How much of an interval of 95 % a figure may also move by chance.
const CHANCE: f64 = 3.0;

/// What the served file saw on the rows of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// Version of this format: [`Day::FORMAT_VERSION`].
    pub format_version: u32,
    /// Times of the first and last row, in microseconds since 1970-01-01 UTC; `None` without a time column.
    pub window_us: Option<[i64; 2]>,
    /// Digests of the contents of the logs.
    pub log_digests: Vec<Option<String>>,
    /// SHA-256 of the served file.
    pub served_digest: String,
    /// Column by which rows were counted; `None` if each counted once. Figures of days that were counted otherwise
    /// cannot be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_column: Option<String>,
    /// Number of clicks.
    pub clicks: u64,
    /// Standard deviation of the logarithm of the normalized entropy, as far as it moves by chance. `None` if unknown.
    #[serde(default)]
    pub entropy_deviation: Option<f64>,
    /// Standard deviation of the logarithm of the slope, as far as it moves by chance. `None` if unknown.
    #[serde(default)]
    pub slope_deviation: Option<f64>,
    /// The figures by name, such as `calibration` or `unseen of creative_id`.
    pub figures: BTreeMap<String, f64>,
    /// Shares of the values of each field, by hash.
    pub distributions: BTreeMap<String, Vec<f64>>,
    /// Whether a figure jumped.
    pub jumped: bool,
    /// Why people accepted the day, although a figure jumped.
    pub accepted: Option<String>,
}

/// A figure of a day that is unlike the days before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Jump {
    /// Name of the figure.
    pub figure: String,
    /// The band that was expected.
    pub expected: [f64; 2],
    /// The figure.
    pub found: f64,
    /// Distance from the middle of the band, in halves of the band: above 1.
    pub distance: f64,
    /// Who must act.
    #[serde(serialize_with = "write_owner")]
    pub owner: Owner,
    /// What they must do.
    pub action: &'static str,
}

fn write_owner<S: serde::Serializer>(owner: &Owner, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(owner.word())
}

/// How far the bands of figures are widened: by a factor for all, and by factors that people have set for some.
#[derive(Debug, Clone, Copy)]
pub struct Bands<'a> {
    /// Factor of all bands.
    pub factor: f64,
    /// Further factors by the name of a figure, or of a kind of figures such as `distance`.
    pub by_figure: &'a BTreeMap<String, f64>,
}

impl Bands<'_> {
    fn factor_of(&self, figure: &str) -> f64 {
        let kind = figure.split(" of ").next().unwrap_or_default();
        let own = self.by_figure.get(figure).or_else(|| self.by_figure.get(kind));
        self.factor * own.copied().unwrap_or(1.0)
    }
}

/// Distance between days from which on a field's values come and go: creatives are born and die, and the largest of
/// them may move a tenth of all rows overnight.
const TURNOVER: f64 = 0.025;
/// How far the distribution of such a field may move, as long as the served file is as good as before and knows as many
/// of its values.
const TURNOVER_DISTANCE: f64 = 0.12;
/// The distribution of a field with at most this many different values has a place of its own for nearly all of them.
/// If it is like those before, no value is new, and values without a weight are a matter of the served file.
const FEW_VALUES: f64 = 64.0;
/// How far the distribution of a field with few values may be from those before.
const SAME_VALUES_DISTANCE: f64 = 0.05;
/// From this part of its band on, a rise of the entropy says that the served file is not as good as before, and one of
/// the unseen values of a field that it does not know them as before.
const FELT: f64 = 0.5;

/// How much further the entropy may fall than rise: a day on which the served file is right more often is seldom a
/// fault.
const BETTER_ENTROPY: f64 = 2.0;

/// Half of the band of a move of the click rate since the day before, in standard deviations of the moves before. The
/// level wanders, so that the day before says more about today than the median of all days.
const CLICK_DEVIATIONS: f64 = 3.8;
/// Half of the band of a rise of the entropy above that of the last days. Clicks without a cause, as those of machines,
/// raise it.
const ENTROPY_DEVIATIONS: f64 = 4.0;
/// Half of the band of both together: that the click rate moves and the entropy rises is seldom chance.
const JOINT_DEVIATIONS: f64 = 3.2;
/// Half of the band of a rise of the click rate and a fall of the rows together: rows without a click were lost.
const LOST_ROWS_DEVIATIONS: f64 = 2.5;
/// Half of the band of a rise of the click rate and a fall of the slope together: machines click on everything.
const MACHINE_DEVIATIONS: f64 = 2.8;
/// What a figure adds to such a pair at most, in standard deviations: what moved further is noticed alone, by its name.
const MAX_TOGETHER: f64 = 5.0;
/// The least standard deviation of the moves of the click rate, as a logarithm, without chance.
const MIN_CLICK_DEVIATION: f64 = 0.012;
/// The least standard deviation of the moves of the entropy, as a logarithm, without chance.
const MIN_ENTROPY_DEVIATION: f64 = 0.002;
/// The least standard deviation of the moves of the number of rows, as a logarithm.
const MIN_ROWS_DEVIATION: f64 = 0.02;
/// The least standard deviation of the slope, as a logarithm, without chance.
const MIN_SLOPE_DEVIATION: f64 = 0.005;
/// Fewer moves than these do not say how much a figure moves.
const MIN_MOVES: usize = 4;

/// The scale on which a figure is compared, and how far it may move on any day.
struct Kind {
    is_ratio: bool,
    floor: f64,
    action: &'static str,
}

const CHANGED_LABELS: &str = "compare clicks and impressions with their source: rows or clicks may be lost, doubled or \
                              made by machines";
const CHANGED_FIELD: &str =
    "compare the field with its source: another notation, unit, column or time may have been logged";
const CHANGED_ORDER: &str = "write the rows in order of time, not of the label, and each of them once";

fn kind(figure: &str) -> Kind {
    let (is_ratio, floor, action) = match figure.split(" of ").next().unwrap_or_default() {
        "rows" => (true, 0.5, "check that the logs are complete: parts may be missing or doubled"),
        "ctr" => (true, 0.15, CHANGED_LABELS),
        "calibration" => (true, 0.1, CHANGED_LABELS),
        "normalized_entropy" => (true, 0.02, CHANGED_FIELD),
        "slope" => (true, 0.3, CHANGED_LABELS),
        "clicks after a click" => (false, 0.2, CHANGED_ORDER),
        "distance" => (false, 0.1, CHANGED_FIELD),
        // Twice or half as many different values.
        "distinct" => (true, 0.7, CHANGED_FIELD),
        // It also depends on which weights the served file happens to have: some categories of a field with few of them
        // can be a fifth of its rows. Where the values changed, the distance says it more sharply.
        "unseen" => (false, 0.3, CHANGED_FIELD),
        _ => (false, 0.05, CHANGED_FIELD),
    };
    Kind { is_ratio, floor, action }
}

impl Day {
    /// The format version that this library writes and reads.
    pub const FORMAT_VERSION: u32 = 1;

    /// Returns what `served` saw on `rows`. `before` are the earlier days, for the distances of distributions.
    #[must_use]
    pub fn of(rows: &EvaluatedRows, served: &ModelEvaluation, before: &[Self]) -> Self {
        let mut figures = BTreeMap::new();
        let impressions = rows.impressions.max(1) as f64;
        let clicks = rows.clicks as f64;
        figures.insert("rows".to_owned(), rows.impressions as f64);
        figures.insert("ctr".to_owned(), clicks / impressions);
        if rows.adjacent_clicks > 0 {
            figures.insert("clicks after a click".to_owned(), rows.adjacent_clicks as f64 / clicks);
        }
        let calibration = served.overall.calibration.map(|calibration| calibration.ratio);
        figures.extend(calibration.map(|ratio| ("calibration".to_owned(), ratio)));
        figures.extend(served.overall.normalized_entropy.map(|it| ("normalized_entropy".to_owned(), it)));
        let slope = Slope::of(&served.reliability);
        figures.extend(slope.map(|slope| ("slope".to_owned(), slope.ratio)));
        let mut distributions = BTreeMap::new();
        for field in &served.fields {
            let name = &field.field;
            figures.insert(format!("missing of {name}"), field.missing_rate);
            figures.insert(format!("unseen of {name}"), field.unseen_rate);
            figures.insert(format!("out of range of {name}"), field.invalid_numbers as f64 / impressions);
            if field.distinct > 0 {
                figures.insert(format!("distinct of {name}"), field.distinct as f64);
            }
            let sum: u64 = field.distribution.iter().sum();
            // Six digits are enough, and keep the files of the history short.
            let share = |&count: &u64| (count as f64 / sum.max(1) as f64 * 1e6).round() / 1e6;
            let shares: Vec<f64> = field.distribution.iter().map(share).collect();
            let chance = distance_by_chance(&shares, sum);
            let distances = learned_from(before).filter_map(|day| distance(day.distributions.get(name)?, &shares));
            let nearest = distances.fold(f64::INFINITY, f64::min);
            if nearest.is_finite() && sum > 0 {
                figures.insert(format!("distance of {name}"), (nearest - chance).max(0.0));
            }
            distributions.insert(name.clone(), shares);
        }
        Self {
            format_version: Self::FORMAT_VERSION,
            window_us: rows.window_us,
            log_digests: rows.log_digests.clone(),
            served_digest: served.file.digest.clone(),
            importance_column: rows.importance_column.clone(),
            clicks: rows.clicks,
            entropy_deviation: entropy_deviation(&served.overall),
            slope_deviation: slope.map(|slope| slope.deviation),
            figures,
            distributions,
            jumped: false,
            accepted: None,
        }
    }

    /// Compares the day with the days before, and returns the figures that jumped, worst first. Without days before,
    /// nothing can jump.
    #[must_use]
    pub fn jumps(&self, before: &[Self], bands: Bands<'_>) -> Vec<Jump> {
        let days: Vec<&Self> = learned_from(before).collect();
        let rises = |name: &str| {
            let place = self.place(name, &days, bands);
            place.is_some_and(|place| place.middle + FELT * place.half < place.found)
        };
        let is_worse = rises("normalized_entropy");
        let jumps = self.figures.keys().filter_map(|name| {
            let field = name.strip_prefix("distance of ");
            if name.strip_prefix("unseen of ").is_some_and(|field| self.has_the_same_values(field)) {
                return None;
            }
            let is_felt = is_worse || field.is_some_and(|field| rises(&format!("unseen of {field}")));
            self.place(name, &days, bands)?.jump(name, is_felt)
        });
        let mut jumps: Vec<Jump> = jumps.collect();
        for (name, jump) in self.moves(&days, bands) {
            if jumps.iter().all(|jump| jump.figure != name) {
                jumps.push(jump);
            }
        }
        jumps.sort_by(|one, other| other.distance.total_cmp(&one.distance));
        jumps
    }

    /// Whether a field has few values, and those of the days before.
    fn has_the_same_values(&self, field: &str) -> bool {
        let at_most = |name: String, max| self.figures.get(&name).is_some_and(|&found| found <= max);
        at_most(format!("distinct of {field}"), FEW_VALUES)
            && at_most(format!("distance of {field}"), SAME_VALUES_DISTANCE)
    }

    /// Returns the jumps that show only in how much figures move: of the click rate or the entropy, or of the click
    /// rate together with the entropy, the rows or the slope.
    fn moves(&self, days: &[&Self], bands: Bands<'_>) -> Vec<(&'static str, Jump)> {
        let chance = 1.0 / (self.clicks.max(1) as f64).sqrt();
        let clicks = self.move_of("ctr", days, 1, MIN_CLICK_DEVIATION.hypot(chance));
        let chance = self.entropy_deviation.unwrap_or(0.2 * chance);
        let entropy = self.move_of("normalized_entropy", days, LATELY_DAYS, MIN_ENTROPY_DEVIATION.hypot(chance));
        let (Some(clicks), Some(entropy)) = (clicks, entropy) else { return Vec::new() };
        let limit = |name: &str, deviations: f64| bands.factor_of(name) * deviations * clicks.few;
        let joint = (clicks.deviations().abs() + entropy.deviations()) / std::f64::consts::SQRT_2;
        let distance = (clicks.deviations().abs() / limit("ctr", CLICK_DEVIATIONS))
            .max(joint / limit("ctr", JOINT_DEVIATIONS).max(limit("normalized_entropy", JOINT_DEVIATIONS)));
        let together = |fall: Option<&Move>, name: &str, deviations: f64| {
            let [rise, fall] =
                [clicks.deviations(), -fall.map_or(0.0, Move::deviations)].map(|it| it.min(MAX_TOGETHER));
            let both = if rise > 0.0 && fall > 0.0 { (rise + fall) / std::f64::consts::SQRT_2 } else { 0.0 };
            both / limit("ctr", deviations).max(limit(name, deviations))
        };
        let rows = self.move_of("rows", days, LATELY_DAYS, MIN_ROWS_DEVIATION);
        let distance = distance.max(together(rows.as_ref(), "rows", LOST_ROWS_DEVIATIONS));
        let slope = self.slope_move(days);
        let fall = together(slope.as_ref(), "slope", MACHINE_DEVIATIONS);
        let rise = entropy.deviations() / limit("normalized_entropy", ENTROPY_DEVIATIONS);
        let jumps = [
            ("ctr", clicks.jump("ctr", distance)),
            ("normalized_entropy", entropy.jump("normalized_entropy", rise)),
            ("slope", slope.and_then(|slope| slope.jump("slope", fall))),
        ];
        jumps.into_iter().filter_map(|(name, jump)| Some((name, jump?))).collect()
    }

    /// Returns how a figure moved since the median of the last days. `None` if too few days before have it.
    fn move_of(&self, name: &str, days: &[&Self], last_days: usize, min_deviation: f64) -> Option<Move> {
        let found = self.figures.get(name)?.max(1e-9).ln();
        let known: Vec<&&Self> = days.iter().filter(|day| day.figures.contains_key(name)).collect();
        let values: Vec<f64> = known.iter().map(|day| day.figures[name].max(1e-9).ln()).collect();
        let count = values.len();
        if count <= MIN_MOVES {
            return None;
        }
        let steps = values.windows(2).map(|pair| (pair[1] - pair[0]).powi(2));
        let mut deviation = (steps.sum::<f64>() / (count - 1) as f64).sqrt().max(min_deviation);
        // A move over several days is the sum of theirs.
        if let Some(([_, end_us], [_, before_us])) = self.window_us.zip(known[count - 1].window_us) {
            deviation *= ((end_us as f64 - before_us as f64) / 86_400e6).max(1.0).sqrt();
        }
        let lately = |until: usize| median(&values[until.saturating_sub(last_days)..until]);
        let last = lately(count)?;
        // On the same day of the week before, it may have moved as far.
        let week_ago = count.checked_sub(7).filter(|&index| index >= last_days);
        let week_ago = week_ago.and_then(|index| Some(values[index] - lately(index)?)).unwrap_or(0.0);
        let is_as_then = (found - last - week_ago).abs() < (found - last).abs();
        let middle = if is_as_then { last + week_ago } else { last };
        // The fewer moves, the less is known of how far they go.
        Some(Move { found, middle, deviation, few: 1.0 + 1.0 / (count - 1) as f64 })
    }

    /// Returns how far the slope is from that of the days before. It does not wander: the served file learns it again
    /// every day. `None` if too few days before have it.
    fn slope_move(&self, days: &[&Self]) -> Option<Move> {
        let found = self.figures.get("slope")?.max(1e-9).ln();
        let values = logs_of("slope", days.iter().copied());
        if values.len() <= MIN_MOVES {
            return None;
        }
        let chance = MIN_SLOPE_DEVIATION.hypot(self.slope_deviation.unwrap_or(0.0));
        let deviation = standard_deviation(&values).max(chance);
        Some(Move { found, middle: median(&values)?, deviation, few: 1.0 + 1.0 / (values.len() - 1) as f64 })
    }

    /// Returns where a figure is in its band; `None` if it is not known, or was not known before.
    fn place(&self, name: &str, days: &[&Self], bands: Bands<'_>) -> Option<Place> {
        let Kind { is_ratio, floor, action } = kind(name);
        let scaled = |value: f64| if is_ratio { value.max(1e-9).ln() } else { value };
        let found = scaled(*self.figures.get(name)?);
        let values: Vec<f64> =
            days.iter().filter_map(|day| day.figures.get(name)).map(|&value| scaled(value)).collect();
        let middle = median(&values)?;
        // How much a figure moves from day to day. Deviations from the median would be wide where a figure only drifts.
        let steps: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
        let mut spread = 1.4826 * median(&steps).unwrap_or(0.0) / std::f64::consts::SQRT_2;
        if name.starts_with("distance of ") {
            // After a far day, a near one is likely, so steps alone would be too wide.
            let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
            spread = spread.min(1.4826 * median(&deviations).unwrap_or(0.0));
        }
        // With few days, the spread is not known yet.
        let few = if values.len() < ENOUGH_DAYS { 2.0 } else { 1.0 };
        // Clicks are counted, so what depends on them also moves by chance.
        let by_chance = match name {
            "ctr" | "calibration" => CHANCE / (self.clicks.max(1) as f64).sqrt(),
            "normalized_entropy" => 0.5 * CHANCE / (self.clicks.max(1) as f64).sqrt(),
            _ => 0.0,
        };
        let half = bands.factor_of(name) * few * (DEVIATIONS * spread).max(floor) + by_chance;
        // A world may drift, and has weekends: a figure near that of the last days, or of a week ago, is no surprise.
        // Shares and distances have no weekends.
        let lately = median(&values[values.len().saturating_sub(LATELY_DAYS)..]);
        let week_ago = values.len().checked_sub(7).filter(|_| is_ratio).map(|index| values[index]);
        let near = [Some(middle), lately, week_ago].into_iter().flatten();
        let middle = near.min_by(|one, other| (found - one).abs().total_cmp(&(found - other).abs()))?;
        Some(Place { found, middle, half, is_ratio, action })
    }

    fn file_name(&self) -> String {
        let end_us = self.window_us.map_or(0, |[_, end_us]| end_us.max(0));
        format!(
            "{end_us:020}-{:016x}.json",
            xxh3_64(self.log_digests.iter().flatten().cloned().collect::<String>().as_bytes())
        )
    }
}

/// Returns the standard deviation of the logarithm of the normalized entropy, from its interval.
fn entropy_deviation(overall: &Overall) -> Option<f64> {
    let [low, high] = overall.normalized_entropy_interval?;
    // An interval of 95 % has 1.96 deviations on both sides.
    (low > 0.0).then(|| (high / low).ln() / 3.92)
}

/// How the clicks follow the predictions: by how much their logit rises where that of the predictions rises by 1.
/// Clicks without a cause, as those of machines, lower it, for they are most of the clicks where few are expected.
#[derive(Debug, Clone, Copy)]
struct Slope {
    ratio: f64,
    /// Standard deviation of the logarithm of the ratio by chance.
    deviation: f64,
}

impl Slope {
    /// Fits a line to the logits of a reliability curve, by maximum likelihood. `None` if the predictions or the clicks
    /// do not say it.
    fn of(bins: &[ReliabilityBin]) -> Option<Self> {
        let points = bins.iter().filter(|bin| bin.mean_probability > 0.0 && bin.mean_probability < 1.0);
        let points = points.map(|bin| {
            let logit = (bin.mean_probability / (1.0 - bin.mean_probability)).ln();
            (logit, bin.impressions as f64, bin.clicks as f64)
        });
        let points: Vec<(f64, f64, f64)> = points.collect();
        let (mut offset, mut ratio) = (0.0, 1.0);
        // Steps of Newton, from the predictions as they are. Without clicks, or with nothing else, they do not end.
        for _ in 0..20 {
            let (mut errors, mut moments) = ([0.0; 2], [0.0; 3]);
            for &(logit, rows, clicks) in &points {
                let probability = 1.0 / (1.0 + (-offset - ratio * logit).exp());
                let (error, weight) = (clicks - rows * probability, rows * probability * (1.0 - probability));
                errors = [errors[0] + error, errors[1] + error * logit];
                moments = [moments[0] + weight, moments[1] + weight * logit, moments[2] + weight * logit * logit];
            }
            let information = moments[2] - moments[1] * moments[1] / moments[0];
            if !information.is_finite() || information <= 1e-6 * moments[2] {
                return None;
            }
            let step = (errors[1] - errors[0] * moments[1] / moments[0]) / information;
            let offset_step = (errors[0] - step * moments[1]) / moments[0];
            offset += offset_step;
            ratio += step;
            if step.abs().max(offset_step.abs()) < 1e-6 {
                return (ratio > 0.0).then(|| Self { ratio, deviation: 1.0 / (ratio * information.sqrt()) });
            }
        }
        None
    }
}

/// How far the logarithm of a figure moved.
struct Move {
    found: f64,
    middle: f64,
    /// Standard deviation of the moves before.
    deviation: f64,
    /// Factor of all bands that says how little is known of the deviation.
    few: f64,
}

impl Move {
    fn deviations(&self) -> f64 {
        (self.found - self.middle) / self.deviation
    }

    /// Returns the jump whose distance was judged with other figures, if it is one.
    fn jump(&self, name: &str, distance: f64) -> Option<Jump> {
        let half = (self.found - self.middle).abs() / distance;
        (distance > 1.0).then(|| Jump {
            figure: name.to_owned(),
            expected: [(self.middle - half).exp(), (self.middle + half).exp()],
            found: self.found.exp(),
            distance,
            owner: Owner::Delivery,
            action: CHANGED_LABELS,
        })
    }
}

/// A figure and its band, on the scale on which they are compared.
struct Place {
    found: f64,
    middle: f64,
    half: f64,
    is_ratio: bool,
    action: &'static str,
}

impl Place {
    /// Returns the jump of the figure, if it is one. `is_felt` says whether the served file is worse than before, or
    /// knows less of the field.
    fn jump(&self, name: &str, is_felt: bool) -> Option<Jump> {
        let &Self { found, middle, mut half, is_ratio, action } = self;
        if name.starts_with("distance of ") && middle > TURNOVER && !is_felt {
            half = half.max(TURNOVER_DISTANCE);
        }
        if name == "normalized_entropy" && found < middle {
            half *= BETTER_ENTROPY;
        }
        let distance = (found - middle).abs() / half;
        // Fewer unseen, missing or distant values than ever are no fault.
        let is_better = !is_ratio && found < middle && !name.starts_with("missing");
        let back = |value: f64| if is_ratio { value.exp() } else { value.clamp(0.0, 1.0) };
        (distance > 1.0 && !is_better).then(|| Jump {
            figure: name.to_owned(),
            expected: [back(middle - half), back(middle + half)],
            found: if is_ratio { found.exp() } else { found },
            distance,
            owner: Owner::Delivery,
            action,
        })
    }
}

/// Returns the days that bands are learned from: the last ones that did not jump, from the last accepted one on.
fn learned_from(before: &[Day]) -> impl Iterator<Item = &Day> {
    let first = before.iter().rposition(|day| day.accepted.is_some()).unwrap_or(0);
    let days = before[first..].iter().filter(|day| !day.jumped || day.accepted.is_some());
    let days: Vec<&Day> = days.collect();
    let skipped = days.len().saturating_sub(MAX_DAYS);
    days.into_iter().skip(skipped)
}

/// Returns how the days that bands are learned from counted their rows, if `day` counts otherwise: by their importance
/// column, or once each.
#[must_use]
pub fn counted_otherwise(day: &Day, before: &[Day]) -> Option<String> {
    let last = learned_from(before).last()?;
    let words = |day: &Day| match &day.importance_column {
        Some(column) => format!("by the importance column `{column}`"),
        None => "once each".to_owned(),
    };
    let differs = last.importance_column.is_some() != day.importance_column.is_some();
    differs.then(|| format!("rows count {}, those of the days before {}", words(day), words(last)))
}

/// Returns half of the sum of the differences of two distributions: 0 for equal ones, 1 for ones without a common
/// value. `None` if their sketches have different numbers of parts, as those of another version.
fn distance(one: &[f64], other: &[f64]) -> Option<f64> {
    let differences = || one.iter().zip(other).map(|(one, other)| (one - other).abs());
    (one.len() == other.len()).then(|| differences().sum::<f64>() / 2.0)
}

/// Returns how distant two samples of a distribution are on average, only because they are samples of `count` values.
fn distance_by_chance(shares: &[f64], count: u64) -> f64 {
    // The difference of two shares is normal, and a normal number is sqrt(2 / pi) of its deviation from 0 on average.
    let deviation = |share: &f64| (2.0 * share / count.max(1) as f64).sqrt();
    shares.iter().map(deviation).sum::<f64>() * std::f64::consts::FRAC_2_SQRT_PI / std::f64::consts::SQRT_2 / 2.0
}

/// Returns by how much the calibration of what was served moves from day to day, as the standard deviation of its
/// logarithm. `None` if too few days say it. Where the click rate wanders, no file that learned the days before can be
/// nearer.
pub(super) fn calibration_deviation(before: &[Day]) -> Option<f64> {
    let values = logs_of("calibration", learned_from(before));
    (values.len() > MIN_MOVES).then(|| standard_deviation(&values))
}

/// Returns the logarithms of a figure, on the days that have it.
fn logs_of<'a>(name: &str, days: impl Iterator<Item = &'a Day>) -> Vec<f64> {
    days.filter_map(|day| day.figures.get(name)).map(|value| value.max(1e-9).ln()).collect()
}

fn standard_deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0)).sqrt()
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len().checked_sub(1)? / 2;
    Some(f64::midpoint(values[middle], values[values.len() / 2]))
}

/// The history of a store.
#[derive(Debug, Clone)]
pub struct History {
    folder: PathBuf,
}

impl History {
    /// Returns the history of the store in `dir`. Does not access the file system.
    #[must_use]
    pub fn of_store(dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref();
        Self { folder: dir.join("history") }
    }

    /// Reads all days except those of the same logs as `rows`, in the order of their times. A file that is not a day is
    /// left out.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn before(&self, rows: &EvaluatedRows) -> io::Result<Vec<Day>> {
        let days = self.read()?.into_iter().filter(|day| day.log_digests != rows.log_digests);
        Ok(days.collect())
    }

    /// Reads the reason with which people accepted these logs.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn accepted(&self, rows: &EvaluatedRows) -> io::Result<Option<String>> {
        let of_rows = self.read()?.into_iter().find(|day| day.log_digests == rows.log_digests);
        Ok(of_rows.and_then(|day| day.accepted))
    }

    fn read(&self) -> io::Result<Vec<Day>> {
        let entries = match self.folder.read_dir() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        let mut days = Vec::new();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            let day: Option<Day> = serde_json::from_slice(&std::fs::read(path)?).ok();
            days.extend(day.filter(|day| day.format_version == Day::FORMAT_VERSION));
        }
        Ok(days)
    }

    /// Records that a file passed the gate without a baseline, for a reason that people gave.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn write_decision(&self, digest: &str, decision: &impl Serialize) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let name = format!("without-baseline-{}.json", digest.get(..16).unwrap_or(digest));
        let new_file = NewFile::create(&self.folder.join(name), true)?;
        let record = json!({ "digest": digest, "without_baseline": decision });
        new_file.file().write_all(format!("{record}\n").as_bytes())?;
        new_file.commit()
    }

    /// Writes a day, and replaces an earlier one of the same logs.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn write(&self, day: &Day) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let new_file = NewFile::create(&self.folder.join(day.file_name()), true)?;
        new_file.file().write_all((serde_json::to_string(day)? + "\n").as_bytes())?;
        new_file.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(calibration: f64, unseen: f64, number: i64) -> Day {
        let figures = [("calibration", calibration), ("unseen of user", unseen), ("missing of user", 0.1)];
        Day {
            format_version: Day::FORMAT_VERSION,
            window_us: Some([number, number + 1]),
            log_digests: vec![Some(number.to_string())],
            served_digest: String::new(),
            importance_column: None,
            clicks: 10_000,
            entropy_deviation: Some(0.002),
            slope_deviation: Some(0.02),
            figures: figures.map(|(name, value)| (name.to_owned(), value)).into(),
            distributions: BTreeMap::new(),
            jumped: false,
            accepted: None,
        }
    }

    static NONE: BTreeMap<String, f64> = BTreeMap::new();

    fn bands(factor: f64) -> Bands<'static> {
        Bands { factor, by_figure: &NONE }
    }

    fn names(day: &Day, before: &[Day]) -> Vec<String> {
        day.jumps(before, bands(1.0)).into_iter().map(|jump| jump.figure).collect()
    }

    #[test]
    fn a_figure_far_from_the_days_before_jumps_and_the_worst_comes_first() {
        let before: Vec<Day> = [1.0, 1.02, 0.98, 1.01].into_iter().zip(1..).map(|(it, at)| day(it, 0.2, at)).collect();
        assert_eq!(names(&day(1.05, 0.22, 9), &before), [""; 0]);
        assert_eq!(names(&day(0.80, 0.22, 9), &before), ["calibration"]);
        assert_eq!(names(&day(1.26, 1.0, 9), &before), ["unseen of user", "calibration"]);
        assert_eq!(names(&day(1.0, 0.0, 9), &before), [""; 0], "fewer unseen categories are no fault");
        let with_distance = |it: f64, mut day: Day| {
            day.figures.insert("distance of hour".to_owned(), it);
            day
        };
        let far: Vec<Day> = before.iter().map(|day| with_distance(0.5, day.clone())).collect();
        assert_eq!(names(&with_distance(0.1, day(1.0, 0.2, 9)), &far), [""; 0], "a day like another one is no fault");
        assert_eq!(names(&with_distance(1.0, day(1.0, 0.2, 9)), &far), ["distance of hour"]);
        let sorted = |it: f64, mut day: Day| {
            day.figures.insert("clicks after a click".to_owned(), it);
            day
        };
        let by_time: Vec<Day> = before.iter().map(|day| sorted(0.11, day.clone())).collect();
        assert_eq!(names(&sorted(1.0, day(1.0, 0.2, 9)), &by_time), ["clicks after a click"], "sorted by the label");
        assert_eq!(names(&sorted(0.05, day(1.0, 0.2, 9)), &by_time), [""; 0]);
        assert_eq!(names(&day(0.5, 1.0, 9), &[]), [""; 0], "without days before, nothing can jump");
        let jump = &day(0.80, 0.2, 9).jumps(&before, bands(1.0))[0];
        assert!(jump.expected[0] > 0.8 && jump.expected[1] < 1.25 && jump.owner == Owner::Delivery, "{jump:?}");
        assert!(day(0.80, 0.2, 9).jumps(&before, bands(3.0)).is_empty(), "people can widen the bands");
        for (name, count) in [("calibration", 0), ("unseen", 1), ("unseen of user", 1)] {
            let by_figure = BTreeMap::from([(name.to_owned(), 3.0)]);
            let found = day(0.80, 0.2, 9).jumps(&before, Bands { factor: 1.0, by_figure: &by_figure });
            assert_eq!(found.len(), count, "{name}");
        }
    }

    #[test]
    fn values_that_come_and_go_may_move_as_long_as_the_served_file_is_as_good_as_before() {
        let with = |distance: f64, entropy: f64, number: i64| {
            let mut day = day(1.0, 0.2, number);
            day.figures.extend([
                ("distance of creative".to_owned(), distance),
                ("normalized_entropy".to_owned(), entropy),
                ("distinct of creative".to_owned(), 240.0),
            ]);
            day
        };
        let moving: Vec<Day> = (0..9).map(|at| with(0.06, 0.86, at)).collect();
        assert_eq!(names(&with(0.17, 0.86, 99), &moving), [""; 0], "a large creative was born");
        let shifted = names(&with(0.17, 0.89, 99), &moving);
        assert!(shifted.contains(&"distance of creative".to_owned()), "its ids were shifted");
        assert_eq!(names(&with(0.5, 0.86, 99), &moving), ["distance of creative"]);
        let mut unknown = with(0.17, 0.86, 99);
        unknown.figures.insert("unseen of creative".to_owned(), 0.5);
        let known = |day: &Day| {
            let mut day = day.clone();
            day.figures.insert("unseen of creative".to_owned(), 0.3);
            day
        };
        assert_eq!(names(&unknown, &moving.iter().map(known).collect::<Vec<_>>()), ["distance of creative"]);
        let calm: Vec<Day> = (0..9).map(|at| with(0.01, 0.86, at)).collect();
        assert_eq!(names(&with(0.3, 0.86, 99), &calm), ["distance of creative"], "its values never moved");
        let mut constant = with(0.06, 0.86, 99);
        constant.figures.insert("distinct of creative".to_owned(), 1.0);
        assert_eq!(names(&constant, &moving), ["distinct of creative"]);
    }

    fn with_clicks(ctr: f64, entropy: f64, number: i64) -> Day {
        let mut day = day(1.0, 0.2, number);
        day.window_us = Some([number * 86_400_000_000, (number + 1) * 86_400_000_000]);
        day.figures.extend([("ctr".to_owned(), ctr), ("normalized_entropy".to_owned(), entropy)]);
        day
    }

    #[test]
    fn a_step_of_the_click_rate_and_a_small_rise_of_the_entropy_are_noticed_where_the_level_wanders() {
        // The click rate has wandered from 0.16 to 0.2, by up to 4 % a day.
        let wandering: Vec<Day> = (0..12_i32)
            .map(|at| {
                let ctr = 0.16 * (0.02 * f64::from(at) + if at % 2 == 0 { 0.015 } else { 0.0 }).exp();
                with_clicks(ctr, 0.89 + if at % 3 == 0 { 0.002 } else { 0.0 }, i64::from(at))
            })
            .collect();
        let last = wandering[11].figures["ctr"];
        let on = |factor: f64, entropy: f64, number| names(&with_clicks(last * factor, entropy, number), &wandering);
        assert_eq!(on(1.06, 0.89, 12), [""; 0]);
        assert_eq!(on(1.19, 0.89, 12), ["ctr"], "a fifth of the negatives lost");
        assert_eq!(on(0.8, 0.89, 12), ["ctr"], "a fifth of the clicks lost");
        assert_eq!(on(1.08, 0.905, 12), ["ctr", "normalized_entropy"], "2 % of bots");
        assert_eq!(on(1.0, 0.87, 12), [""; 0], "better is no fault");
        assert_eq!(on(1.12, 0.89, 16), [""; 0], "days are missing before it");
        assert_eq!(names(&with_clicks(last * 1.19, 0.89, 12), &wandering[9..]), [""; 0], "too few days");
        // Every Saturday is such a step.
        let weekly: Vec<Day> = (0..21_i32)
            .map(|at| {
                with_clicks(if at % 7 >= 5 { 0.23 } else { 0.2 }, if at % 7 >= 5 { 0.905 } else { 0.89 }, at.into())
            })
            .collect();
        assert_eq!(names(&with_clicks(0.23, 0.905, 19), &weekly[..19]), [""; 0]);
    }

    fn with_rows(rows: f64, ctr: f64, slope: f64, number: i64) -> Day {
        let mut day = with_clicks(ctr, 0.89, number);
        day.figures.extend([("rows".to_owned(), rows), ("slope".to_owned(), slope)]);
        day
    }

    #[test]
    fn lost_rows_and_machine_clicks_are_noticed_in_two_figures_that_move_together() {
        let random = [0.9_f64, -0.4, 0.1, -1.3, 0.6, -0.2, 1.2, -0.8, 0.4, -0.5, 0.7, -0.9];
        let at = |index: usize| random[index % random.len()];
        let before: Vec<Day> = (0..12)
            .map(|it| {
                let rows = 20_000.0 * (0.06 * at(it)).exp();
                with_rows(rows, 0.2 * (0.03 * at(it + 5)).exp(), 1.0 + 0.02 * at(it + 3), i64::try_from(it).unwrap())
            })
            .collect();
        let last = before[11].figures["ctr"];
        let on = |rows: f64, ctr: f64, slope: f64| names(&with_rows(rows, last * ctr, slope, 12), &before);
        assert_eq!(on(17_000.0, 1.0, 1.0), [""; 0], "rows of every kind were lost");
        assert_eq!(on(20_000.0, 1.1, 1.0), [""; 0], "the click rate moved");
        assert_eq!(on(17_000.0, 0.92, 1.0), [""; 0], "clicks fell with the rows");
        assert_eq!(on(16_000.0, 1.16, 1.0), ["ctr"], "rows without a click were lost");
        assert_eq!(on(20_000.0, 1.0, 0.95), [""; 0], "the served file grew old");
        assert_eq!(on(20_000.0, 0.95, 0.92), [""; 0]);
        assert_eq!(on(20_000.0, 1.09, 0.92), ["slope"], "machines click on everything");
        let jump = &with_rows(200.0, last * 1.05, 1.0, 12).jumps(&before, bands(1.0))[0];
        assert_eq!(jump.figure, "rows", "a hundredth of the rows is no matter of the click rate");
        assert_eq!(on(12_000.0, 1.4, 0.99)[0], "ctr", "half of the rows without a click");
        let few: Vec<Day> = before[..4].to_vec();
        assert_eq!(names(&with_rows(16_000.0, last * 1.16, 0.92, 12), &few), [""; 0], "too few days");
    }

    #[test]
    fn the_slope_of_a_reliability_curve_falls_where_machines_click() {
        let bins = |clicks: &dyn Fn(f64) -> f64| -> Vec<ReliabilityBin> {
            let bin = |mean_probability: f64| ReliabilityBin {
                impressions: 100_000,
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of clicks")]
                clicks: (100_000.0 * clicks(mean_probability)) as u64,
                mean_probability,
                observed_ctr: 0.0,
                observed_ctr_low: 0.0,
                observed_ctr_high: 0.0,
            };
            [0.03, 0.06, 0.1, 0.2, 0.35, 0.6].map(bin).into()
        };
        let right = Slope::of(&bins(&|it| it)).unwrap();
        assert!((right.ratio - 1.0).abs() < 1e-3 && (0.002..0.005).contains(&right.deviation), "{right:?}");
        let level = Slope::of(&bins(&|it| 1.3 * it / (1.0 + 0.3 * it))).unwrap();
        assert!((level.ratio - 1.0).abs() < 1e-3, "another level has the same slope: {level:?}");
        let machines = Slope::of(&bins(&|it| it + 0.02 * (1.0 - it))).unwrap();
        assert!((0.85..0.92).contains(&machines.ratio), "{machines:?}");
        assert!(
            Slope::of(&[]).is_none()
                && Slope::of(&bins(&|it| it)[..1]).is_none()
                && Slope::of(&bins(&|_| 0.0)).is_none()
        );
    }

    #[test]
    fn few_values_that_are_all_known_are_not_unseen_for_a_fault_of_the_log() {
        let with = |unseen: f64, distance: f64, distinct: f64, number: i64| {
            let mut day = day(1.0, unseen, number);
            let figures = [("distance of user", distance), ("distinct of user", distinct)];
            day.figures.extend(figures.map(|(name, value)| (name.to_owned(), value)));
            day
        };
        let before: Vec<Day> = (0..9).map(|at| with(0.0, 0.001, 8.0, at)).collect();
        assert_eq!(names(&with(0.4, 0.01, 8.0, 99), &before), [""; 0], "training took the weight of a large value");
        assert_eq!(names(&with(0.4, 0.4, 8.0, 99), &before), ["distance of user", "unseen of user"]);
        let many: Vec<Day> = (0..9).map(|at| with(0.0, 0.001, 30_000.0, at)).collect();
        assert_eq!(names(&with(0.4, 0.01, 30_000.0, 99), &many), ["unseen of user"]);
    }

    #[test]
    fn the_calibration_of_what_is_served_moves_as_far_as_its_history_says() {
        let moving: Vec<Day> = (0..8).map(|at| day(if at % 2 == 0 { 0.95 } else { 1.05 }, 0.2, at)).collect();
        let deviation = calibration_deviation(&moving).unwrap();
        assert!((0.04..0.07).contains(&deviation), "{deviation}");
        let biased: Vec<Day> = (0..8).map(|at| day(1.09, 0.2, at)).collect();
        assert!(calibration_deviation(&biased).unwrap() < 1e-9, "always wrong by as much is no move");
        assert_eq!(calibration_deviation(&moving[..3]), None);
    }

    #[test]
    fn bands_learn_how_much_a_world_moves() {
        let calm: Vec<Day> = (0..20).map(|at| day(1.0, 0.2, at)).collect();
        let moving: Vec<Day> = (0..20).map(|at| day(if at % 2 == 0 { 0.9 } else { 1.1 }, 0.2, at)).collect();
        assert_eq!(names(&day(1.2, 0.2, 99), &calm), ["calibration"]);
        assert_eq!(names(&day(1.2, 0.2, 99), &moving), [""; 0]);
        assert_eq!(names(&day(1.2, 0.2, 99), &calm[..2]), [""; 0], "two days do not say how much it moves");
        let drifting: Vec<Day> = (0..20_i32).map(|at| day(1.0 + 0.02 * f64::from(at), 0.2, i64::from(at))).collect();
        assert_eq!(names(&day(1.42, 0.2, 99), &drifting), [""; 0], "a slow drift is no jump");
        assert_eq!(names(&day(1.7, 0.2, 99), &drifting), ["calibration"]);
        let learning: Vec<Day> = (0..10_i32).map(|at| day(1.0, 0.79 - 0.028 * f64::from(at), i64::from(at))).collect();
        assert_eq!(names(&day(1.0, 1.0, 99), &learning), ["unseen of user"], "users were rehashed while it learned");
    }

    #[test]
    fn a_day_that_jumped_does_not_teach_until_people_accept_it() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::of_store(folder.path());
        for at in 0..5 {
            history.write(&day(1.0, 0.2, at)).unwrap();
        }
        let mut jumped = Day { jumped: true, ..day(1.5, 0.2, 5) };
        history.write(&jumped).unwrap();
        std::fs::write(folder.path().join("history/notes.json"), "{").unwrap();
        let before = history.read().unwrap();
        assert_eq!(before.len(), 6);
        assert_eq!(names(&day(1.5, 0.2, 6), &before), ["calibration"]);
        jumped.accepted = Some("a new kind of ad".to_owned());
        history.write(&jumped).unwrap();
        assert_eq!(names(&day(1.5, 0.2, 6), &history.read().unwrap()), [""; 0]);
        assert_eq!(history.read().unwrap().len(), 6, "a day of the same logs is replaced");
    }

    #[test]
    fn a_day_that_counts_rows_otherwise_than_the_days_before_says_so() {
        let weighted = Day { importance_column: Some("stands_for".to_owned()), ..day(1.0, 0.2, 9) };
        let before = [day(1.0, 0.2, 1)];
        let words = "rows count by the importance column `stands_for`, those of the days before once each";
        assert_eq!(counted_otherwise(&weighted, &before).as_deref(), Some(words));
        assert_eq!(counted_otherwise(&day(1.0, 0.2, 9), &before), None);
        assert_eq!(counted_otherwise(&weighted, &[]), None);
        let text = serde_json::to_string(&weighted).unwrap();
        assert_eq!(serde_json::from_str::<Day>(&text).unwrap(), weighted);
        // Days from before the column was recorded are still read.
        let old = serde_json::to_string(&before[0]).unwrap();
        assert!(!old.contains("importance_column"), "{old}");
        assert_eq!(serde_json::from_str::<Day>(&old).unwrap(), before[0]);
    }

    #[test]
    fn samples_of_one_distribution_are_as_distant_as_chance_explains() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(5);
        for count in [1_000_u32, 40_000] {
            let mut sample = || {
                let mut shares = vec![0.0; 256];
                for _ in 0..count {
                    shares[random.random_range(0..256)] += 1.0 / f64::from(count);
                }
                shares
            };
            let (one, other) = (sample(), sample());
            let (found, expected) = (distance(&one, &other).unwrap(), distance_by_chance(&other, u64::from(count)));
            assert!((found / expected - 1.0).abs() < 0.15, "{count}: {found} of {expected}");
        }
    }

    #[test]
    fn distances_are_from_0_to_1() {
        assert_eq!(distance(&[0.5, 0.5], &[0.5, 0.5]), Some(0.0));
        assert_eq!(distance(&[1.0, 0.0], &[0.0, 1.0]), Some(1.0));
        assert_eq!(distance(&[1.0, 0.0], &[0.5, 0.25, 0.25]), None, "a sketch of another version");
    }
}
