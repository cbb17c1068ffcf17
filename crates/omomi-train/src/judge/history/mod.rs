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
//! [`Day::of`] makes the figures (`day`), [`Day::jumps`] compares them: each by itself with its band (`bands`), and
//! some by how far they move, alone or in pairs (`moves`).
//!
//! One file per day: `STORE/history/<end of the window>-<digest of the logs>.json`. A day that jumped does not widen
//! the bands of the days after, unless people accept it: then the bands of the figures that jumped begin again with
//! that day. All others keep their history, for a band that begins again is wide, and would hide a fault of another
//! kind.

mod bands;
mod day;
mod jump;
mod moves;
mod numbers;
#[cfg(test)]
mod test_days;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use crate::evaluate::EvaluatedRows;
use omomi::new_file::NewFile;

pub use day::Day;
pub use jump::{Bands, Jump};

use day::{learned_from, logs_of};
use numbers::{root_mean_square, standard_deviation};

/// Fewer days than these do not say how far the calibration moves.
const MIN_CALIBRATION_DAYS: usize = 5;
/// What is assumed until then. With less, the first days of a new store are held back in one month of ten.
const ASSUMED_CALIBRATION_DEVIATION: f64 = 0.045;

/// Returns how the days that bands are learned from counted their rows, if `day` counts otherwise: by their importance
/// column, or once each.
#[must_use]
pub fn counted_otherwise(day: &Day, before: &[Day]) -> Option<String> {
    let last = before.iter().rfind(|day| day.is_known())?;
    let words = |day: &Day| match &day.importance_column {
        Some(column) => format!("by the importance column `{column}`"),
        None => "once each".to_owned(),
    };
    let differs = last.importance_column.is_some() != day.importance_column.is_some();
    differs.then(|| format!("rows count {}, those of the days before {}", words(day), words(last)))
}

/// How far the calibration of what is served moves from day to day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CalibrationMoves {
    /// Standard deviation of its logarithm.
    pub(super) deviation: f64,
    /// Whether there are too few days yet, and [`ASSUMED_CALIBRATION_DEVIATION`] is taken.
    pub(super) is_assumed: bool,
}

/// Returns how far the calibration of what was served moves from day to day. `None` without a day before. Where the
/// click rate wanders, no file that learned the days before can be nearer. A slow drift is no such move: each of its
/// steps is small.
pub(super) fn calibration_moves(before: &[Day]) -> Option<CalibrationMoves> {
    let values = logs_of("calibration", learned_from(before, "calibration"));
    if (1..MIN_CALIBRATION_DAYS).contains(&values.len()) {
        return Some(CalibrationMoves { deviation: ASSUMED_CALIBRATION_DEVIATION, is_assumed: true });
    }
    let steps: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let deviation = standard_deviation(&values).min(root_mean_square(&steps));
    (!values.is_empty()).then_some(CalibrationMoves { deviation, is_assumed: false })
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

    /// Reads the day of these logs, if people accepted it.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn accepted(&self, rows: &EvaluatedRows) -> io::Result<Option<Day>> {
        let of_rows = self.read()?.into_iter().find(|day| day.log_digests == rows.log_digests);
        Ok(of_rows.filter(|day| day.accepted.is_some()))
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
    use super::test_days::{day, names};
    use super::*;

    #[test]
    fn the_calibration_of_what_is_served_moves_as_far_as_its_history_says() {
        let moving: Vec<Day> = (0..8).map(|at| day(if at % 2 == 0 { 0.95 } else { 1.05 }, 0.2, at)).collect();
        let measured = |days: &[Day]| {
            let found = calibration_moves(days).unwrap();
            assert!(!found.is_assumed);
            found.deviation
        };
        let deviation = measured(&moving);
        assert!((0.04..0.07).contains(&deviation), "{deviation}");
        let drifting: Vec<Day> = (0..20_i32).map(|at| day(1.0 + 0.01 * f64::from(at), 0.2, at.into())).collect();
        assert!(measured(&drifting) < 0.011, "a slow drift moves little from day to day");
        let biased: Vec<Day> = (0..8).map(|at| day(1.09, 0.2, at)).collect();
        assert!(measured(&biased) < 1e-9, "always wrong by as much is no move");
        assert!(calibration_moves(&moving[..3]).unwrap().is_assumed);
        assert_eq!(calibration_moves(&[]), None);
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
    fn an_accepted_day_begins_only_the_figures_that_had_jumped() {
        let with_rows = |calibration: f64, rows: f64, number: i64| {
            let mut day = day(calibration, 0.2, number);
            day.figures.insert("rows".to_owned(), rows);
            day
        };
        let accepted = |figures: Option<&[&str]>| Day {
            jumped: true,
            accepted: Some("a new kind of ad".to_owned()),
            accepted_figures: figures.map(|figures| figures.iter().map(|&name| name.to_owned()).collect()),
            ..with_rows(1.5, 20_000.0, 9)
        };
        let before = |figures: Option<&[&str]>| -> Vec<Day> {
            (0..9).map(|at| with_rows(1.0, 20_000.0, at)).chain([accepted(figures)]).collect()
        };
        let half_of_the_rows = with_rows(1.5, 10_000.0, 10);
        let of_calibration = before(Some(&["calibration"]));
        assert_eq!(names(&half_of_the_rows, &of_calibration), ["rows"], "their band is as narrow as it was");
        assert_eq!(names(&with_rows(1.5, 20_000.0, 10), &of_calibration), [""; 0]);
        assert_eq!(names(&with_rows(1.0, 20_000.0, 10), &of_calibration), ["calibration"], "it has a new level");
        assert_eq!(learned_from(&of_calibration, "calibration").count(), 1);
        assert_eq!(learned_from(&of_calibration, "distance of user").count(), 10);
        assert!(calibration_moves(&of_calibration).unwrap().is_assumed);
        assert!(!calibration_moves(&before(Some(&["rows"]))).unwrap().is_assumed);
        // What was taken although nothing had jumped begins nothing again.
        assert_eq!(learned_from(&before(Some(&[])), "calibration").count(), 10);
        // Files of earlier versions do not say which figures had jumped, so all begin again.
        let old = serde_json::to_string(&accepted(None)).unwrap();
        assert!(!old.contains("accepted_figures"), "{old}");
        assert_eq!(serde_json::from_str::<Day>(&old).unwrap(), accepted(None));
        assert_eq!(names(&half_of_the_rows, &before(None)), [""; 0]);
        assert_eq!(learned_from(&before(None), "distance of user").count(), 1);
        // The later of two accepted days counts, for each figure by itself.
        let mut twice = of_calibration;
        twice.extend([with_rows(1.5, 20_000.0, 10), Day { log_digests: Vec::new(), ..accepted(Some(&["rows"])) }]);
        let counts = ["calibration", "rows", "distance of user"].map(|name| learned_from(&twice, name).count());
        assert_eq!(counts, [3, 1, 12]);
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
}
