//! Jumps that show only in how far figures move: the click rate or the entropy alone, or the click rate together with
//! the entropy, the rows or the slope.
//!
//! A level may wander further in a month than a fault moves it in a night. So each figure is compared with what the
//! days before let expect, and its error with the errors on those days. Two small errors at once, in the directions in
//! which one fault moves both figures, are seldom chance:
//!
//! | the click rate | and | because |
//! |---|---|---|
//! | moves | the entropy rises | clicks were lost, or made by something else than people |
//! | rises | the rows fall | rows without a click were lost |
//! | rises | the slope falls | machines click on everything |
//!
//! What the served file expects is no surprise. A large campaign that it knows may double its share in a night, and the
//! click rate moves with it, as the predictions do. A fault of the labels leaves the features as they are, and so the
//! predictions: it moves the click rate and, by as much, the calibration. So the click rate counts as moved only as far
//! as both moved, each in its own standard deviations. On healthy days, the two errors are correlated by one half, so
//! the lesser of them is seldom large: limits of 3.9 for it alone, and 2.55 together with the rows, are exceeded as
//! seldom as 4.7 and 2.95 by the click rate.
//!
//! A fault stays, and chance does not: where yesterday's rise was too small to be noticed, the rows or the slope of
//! both days together say more. This is early enough, for what is served today did not learn yesterday's log.

use super::day::{Day, MAX_DAYS};
use super::jump::{Bands, CHANGED_LABELS, Jump, ROWS_OF_TWO_DAYS, SLOPE_OF_TWO_DAYS};
use super::numbers::{mean, median, root_mean_square};
use omomi::error::Owner;

/// Half of the band of a move of the click rate since the day before, in standard deviations.
const CLICK_DEVIATIONS: f64 = 3.9;
/// Half of the band of a rise of the entropy above that of the last days. Clicks without a cause, as those of machines,
/// raise it.
const ENTROPY_DEVIATIONS: f64 = 4.1;
/// Half of the band of both together.
const JOINT_DEVIATIONS: f64 = 3.25;
/// Half of the band of a rise of the click rate and a fall of the rows together: today, and since yesterday.
const LOST_ROWS_DEVIATIONS: f64 = 2.55;
/// Half of the band of a rise of the click rate and a fall of the slope together: today, and since yesterday.
const MACHINE_DEVIATIONS: [f64; 2] = [2.6, 2.4];
/// How much of a rise of the click rate counts if the calibration does not say whether the served file expected it: the
/// limits are those for the lesser of two moves.
const RISE_ALONE: f64 = 0.8;
/// What a figure adds to such a pair at most, in standard deviations: what moved further is noticed alone, by its name.
const MAX_TOGETHER: f64 = 5.0;
/// Fewer errors than these do not say how far a figure moves.
const MIN_ERRORS: usize = 4;
/// From this number of errors on, the largest of them counts like the second largest. So one night on which the level
/// moved by itself does not hide the faults of the weeks after it.
const ERRORS_WITH_OUTLIER: usize = 7;
/// The fewer errors, the wider the bands, as the quantiles of Student's distribution: by this factor over the square of
/// their number, and 1.
const FEW_ERRORS: f64 = 10.0;

/// How a figure goes on by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    /// Its level wanders: as on the day before.
    Wanders,
    /// As on the last [`LATELY_DAYS`] days.
    Lingers,
    /// As on all days: the served file learns the slope again every day, and the number of rows has a usual level.
    Stays,
}

/// Fewer days than these do not say what the level of a figure is.
const MIN_LEVEL_DAYS: usize = 4;
/// Days whose median the entropy is compared with.
const LATELY_DAYS: usize = 3;

/// A figure whose moves are judged.
struct Figure {
    name: &'static str,
    course: Course,
    /// The least standard deviation of its moves, as a logarithm, without chance.
    min_deviation: f64,
    /// Whether it may move as on the same day of the week before.
    is_weekly: bool,
}

const CLICK_RATE: Figure = Figure { name: "ctr", course: Course::Wanders, min_deviation: 0.012, is_weekly: true };
/// The served file learns the level again every day.
const CALIBRATION: Figure =
    Figure { name: "calibration", course: Course::Stays, min_deviation: 0.012, is_weekly: false };
const ENTROPY: Figure =
    Figure { name: "normalized_entropy", course: Course::Lingers, min_deviation: 0.002, is_weekly: true };
const ROWS: Figure = Figure { name: "rows", course: Course::Stays, min_deviation: 0.02, is_weekly: true };
const SLOPE: Figure = Figure { name: "slope", course: Course::Stays, min_deviation: 0.005, is_weekly: false };

impl Figure {
    /// Returns the standard deviation of its logarithm on a day by chance.
    fn chance(&self, day: &Day) -> f64 {
        let chance = 1.0 / (day.clicks.max(1) as f64).sqrt();
        match self.name {
            "ctr" | "calibration" => chance,
            "normalized_entropy" => day.entropy_deviation.unwrap_or(0.2 * chance),
            "slope" => day.slope_deviation.unwrap_or(0.0),
            _ => 0.0,
        }
    }
}

/// Returns the jumps of a day that show only in how far figures move.
pub(super) fn moves(today: &Day, before: &[Day], bands: Bands<'_>) -> Vec<Jump> {
    let days = Days::new(today, before);
    let last = days.days.len() - 1;
    let [clicks, entropy] = [&CLICK_RATE, &ENTROPY].map(|figure| days.move_of(figure, last, 1));
    let (Some(clicks), Some(entropy)) = (clicks, entropy) else { return Vec::new() };
    let unexpected = days.unexpected_rise(last).unwrap_or(0.0);
    let limit = |name: &str, deviations: f64| bands.factor_of(name) * deviations;
    let joint = (unexpected.abs() + entropy.deviations()) / std::f64::consts::SQRT_2;
    let joint = joint / limit("ctr", JOINT_DEVIATIONS).max(limit("normalized_entropy", JOINT_DEVIATIONS));
    // How far the click rate rose and the other figure fell over the last days.
    let pair = |figure: &Figure, day_count: usize, deviations: f64| {
        let rise = days.unexpected_rise(last + 1 - day_count)?;
        let fall = days.move_of(figure, last, day_count)?;
        let [rise, down] = [rise, -fall.deviations()].map(|it| it.min(MAX_TOGETHER));
        let both = if rise > 0.0 && down > 0.0 { (rise + down) / std::f64::consts::SQRT_2 } else { 0.0 };
        Some((both / limit("ctr", deviations).max(limit(figure.name, deviations)), fall))
    };
    let lost = [1, 2].map(|count| pair(&ROWS, count, LOST_ROWS_DEVIATIONS));
    let machines = [1, 2].map(|count| pair(&SLOPE, count, MACHINE_DEVIATIONS[count - 1]));
    let lost_today = lost[0].as_ref().map_or(0.0, |(distance, _)| *distance);
    let rate = (unexpected.abs() / limit("ctr", CLICK_DEVIATIONS)).max(joint).max(lost_today);
    let rise = entropy.deviations() / limit("normalized_entropy", ENTROPY_DEVIATIONS);
    let jump = |name: &str, pair: &Option<(f64, Move)>| pair.as_ref()?.1.jump(name, pair.as_ref()?.0);
    let jumps = [
        clicks.jump("ctr", rate),
        entropy.jump("normalized_entropy", rise),
        jump("slope", &machines[0]),
        jump(ROWS_OF_TWO_DAYS, &lost[1]),
        jump(SLOPE_OF_TWO_DAYS, &machines[1]),
    ];
    jumps.into_iter().flatten().collect()
}

/// The days that say how far figures move, and today as the last of them. A figure that people accepted begins a new
/// level with that day. The days before it still say how far it moves.
struct Days<'a> {
    days: Vec<&'a Day>,
}

impl<'a> Days<'a> {
    fn new(today: &'a Day, before: &'a [Day]) -> Self {
        let known: Vec<&Day> = before.iter().filter(|day| day.is_known()).collect();
        let mut days = known[known.len().saturating_sub(MAX_DAYS)..].to_vec();
        days.push(today);
        Self { days }
    }

    /// Returns how far the mean of a figure over `day_count` days that end with the day `end` moved from what the days
    /// before them let expect. `None` if too few days say how far it moves.
    fn move_of(&self, figure: &Figure, end: usize, day_count: usize) -> Option<Move> {
        let errors: Vec<f64> =
            (0..end).filter_map(|end| self.error(figure, end, day_count)).map(|it| it.in_units()).collect();
        if errors.len() < MIN_ERRORS {
            return None;
        }
        let few = 1.0 + FEW_ERRORS / (errors.len() as f64).powi(2);
        let begin = self.begin(figure, end);
        if figure.course == Course::Stays && end + 1 - day_count < begin + MIN_LEVEL_DAYS {
            return None;
        }
        let error = self.error(figure, end, day_count)?;
        let chance = figure.chance(self.days[end]);
        // The error of a level is in units that are those of one day.
        let chance = if figure.course == Course::Stays { chance } else { chance / (day_count as f64).sqrt() };
        let mut deviation = without_outlier(errors).max(figure.min_deviation.hypot(chance));
        // A move over several days is the sum of theirs.
        let end_us = |index: usize| Some(self.days[index].window_us?[1] as f64);
        if figure.course != Course::Stays
            && let Some((end_us, before_us)) = end_us(end).zip(end_us(end - 1))
        {
            deviation *= ((end_us - before_us) / 86_400e6).max(1.0).sqrt();
        }
        // On the same day of the week before, it may have moved as far.
        let week_ago = end.checked_sub(7).filter(|ago| figure.is_weekly && ago + 1 - day_count >= begin + LATELY_DAYS);
        let week_ago = week_ago.and_then(|ago| self.error(figure, ago, day_count)).map_or(0.0, |it| it.value());
        let is_as_then = (error.value() - week_ago).abs() < error.value().abs();
        let middle = error.expected + if is_as_then { week_ago } else { 0.0 };
        Some(Move { found: error.found, middle, deviation: deviation * error.unit * few })
    }

    /// Returns by how many standard deviations the click rate of a day rose although the served file did not expect it.
    /// `None` if too few days say how far it moves. Where they do not say it of the calibration, most of a rise counts.
    fn unexpected_rise(&self, end: usize) -> Option<f64> {
        let rise = self.move_of(&CLICK_RATE, end, 1)?.deviations();
        let Some(calibration) = self.move_of(&CALIBRATION, end, 1) else { return Some(RISE_ALONE * rise) };
        // The calibration ratio falls where more is clicked than was predicted.
        let missed = -calibration.deviations();
        Some(if rise * missed > 0.0 { rise.signum() * rise.abs().min(missed.abs()) } else { 0.0 })
    }

    /// Returns the first day of the level that a figure has on a day.
    fn begin(&self, figure: &Figure, index: usize) -> usize {
        // Whether today is accepted is not known when it is compared.
        let days = &self.days[..=index.min(self.days.len().saturating_sub(2))];
        days.iter().rposition(|day| day.begins_again(figure.name)).unwrap_or(0)
    }

    /// Compares the mean of a figure over some days with what the days of the same level before them let expect.
    fn error(&self, figure: &Figure, end: usize, day_count: usize) -> Option<Error> {
        let first = (end + 1).checked_sub(day_count)?;
        let begin = self.begin(figure, end);
        if first <= begin {
            return None;
        }
        let log = |day: &&Day| day.figures.get(figure.name).map(|value| value.max(1e-9).ln());
        let found = self.days[first..=end].iter().map(log).collect::<Option<Vec<f64>>>()?;
        let before: Vec<f64> = self.days[begin..first].iter().filter_map(log).collect();
        let expected = match figure.course {
            Course::Wanders => *before.last()?,
            Course::Lingers => median(&before[before.len().saturating_sub(LATELY_DAYS)..])?,
            Course::Stays if before.is_empty() => return None,
            Course::Stays => mean(&before),
        };
        let unit = match figure.course {
            Course::Stays => (1.0 / day_count as f64 + 1.0 / before.len() as f64).sqrt(),
            Course::Wanders | Course::Lingers => 1.0,
        };
        Some(Error { found: mean(&found), expected, unit })
    }
}

/// A logarithm that was found, and the one that was expected.
struct Error {
    found: f64,
    expected: f64,
    /// The standard deviation of the difference, if that of a day is 1: the means of fewer days are less sure.
    unit: f64,
}

impl Error {
    fn value(&self) -> f64 {
        self.found - self.expected
    }

    fn in_units(&self) -> f64 {
        self.value() / self.unit
    }
}

/// Returns the root of the mean square of errors, of which the largest may be an outlier.
fn without_outlier(mut errors: Vec<f64>) -> f64 {
    errors.sort_by(|one, other| one.abs().total_cmp(&other.abs()));
    if errors.len() >= ERRORS_WITH_OUTLIER
        && let [.., second, largest] = &mut errors[..]
    {
        *largest = *second;
    }
    root_mean_square(&errors)
}

/// How far the logarithm of a figure moved.
struct Move {
    found: f64,
    middle: f64,
    /// Standard deviation of such moves.
    deviation: f64,
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

#[cfg(test)]
mod tests {
    use super::super::test_days::{bands, day, names};
    use super::*;

    /// A day whose calibration is not known, so that most of a move of the click rate counts.
    fn with_clicks(ctr: f64, entropy: f64, number: i64) -> Day {
        let mut day = day(1.0, 0.2, number);
        day.figures.remove("calibration");
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
        let before = healthy(13);
        let last = before[12].figures["ctr"];
        let on = |rows: f64, ctr: f64, slope: f64| names(&with_rows(rows, last * ctr, slope, 13), &before);
        assert_eq!(on(17_000.0, 1.0, 1.0), [""; 0], "rows of every kind were lost");
        assert_eq!(on(20_000.0, 1.1, 1.0), [""; 0], "the click rate moved");
        assert_eq!(on(17_000.0, 0.92, 1.0), [""; 0], "clicks fell with the rows");
        assert_eq!(on(16_000.0, 1.16, 1.0), ["ctr"], "rows without a click were lost");
        assert_eq!(on(20_000.0, 1.0, 0.95), [""; 0], "the served file grew old");
        assert_eq!(on(20_000.0, 0.95, 0.92), [""; 0]);
        assert_eq!(on(20_000.0, 1.09, 0.92), ["slope"], "machines click on everything");
        let jump = &with_rows(200.0, last * 1.05, 1.0, 13).jumps(&before, bands(1.0))[0];
        assert_eq!(jump.figure, "rows", "a hundredth of the rows is no matter of the click rate");
        assert_eq!(on(12_000.0, 1.4, 0.99)[0], "ctr", "half of the rows without a click");
        let few: Vec<Day> = before[..4].to_vec();
        assert_eq!(names(&with_rows(16_000.0, last * 1.16, 0.92, 4), &few), [""; 0], "too few days");
    }

    #[test]
    fn a_click_rate_that_the_served_file_expects_is_no_jump() {
        let before: Vec<Day> = healthy(13)
            .into_iter()
            .enumerate()
            .map(|(index, mut day)| {
                let calibration = 1.0 + if index.is_multiple_of(2) { 0.03 } else { -0.03 };
                day.figures.insert("calibration".to_owned(), calibration);
                day
            })
            .collect();
        let last = before[12].figures["ctr"];
        let on = |rows: f64, ctr: f64, slope: f64, calibration: f64| {
            let mut day = with_rows(rows, last * ctr, slope, 13);
            day.figures.insert("calibration".to_owned(), calibration);
            names(&day, &before).into_iter().filter(|name| name != "calibration").collect::<Vec<_>>()
        };
        assert_eq!(on(20_000.0, 1.3, 1.0, 0.97), [""; 0], "a large campaign that it knows has joined");
        assert_eq!(on(16_000.0, 1.16, 0.92, 1.02), [""; 0], "and others have left");
        assert_eq!(on(20_000.0, 1.3, 1.0, 1.0 / 1.3), ["ctr"], "the labels changed");
        assert_eq!(on(16_000.0, 1.16, 1.0, 1.0 / 1.16), ["ctr"], "rows without a click were lost");
        assert_eq!(on(20_000.0, 1.09, 0.92, 1.0 / 1.09), ["slope"], "machines click on everything");
        assert_eq!(on(20_000.0, 0.75, 1.0, 1.0 / 0.75), ["ctr"], "clicks were lost");
    }

    /// Days of 20,000 rows whose click rate, rows and slope move by chance.
    fn healthy(count: usize) -> Vec<Day> {
        let random = [0.9_f64, -0.4, 0.1, -1.3, 0.6, -0.2, 1.2, -0.8, 0.4, -0.5, 0.7, -0.9];
        let at = |index: usize| random[index % random.len()];
        let day = |it: usize| {
            let (rows, ctr) = (20_000.0 * (0.06 * at(it)).exp(), 0.2 * (0.03 * at(it + 5)).exp());
            with_rows(rows, ctr, 1.0 + 0.02 * at(it + 3), i64::try_from(it).unwrap())
        };
        (0..count).map(day).collect()
    }

    #[test]
    fn a_fault_that_was_too_small_on_its_first_day_is_noticed_on_its_second() {
        let mut before = healthy(13);
        let last = before[12].figures["ctr"];
        let second = |before: &mut Vec<Day>, [rows, ctr, slope]: [f64; 3]| {
            let first = with_rows(rows, last * ctr, slope, 13);
            assert_eq!(names(&first, before), [""; 0]);
            before.push(first);
            let found = names(&with_rows(rows, last * ctr, slope, 14), before);
            before.pop();
            found
        };
        assert_eq!(second(&mut before, [17_900.0, 1.06, 1.0]), ["rows of two days"], "rows without a click were lost");
        assert_eq!(second(&mut before, [20_000.0, 1.07, 0.95]), ["slope of two days"], "machines click");
        assert_eq!(second(&mut before, [17_600.0, 1.0, 0.96]), [""; 0], "without a rise of the click rate");
        assert_eq!(second(&mut before, [20_000.0, 1.08, 1.0]), [""; 0], "a rise of the click rate alone");
        before.push(with_rows(17_900.0, last * 1.06, 1.0, 13));
        let jump = &with_rows(17_900.0, last * 1.06, 1.0, 14).jumps(&before, bands(1.0))[0];
        assert!(jump.expected[0] > jump.found && jump.expected[1] > 20_000.0, "{jump:?}");
        let by_figure = [("rows".to_owned(), 2.0)].into();
        let wider = Bands { factor: 1.0, by_figure: &by_figure };
        assert!(with_rows(17_900.0, last * 1.06, 1.0, 14).jumps(&before, wider).is_empty(), "people can widen it");
        before[13].accepted = Some("looked at it".to_owned());
        assert_eq!(names(&with_rows(17_900.0, last * 1.06, 1.0, 14), &before), [""; 0], "the level of an accepted day");
        let mut after = |figure: &str| {
            before[13].accepted_figures = Some([figure.to_owned()].into());
            names(&with_rows(17_900.0, last * 1.06, 1.0, 14), &before)
        };
        assert_eq!(after("distance of creative"), ["rows of two days"], "of which another figure was accepted");
        assert_eq!(after("rows"), [""; 0]);
        assert_eq!(after("ctr"), [""; 0], "the click rate has not risen from its new level");
        assert_eq!(jump.figure_of_day(), "rows");
    }

    #[test]
    fn one_night_does_not_hide_the_faults_after_it_and_an_accepted_day_does_not_make_blind() {
        let mut before = healthy(13);
        let lost = |before: &[Day], factor: f64| {
            let ctr = before.last().unwrap().figures["ctr"] * factor;
            names(&with_rows(16_400.0, ctr, 1.0, i64::try_from(before.len()).unwrap()), before)
        };
        assert_eq!(lost(&before, 1.16), ["ctr"]);
        // A large advertiser left on the fifth day.
        for day in &mut before[5..] {
            *day.figures.get_mut("ctr").unwrap() *= 0.8;
        }
        assert_eq!(lost(&before, 1.16), ["ctr"]);
        // People looked at that day, and took it.
        (before[5].jumped, before[5].accepted) = (true, Some("an advertiser left".to_owned()));
        assert_eq!(lost(&before, 1.16), ["ctr"]);
        assert_eq!(lost(&before[..9], 1.16), ["ctr"], "three days after it");
        assert_eq!(lost(&before[..9], 1.02), [""; 0]);
    }
}
