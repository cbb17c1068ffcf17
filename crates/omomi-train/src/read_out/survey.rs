//! The first pass over the logs: which arms there are, when, and whether the rows are sound.

use std::collections::{BTreeMap, BTreeSet};

use omomi::feature::text_value;

use super::error::ReadOutError;
use super::fit::Fit;
use super::rows::{Columns, Row, each_row};
use super::units::ByUnit;

/// Most arms of an experiment.
pub(super) const MAX_ARMS: usize = 64;
/// Most prediction ids that are compared: above, a sample of half of them, of a quarter, and so on.
const MAX_COMPARED_IDS: usize = 1 << 21;
/// Most names of experiments that an error lists.
const MAX_EXPERIMENTS: usize = 8;

/// Which rows belong to the read-out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection<'a> {
    pub(super) experiment: Option<&'a str>,
    pub(super) since_us: Option<i64>,
    pub(super) until_us: Option<i64>,
}

/// Why a row does not belong to the read-out.
pub(super) const NO_EXPERIMENT: &str = "without an experiment or an arm";
pub(super) const OTHER_EXPERIMENT: &str = "of another experiment";
pub(super) const NO_UNIT: &str = "without a unit";
pub(super) const OTHER_TIME: &str = "outside of the time range";
pub(super) const SHADOW: &str = "of a shadow";
pub(super) const REPLACED: &str = "replaced by a late row";

impl Selection<'_> {
    pub(super) fn is_in_time(&self, row: &Row<'_>) -> bool {
        self.since_us.is_none_or(|since| row.time_us >= since) && self.until_us.is_none_or(|until| row.time_us < until)
    }

    /// Returns the unit and the arm of a row, or why it does not belong to the read-out.
    pub(super) fn of<'r>(&self, row: &Row<'r>) -> Result<(u64, &'r str), &'static str> {
        let (Some(experiment), Some(arm)) = (row.experiment, row.arm) else { return Err(NO_EXPERIMENT) };
        if self.experiment.is_some_and(|wanted| wanted != experiment) {
            return Err(OTHER_EXPERIMENT);
        }
        if !self.is_in_time(row) {
            return Err(OTHER_TIME);
        }
        Ok((row.unit.ok_or(NO_UNIT)?, arm))
    }
}

/// When an arm was seen, and in which buckets.
#[derive(Debug, Clone, Default)]
pub(super) struct ArmSurvey {
    pub(super) row_count: u64,
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    pub(super) buckets: BTreeSet<u32>,
}

/// What the first pass found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) experiment: String,
    pub(super) arms: BTreeMap<String, ArmSurvey>,
    pub(super) row_count: u64,
    pub(super) left_out: BTreeMap<&'static str, u64>,
    /// Whether some row was shown: then only those are impressions.
    pub(super) of_impressions: bool,
    /// The hash of the id of each late row, with the number of the last one.
    pub(super) late: ByUnit<u64>,
    /// Whether the rows that are not late are in the order of time.
    pub(super) is_in_order: bool,
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    /// What looks odd beside the experiment file.
    pub(super) note: Option<String>,
}

/// The ids of rows, of a sample that halves whenever there are too many.
#[derive(Default)]
struct Ids {
    seen: ByUnit<()>,
    /// Ids whose hash has this many zeros at the end are compared.
    zeros: u32,
    repeated: u64,
    compared: u64,
    first: String,
}

impl Ids {
    fn add(&mut self, id: &str) {
        let hash = text_value(id.as_bytes());
        if hash.trailing_zeros() < self.zeros {
            return;
        }
        self.compared += 1;
        if self.seen.insert(hash, ()).is_some() {
            self.repeated += 1;
            if self.first.is_empty() {
                id.clone_into(&mut self.first);
            }
        }
        if self.seen.len() > MAX_COMPARED_IDS {
            self.zeros += 1;
            self.seen.retain(|hash, ()| hash.trailing_zeros() >= self.zeros);
        }
    }
}

impl Survey {
    /// Returns whether a late row, which has the events that came late, replaces this one.
    pub(super) fn is_replaced(&self, row: &Row<'_>) -> bool {
        !self.late.is_empty() && self.late.get(&text_value(row.id.as_bytes())).is_some_and(|last| *last != row.number)
    }

    /// Reads all rows. Those of the experiment must fit its file, if there is one.
    pub(super) fn of(
        patterns: &[String],
        columns: &Columns,
        selection: Selection<'_>,
        mut fit: Option<Fit<'_>>,
    ) -> Result<Self, ReadOutError> {
        let mut survey = Self { is_in_order: true, first_us: i64::MAX, last_us: i64::MIN, ..Self::default() };
        let (mut ids, mut experiments, mut before_us) = (Ids::default(), BTreeSet::new(), i64::MIN);
        let shadow_count = each_row(patterns, columns, &mut |row, _| {
            survey.row_count += 1;
            if row.is_late {
                survey.late.insert(text_value(row.id.as_bytes()), row.number);
            }
            let arm = match selection.of(row) {
                Ok((_, arm)) => arm,
                Err(reason) => {
                    *survey.left_out.entry(reason).or_default() += 1;
                    return Ok(());
                }
            };
            if let Some(experiment) = row.experiment
                && experiments.len() < MAX_EXPERIMENTS
                && !experiments.contains(experiment)
            {
                experiments.insert(experiment.to_owned());
            }
            if !row.is_late {
                ids.add(row.id);
                survey.is_in_order &= row.time_us >= before_us;
                before_us = row.time_us;
            }
            survey.of_impressions |= row.is_shown;
            survey.first_us = survey.first_us.min(row.time_us);
            survey.last_us = survey.last_us.max(row.time_us);
            if let Some(fit) = &mut fit {
                fit.add(row, arm);
            }
            survey.add_to_arm(arm, row)
        })?;
        if shadow_count > 0 {
            survey.left_out.insert(SHADOW, shadow_count);
        }
        if experiments.len() > 1 {
            return Err(ReadOutError::SeveralExperiments { found: experiments.into_iter().collect() });
        }
        let Some(experiment) = experiments.into_iter().next() else {
            let expected = selection.experiment.map(|name| format!("the experiment `{name}`"));
            return Err(ReadOutError::NoRows { row_count: survey.row_count, expected });
        };
        if ids.repeated > 0 {
            let (found, looked_at) = (ids.repeated, ids.compared);
            return Err(ReadOutError::RepeatedRows { found, looked_at, first: ids.first });
        }
        let note = fit.map_or(Ok(None), Fit::finish)?;
        Ok(Self { experiment, note, ..survey })
    }

    fn add_to_arm(&mut self, arm: &str, row: &Row<'_>) -> Result<(), ReadOutError> {
        if !self.arms.contains_key(arm) {
            if self.arms.len() == MAX_ARMS {
                return Err(ReadOutError::TooManyArms { max: MAX_ARMS });
            }
            let new = ArmSurvey { first_us: row.time_us, last_us: row.time_us, ..ArmSurvey::default() };
            self.arms.insert(arm.to_owned(), new);
        }
        let Some(known) = self.arms.get_mut(arm) else { return Ok(()) };
        known.row_count += 1;
        known.first_us = known.first_us.min(row.time_us);
        known.last_us = known.last_us.max(row.time_us);
        // A bucket is one of 10,000; other numbers are no buckets of an experiment.
        known.buckets.extend(row.bucket.filter(|bucket| *bucket < 10_000));
        Ok(())
    }
}
