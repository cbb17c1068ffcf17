//! The band of each figure, learned from the days before.

use super::day::{Day, learned_from};
use super::jump::{Bands, CHANGED_LABELS, Jump};
use super::moves::moves;
use super::numbers::median;
use omomi::error::Owner;

/// From this number of days on, bands are as narrow as they get.
const ENOUGH_DAYS: usize = 4;
/// The last days, from which a figure may drift away from the median of all.
const LATELY_DAYS: usize = 3;
/// Half of a band, in robust standard deviations of the days before.
const DEVIATIONS: f64 = 5.0;
/// How much of an interval of 95 % a figure may also move by chance.
const CHANCE: f64 = 3.0;

/// Distance between days from which on a field's values come and go: creatives are born and die, and the largest of
/// them may move a tenth of all rows overnight.
const TURNOVER: f64 = 0.025;
/// How far the distribution of such a field may move, as long as the served file is as good as before and knows as many
/// of its values: at least the first, and up to the second as far as its two largest values have so large a share.
/// Values are born and die by themselves. If each is replaced every ten days, one of the two is on every fifth day, and
/// both are on every hundredth: three times in ten months. With a third one, it would be once in three years.
const TURNOVER_DISTANCE: [f64; 2] = [0.14, 0.25];
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

/// The scale on which a figure is compared, and how far it may move on any day.
struct Kind {
    is_ratio: bool,
    floor: f64,
    action: &'static str,
}

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
    /// Compares the day with the days before, and returns the figures that jumped, worst first. Without days before,
    /// nothing can jump.
    #[must_use]
    pub fn jumps(&self, before: &[Self], bands: Bands<'_>) -> Vec<Jump> {
        let rises = |name: &str| {
            let place = self.place(name, before, bands);
            place.is_some_and(|place| place.middle + FELT * place.half < place.found)
        };
        let is_worse = rises("normalized_entropy");
        // A click rate that the served file predicted is that of other rows, not of other labels.
        let is_predicted = self
            .place("calibration", before, bands)
            .is_some_and(|place| (place.found - place.middle).abs() < FELT * place.half);
        let jumps = self.figures.keys().filter_map(|name| {
            if name == "ctr" && is_predicted {
                return None;
            }
            let field = name.strip_prefix("distance of ");
            if name.strip_prefix("unseen of ").is_some_and(|field| self.has_the_same_values(field)) {
                return None;
            }
            let is_felt = is_worse || field.is_some_and(|field| rises(&format!("unseen of {field}")));
            self.place(name, before, bands)?.jump(name, is_felt)
        });
        let mut jumps: Vec<Jump> = jumps.collect();
        for jump in moves(self, before, bands) {
            match jumps.iter_mut().find(|other| other.figure == jump.figure) {
                Some(known) if jump.distance > known.distance => *known = jump,
                Some(_) => {}
                None => jumps.push(jump),
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

    /// Returns where a figure is in its band; `None` if it is not known, or was not known before.
    fn place(&self, name: &str, before: &[Self], bands: Bands<'_>) -> Option<Place> {
        let days: Vec<&Self> = learned_from(before, name).collect();
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
        let turnover = name.strip_prefix("distance of ").map_or(0.0, |field| largest_shares(field, &days));
        Some(Place { found, middle, half, turnover, is_ratio, action })
    }
}

/// Returns the share of the two largest values of a field together, on the day on which it was largest.
fn largest_shares(field: &str, days: &[&Day]) -> f64 {
    let two_largest = |day: &&Day| {
        let mut shares = day.distributions.get(field)?.clone();
        shares.sort_by(|one, other| other.total_cmp(one));
        Some(shares.iter().take(2).sum())
    };
    days.iter().filter_map(two_largest).fold(0.0, f64::max)
}

/// A figure and its band, on the scale on which they are compared.
struct Place {
    found: f64,
    middle: f64,
    half: f64,
    /// Of a distance: the share that the two largest values of its field had on a day.
    turnover: f64,
    is_ratio: bool,
    action: &'static str,
}

impl Place {
    /// Returns the jump of the figure, if it is one. `is_felt` says whether the served file is worse than before, or
    /// knows less of the field.
    fn jump(&self, name: &str, is_felt: bool) -> Option<Jump> {
        let &Self { found, middle, mut half, turnover, is_ratio, action } = self;
        if name.starts_with("distance of ") && middle > TURNOVER && !is_felt {
            let [least, most] = TURNOVER_DISTANCE;
            half = half.max(turnover.clamp(least, most));
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

#[cfg(test)]
mod tests {
    use super::super::test_days::{bands, day, names};
    use super::*;
    use std::collections::BTreeMap;

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
        // Its two largest values have 19 % of the rows, and both were replaced in one night.
        let large = |day: &Day| {
            let mut day = day.clone();
            day.distributions.insert("creative".to_owned(), vec![0.05, 0.13, 0.04, 0.06]);
            day
        };
        let of_large: Vec<Day> = moving.iter().map(large).collect();
        assert_eq!(names(&with(0.24, 0.86, 99), &moving), ["distance of creative"]);
        assert_eq!(names(&with(0.24, 0.86, 99), &of_large), [""; 0]);
        assert_eq!(names(&with(0.26, 0.86, 99), &of_large), ["distance of creative"], "more than both");
        assert!(names(&with(0.24, 0.89, 99), &of_large).contains(&"distance of creative".to_owned()), "it is felt");
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
}
