//! Whether the rows of logs are those of an experiment file.

use omomi::experiment::{ArmState, Experiment, Purpose, Unit, bucket_of, draw};
use omomi::feature::{id_value, text_value};

use super::error::ReadOutError;
use super::rows::Row;
use crate::readable::grouped;

/// Column of the unit if each request is one.
const REQUEST_ID: &str = "request_id";

/// Returns the column of the unit of an experiment.
pub(super) fn unit_column(experiment: &Experiment) -> &str {
    match &experiment.unit {
        Unit::Request => REQUEST_ID,
        Unit::Field(name) => name,
    }
}

/// Returns the planned share of each arm that answers units of its own, in buckets.
pub(super) fn planned_shares(experiment: &Experiment) -> Vec<(String, u64)> {
    let arms = experiment.arms.iter().enumerate();
    let serving = arms.filter(|(_, arm)| arm.state == ArmState::Serve);
    let shares = serving.map(|(index, arm)| (arm.name.clone(), u64::from(experiment.assignment.share(index))));
    shares.filter(|(_, share)| *share > 0).collect()
}

/// What rows say that contradicts a file, and the first such row.
#[derive(Debug, Default)]
struct Found {
    count: u64,
    first: String,
}

impl Found {
    fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.count == 1 {
            self.first = text();
        }
    }
}

/// Compares rows with an experiment file.
#[derive(Debug)]
pub(super) struct Fit<'a> {
    experiment: &'a Experiment,
    /// Whether the arms must own the buckets of their rows: not if the shares are those of another time.
    checks_owners: bool,
    /// Whether the logs have the unit itself: a hashed one has no bucket that could be compared.
    checks_units: bool,
    unknown_arms: Found,
    other_buckets: Found,
    other_owners: Found,
    of_control: u64,
}

impl<'a> Fit<'a> {
    pub(super) fn new(experiment: &'a Experiment, checks_owners: bool, checks_units: bool) -> Self {
        let (unknown_arms, other_buckets, other_owners) = (Found::default(), Found::default(), Found::default());
        Self { experiment, checks_owners, checks_units, unknown_arms, other_buckets, other_owners, of_control: 0 }
    }

    /// Adds a row of the experiment, which `arm` answered.
    pub(super) fn add(&mut self, row: &Row<'_>, arm: &str) {
        let experiment = self.experiment;
        let Some(index) = experiment.arm(arm) else {
            self.unknown_arms.add(|| format!("`{arm}`"));
            return;
        };
        let Some(bucket) = row.bucket.filter(|bucket| *bucket < omomi::experiment::BUCKET_COUNT) else { return };
        if self.checks_units
            && let Some(unit) = row.unit_text
        {
            // The file does not say whether a field has ids or texts.
            let id = unit.parse().ok().filter(|_| experiment.unit != Unit::Request).map(id_value);
            let buckets = [id, Some(text_value(unit.as_bytes()))]
                .map(|value| value.map(|value| bucket_of(draw(experiment.salt, Purpose::Bucket, value))));
            if !buckets.contains(&Some(bucket)) {
                self.other_buckets.add(|| format!("bucket {bucket} of the unit `{}`", unit.escape_debug()));
            }
        }
        let owner = experiment.arm_of(bucket);
        if self.checks_owners && owner != index {
            if index == experiment.control {
                self.of_control += 1;
            } else {
                let owner = experiment.arms.get(owner).map_or("no arm", |arm| &arm.name);
                self.other_owners.add(|| format!("bucket {bucket} in `{arm}`, which is of `{owner}` in the file"));
            }
        }
    }

    /// Returns what looks odd.
    ///
    /// # Errors
    ///
    /// Returns [`ReadOutError::OtherExperiment`] if the rows are not those of the file.
    pub(super) fn finish(self) -> Result<Option<String>, ReadOutError> {
        let Self { experiment, unknown_arms, other_buckets, other_owners, .. } = self;
        let names = || experiment.arms.iter().map(|arm| arm.name.as_str()).collect::<Vec<_>>().join(", ");
        let refusals = [
            (unknown_arms, format!("the arms {}", names()), "read the file that the servers had"),
            (
                other_buckets,
                format!("the bucket that the salt gives to each `{}`", unit_column(experiment)),
                "read the file that the servers had: its salt or its unit was another one",
            ),
            (
                other_owners,
                "each bucket in the arm that owns it".to_owned(),
                "the shares were changed: read the time since then (--since), or give the shares of that time \
                 (--shares)",
            ),
        ];
        for (found, expected, action) in refusals {
            if found.count > 0 {
                let found = format!("{} rows without, the first: {}", grouped(found.count), found.first);
                return Err(ReadOutError::OtherExperiment { expected, found, action });
            }
        }
        Ok((self.of_control > 0).then(|| {
            format!(
                "the control arm answered {} rows of other arms' buckets: their arm could not answer, or had fewer \
                 buckets then",
                grouped(self.of_control)
            )
        }))
    }
}
