//! Checks an evaluation against the settings of a gate.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::GateSettings;
use crate::evaluate::{Calibration, ModelEvaluation, Slice};
use omomi::error::Owner;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The stable name in snake case.
    pub name: String,
    /// The slice, field or file that was checked, if the check applies to several.
    pub subject: Option<String>,
    /// Whether the check passed.
    pub passed: bool,
    /// What was expected, with numbers.
    pub expected: String,
    /// What was found, with numbers.
    pub found: String,
    /// Who must act if the check failed.
    #[serde(serialize_with = "write_owner", deserialize_with = "read_owner")]
    pub owner: Owner,
    /// What they must do.
    pub action: String,
}

fn write_owner<S: Serializer>(owner: &Owner, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(owner.word())
}

fn read_owner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Owner, D::Error> {
    let word = String::deserialize(deserializer)?;
    Owner::from_word(&word).ok_or_else(|| de::Error::custom(format!("expected ml, delivery or infra, found {word}")))
}

/// The input of a judgment.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The evaluation of the weight file.
    pub model: &'a ModelEvaluation,
    /// The evaluation of the baseline, which the weight file should replace, on the same rows.
    pub baseline: Option<&'a ModelEvaluation>,
    /// Whether the file was declared the first of its logic, so that there is no baseline.
    pub first: bool,
}

/// Checks everything that the settings limit, always in the same order.
#[must_use]
pub fn judge(candidate: Candidate<'_>, settings: &GateSettings) -> Vec<Check> {
    let mut judge = Judge { settings, checks: Vec::new() };
    judge.check_place(candidate);
    judge.check_alone(candidate.model);
    if let Some(baseline) = candidate.baseline {
        judge.check_against(candidate.model, baseline);
    }
    judge.checks
}

struct Judge<'a> {
    settings: &'a GateSettings,
    checks: Vec<Check>,
}

impl Judge<'_> {
    /// Adds a check. All of them are owned by the training team.
    fn note(&mut self, name: &str, passed: bool, (expected, found): (String, String), action: &str) -> &mut Check {
        self.checks.push(Check {
            name: name.to_owned(),
            subject: None,
            passed,
            expected,
            found,
            owner: Owner::Ml,
            action: action.to_owned(),
        });
        let last = self.checks.len() - 1;
        &mut self.checks[last]
    }

    /// Checks whether there is a baseline of the same logic, or none for a first file.
    fn check_place(&mut self, candidate: Candidate<'_>) {
        let logic_id = &candidate.model.file.logic_id;
        let same_logic = |baseline: &&ModelEvaluation| baseline.file.logic_id == *logic_id;
        let words = |baseline: &ModelEvaluation| {
            format!("generation {} of the logic `{}`", baseline.file.generation, baseline.file.logic_id)
        };
        let found = candidate.baseline.map_or_else(|| "none".to_owned(), words);
        if candidate.first {
            let expected = format!("none of the logic `{logic_id}`, because of --first");
            let passed = candidate.baseline.filter(same_logic).is_none();
            self.note("first", passed, (expected, found), "remove --first: there is a file before this one");
        } else {
            let expected = format!("one of the logic `{logic_id}`");
            let passed = candidate.baseline.filter(same_logic).is_some();
            let action = "pass the file that is served now as --baseline, or --first if the logic has none";
            self.note("baseline", passed, (expected, found), action);
        }
    }

    fn check_alone(&mut self, model: &ModelEvaluation) {
        let (settings, overall) = (self.settings, &model.overall);
        let (min, found) = (settings.min_clicks, overall.clicks);
        let words = (format!("at least {min}"), found.to_string());
        self.note("clicks", found >= min, words, "evaluate on more rows");

        let found = overall.not_probability_count;
        let words = ("a probability in (0, 1) for every row".to_owned(), format!("{found} rows without one"));
        self.note("probabilities", found == 0, words, "look for weights that are much too large, then train again");

        let [min, max] = settings.calibration_ratio;
        let action = "recalibrate the model on recent rows, then pack it again";
        self.note(
            "calibration",
            is_within(overall.calibration, settings.calibration_ratio),
            (format!("{min} to {max}"), calibration_words(overall.calibration)),
            action,
        );
        self.check_slices(model);

        let (max, found) = (settings.max_weight, model.file.largest_weight);
        let words = (format!("at most {max}"), format!("{found:.4}"));
        self.note(
            "largest_weight",
            found <= max,
            words,
            "train with a larger l2, or look for a feature that leaks the label",
        );
    }

    /// Adds a failed check for every slice outside its limits, or one passed check if there is none.
    fn check_slices(&mut self, model: &ModelEvaluation) {
        let (limits, min_clicks) = (self.settings.slice_calibration_ratio, self.settings.slice_min_clicks);
        let expected = format!("{} to {} for slices with at least {min_clicks} clicks", limits[0], limits[1]);
        let (mut looked_at, mut passed) = (0_u64, true);
        for by in &model.by {
            for slice in by.slices.iter().filter(|slice| slice.metrics.clicks >= min_clicks) {
                looked_at += 1;
                if is_within(slice.metrics.calibration, limits) {
                    continue;
                }
                passed = false;
                let found = slice_words(slice);
                let action = "train on recent rows of the slice, or cross its field with one that tells its rows apart";
                let subject = format!("{} = {}", by.column, slice.value.as_deref().unwrap_or("(none)"));
                self.note("slice_calibration", false, (expected.clone(), found), action).subject = Some(subject);
            }
        }
        if passed {
            self.note("slice_calibration", true, (expected, format!("all {looked_at} slices are within")), "");
        }
    }

    fn check_against(&mut self, model: &ModelEvaluation, baseline: &ModelEvaluation) {
        let settings = self.settings;
        let comparison = model.comparison.as_ref();
        let max = settings.max_entropy_rise;
        let change = comparison.and_then(|comparison| comparison.normalized_entropy_change);
        let found = change.map_or_else(
            || "none, because there are no clicks".to_owned(),
            |it| format!("{:+.4} % ({:+.4} to {:+.4})", it.value * 100.0, it.low * 100.0, it.high * 100.0),
        );
        let words = (format!("at most {:+} % against the baseline", percent(max)), found);
        let action = "train on more or newer rows, or prune less; omomi evaluate --baseline has details";
        self.note("normalized_entropy", change.is_some_and(|change| change.value <= max), words, action);

        let max = settings.max_shift;
        let found = comparison.map(|comparison| comparison.population_stability_index);
        let words = (format!("below {max}"), found.map_or_else(|| "none".to_owned(), |found| format!("{found:.5}")));
        let action = "compare the reliability curves of both files: the probabilities have shifted overall";
        self.note("shift", found.is_some_and(|found| found < max), words, action);

        self.check_unseen(model, baseline);

        let (found, before) = (model.file.len_bytes, baseline.file.len_bytes);
        let action = "check the training data and the pruning; if the size is right, widen size_ratio in gate.toml";
        self.check_ratio("size", settings.size_ratio, [found, before], "bytes", action);
        if let (Some(found), Some(before)) = (model.file.training_rows, baseline.file.training_rows) {
            let action = "check that no logs were missing; if none were, widen training_rows_ratio in gate.toml";
            self.check_ratio("training_rows", settings.training_rows_ratio, [found, before], "rows", action);
        }
    }

    /// Checks the share of categories without a weight, and names the field where it rose most, because usually a
    /// single field was lost.
    fn check_unseen(&mut self, model: &ModelEvaluation, baseline: &ModelEvaluation) {
        let max = self.settings.max_unseen_rise;
        let (found, before) = (model.overall.unseen_rate, baseline.overall.unseen_rate);
        let mut words = format!("{:.2} %, from {:.2} %", found * 100.0, before * 100.0);
        let rises = model.fields.iter().filter_map(|field| {
            let before = baseline.fields.iter().find(|before| before.field == field.field)?;
            Some((field.unseen_rate - before.unseen_rate, field, before))
        });
        let largest_rise = rises.max_by(|one, other| one.0.total_cmp(&other.0));
        if let Some((_, field, before)) = largest_rise.filter(|(rise, ..)| *rise > 0.0) {
            let rates = [field, before].map(|field| field.unseen_rate * 100.0);
            words.push_str(&format!("; most in `{}`, {:.2} % from {:.2} %", field.field, rates[0], rates[1]));
        }
        let expected = format!("at most {:+} points against the baseline", percent(max));
        let action = "check what was pruned, and that fields have the same values in training as in the logs";
        self.note("unseen", found - before <= max, (expected, words), action);
    }

    fn check_ratio(&mut self, name: &str, limits: [f64; 2], [found, before]: [u64; 2], unit: &str, action: &str) {
        let ratio = found as f64 / before.max(1) as f64;
        let words = (
            format!("{} to {} times the baseline's {before} {unit}", limits[0], limits[1]),
            format!("{ratio:.3} times: {found} {unit}"),
        );
        self.note(name, (limits[0]..=limits[1]).contains(&ratio), words, action);
    }
}

fn is_within(calibration: Option<Calibration>, [min, max]: [f64; 2]) -> bool {
    calibration.is_some_and(|calibration| (min..=max).contains(&calibration.ratio))
}

fn calibration_words(calibration: Option<Calibration>) -> String {
    let words = |it: Calibration| format!("{:.4} ({:.4} to {:.4})", it.ratio, it.low, it.high);
    calibration.map_or_else(|| "none, because there are no clicks".to_owned(), words)
}

fn slice_words(slice: &Slice) -> String {
    format!("{} with {} clicks", calibration_words(slice.metrics.calibration), slice.metrics.clicks)
}

/// Converts a share to percent and rounds away floating-point noise.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

#[cfg(test)]
mod tests;
