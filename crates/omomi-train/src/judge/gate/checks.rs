//! Checks an evaluation against the settings of a gate.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::GateSettings;
use super::interval::{Answer, Figure, min_clicks};
use super::slices::slice_figures;
use crate::evaluate::{Calibration, Difference, ModelEvaluation, SeenLog};
use omomi::error::Owner;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The stable name in snake case.
    pub name: String,
    /// The slice, field or file that was checked, if the check applies to several.
    pub subject: Option<String>,
    /// The answer.
    pub answer: Answer,
    /// What was expected, with numbers.
    pub expected: String,
    /// What was found, with numbers.
    pub found: String,
    /// Who must act if the check did not pass.
    #[serde(serialize_with = "write_owner", deserialize_with = "read_owner")]
    pub owner: Owner,
    /// What they must do.
    pub action: String,
}

impl Check {
    /// Returns whether the check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.answer == Answer::Passed
    }
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
    /// What the file claims to replace.
    pub declared: &'a Declared,
    /// What is known about the store to publish to; `None` without a store.
    pub store: Option<&'a StoreFacts>,
}

/// What a file claims to replace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Declared {
    /// The baseline.
    #[default]
    Replacement,
    /// Nothing: it is the first file of its store.
    First,
    /// Something that it cannot be compared with, for this reason: the store was lost, or the contract is new.
    WithoutBaseline(String),
}

/// What is known about the store to publish to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// Its directory.
    pub dir: String,
    /// Generation and SHA-256 of the file that it serves.
    pub served: Option<(u64, String)>,
    /// Whether it ever had a file.
    pub had_files: bool,
}

/// Checks everything that the settings limit, always in the same order. A pure function: equal inputs give equal
/// checks.
#[must_use]
pub fn judge(candidate: Candidate<'_>, settings: &GateSettings) -> Vec<Check> {
    let mut judge = Judge { settings, checks: Vec::new() };
    judge.check_place(candidate);
    judge.check_alone(candidate);
    match candidate.baseline {
        Some(baseline) if *candidate.declared == Declared::Replacement => {
            judge.check_against(candidate.model, baseline);
        }
        _ => judge.check_first(candidate.model),
    }
    judge.checks
}

struct Judge<'a> {
    settings: &'a GateSettings,
    checks: Vec<Check>,
}

impl Judge<'_> {
    /// Adds a check. All of them are owned by the training team.
    fn note(&mut self, name: &str, answer: Answer, (expected, found): (String, String), action: &str) -> &mut Check {
        self.checks.push(Check {
            name: name.to_owned(),
            subject: None,
            answer,
            expected,
            found,
            owner: Owner::Ml,
            action: action.to_owned(),
        });
        let last = self.checks.len() - 1;
        &mut self.checks[last]
    }

    /// Checks that the file is compared with what it would replace.
    fn check_place(&mut self, candidate: Candidate<'_>) {
        let logic_id = &candidate.model.file.logic_id;
        let of_same_logic = candidate.baseline.filter(|baseline| baseline.file.logic_id == *logic_id);
        let words = |baseline: &ModelEvaluation| {
            let (generation, digest) = (baseline.file.generation, short(&baseline.file.digest));
            format!("generation {generation} ({digest}) of the logic `{}`", baseline.file.logic_id)
        };
        let found = candidate.baseline.map_or_else(|| "none".to_owned(), words);
        let served = |store: &StoreFacts| match &store.served {
            Some((generation, digest)) => {
                format!("generation {generation} ({}), which {} serves", short(digest), store.dir)
            }
            None => format!("none: {} serves nothing", store.dir),
        };
        match candidate.declared {
            Declared::First => {
                let had_files = candidate.store.filter(|store| store.had_files || store.served.is_some());
                let (expected, found, passed) = match had_files {
                    Some(store) => {
                        let found = match &store.served {
                            Some(_) => served(store),
                            None => format!("{} serves nothing, but had files", store.dir),
                        };
                        ("a store that never had a file, because of --first".to_owned(), found, false)
                    }
                    None => {
                        let expected = format!("none of the logic `{logic_id}`, because of --first");
                        (expected, found, of_same_logic.is_none())
                    }
                };
                let action = "remove --first: there is a file before this one; if the store was lost, give the reason \
                              with --without-baseline";
                self.note("first", Answer::of(passed), (expected, found), action);
            }
            Declared::WithoutBaseline(reason) => {
                let words = ("a reason why there is no baseline".to_owned(), reason.clone());
                let action = "give a reason with --without-baseline";
                self.note("without_baseline", Answer::of(!reason.trim().is_empty()), words, action);
            }
            Declared::Replacement => {
                let digest = candidate.baseline.map(|baseline| &baseline.file.digest);
                let is_served =
                    candidate.store.is_none_or(|store| store.served.as_ref().map(|(_, digest)| digest) == digest);
                let expected = candidate.store.map_or_else(|| format!("one of the logic `{logic_id}`"), served);
                let action = match candidate.store {
                    Some(StoreFacts { served: None, .. }) => {
                        "pass --first if the store never had a file, or --without-baseline with the reason"
                    }
                    Some(_) => "evaluate the file against what the store serves now: leave --baseline out",
                    None => {
                        "pass --store with the store to publish to, or --first if the logic has no file before this one"
                    }
                };
                let passed = of_same_logic.is_some() && is_served;
                self.note("baseline", Answer::of(passed), (expected, found), action);
            }
        }
    }

    fn check_alone(&mut self, candidate: Candidate<'_>) {
        let (model, baseline) = (candidate.model, candidate.baseline);
        let (settings, overall) = (self.settings, &model.overall);
        let min = settings.min_clicks.max(min_clicks(settings.proven_calibration_ratio));
        let found = overall.telling_clicks();
        let answer = match min.checked_sub(found) {
            None | Some(0) => Answer::Passed,
            Some(more_clicks) => Answer::CannotTell { more_clicks },
        };
        let found = match overall.effective_clicks {
            None => found.to_string(),
            Some(_) => format!("{found} that count alike, of clicks with an importance of {}", overall.clicks),
        };
        let words = (format!("at least {min}, which follows from the limits"), found);
        self.note("clicks", answer, words, "evaluate on more rows");

        let found = overall.not_probability_count;
        let words = ("a probability in (0, 1) for every row".to_owned(), format!("{found} rows without one"));
        let action = "look for weights that are much too large, then train again";
        self.note("probabilities", Answer::of(found == 0), words, action);

        self.check_seen(model);
        self.check_calibration(model, baseline);
        self.check_slices(model, baseline);

        let (max, found) = (settings.max_weight, model.file.largest_weight);
        let words = (format!("at most {max}"), format!("{found:.4}"));
        let action = "train with a larger l2, or look for a feature that leaks the label";
        self.note("largest_weight", Answer::of(found <= max), words, action);
    }

    /// Checks that no step of the model has learned from the rows: on such rows, every figure looks too good.
    fn check_seen(&mut self, model: &ModelEvaluation) {
        let learned: Vec<_> = model.seen.iter().filter(|seen| seen.is_learned()).collect();
        let rows: u64 = learned.iter().map(|seen| seen.rows).sum();
        let words = |seen: &&SeenLog| {
            let steps = seen.steps.iter().filter(|step| step.learns()).map(|step| step.name());
            format!("{} by {}", seen.log, steps.collect::<Vec<_>>().join(" and "))
        };
        let found = match learned.first() {
            None => "none".to_owned(),
            Some(_) => {
                let logs: Vec<String> = learned.iter().map(words).take(3).collect();
                let more = if learned.len() > 3 { " and more" } else { "" };
                // Of a log with rows that are held out, only some are judged.
                let all = model.overall.impressions;
                let rows = if rows > all { format!("up to {all}") } else { rows.to_string() };
                format!("{rows} of {all} rows: {}{more}", logs.join(", "))
            }
        };
        let words = ("no row that a step of the model has learned".to_owned(), found);
        let action = "evaluate on later rows, or leave these logs out of the evaluation";
        self.note("unlearned_rows", Answer::of(learned.is_empty()), words, action);
    }

    /// Checks the calibration ratio by its interval. The alternative to the file is what is served, so the file is not
    /// held back for a calibration that is [no worse](is_no_worse_calibrated), and one whose normalized entropy is
    /// surely lower has a wider bar: a click rate that moves overnight makes every model of the day before miss it.
    fn check_calibration(&mut self, model: &ModelEvaluation, baseline: Option<&ModelEvaluation>) {
        let (bar, outer_bar) = (self.settings.calibration_ratio, self.settings.proven_calibration_ratio);
        let expected =
            format!("within {} to {}, and not surely outside {} to {}", outer_bar[0], outer_bar[1], bar[0], bar[1]);
        let calibration = model.overall.calibration;
        let mut found = calibration_words(calibration);
        let mut answer = match calibration {
            Some(Calibration { ratio, low, high }) => {
                Figure { value: ratio, low, high, clicks: model.overall.telling_clicks() }.within(bar, outer_bar)
            }
            None => Answer::HeldBack,
        };
        let before = baseline.and_then(|baseline| baseline.overall.calibration);
        if let Some(before) = before {
            found.push_str(&format!("; what is served has {:.4}", before.ratio));
            let [low, high] = self.settings.better_calibration_ratio;
            let is_tolerable = calibration.is_some_and(|it| low <= it.low && it.high <= high);
            if answer != Answer::Passed && self.is_no_worse(model, baseline) {
                found.push_str(", which is no better in normalized entropy and calibration");
                answer = Answer::Passed;
            } else if answer != Answer::Passed && is_tolerable && has_lower_entropy(model) {
                found.push_str(&format!(", whose normalized entropy is surely higher: within {low} to {high}"));
                answer = Answer::Passed;
            }
        }
        let action = "recalibrate the model on recent rows, then pack it again";
        self.note("calibration", answer, (expected, found), action);
    }

    /// Returns whether the file is no worse than the baseline in both normalized entropy and calibration, by intervals.
    fn is_no_worse(&self, model: &ModelEvaluation, baseline: Option<&ModelEvaluation>) -> bool {
        let entropy = self.entropy_answer(model) == Answer::Passed;
        entropy && baseline.is_some_and(|it| is_no_worse_calibrated(model, it, self.settings.proven_calibration_ratio))
    }

    /// Answers whether the normalized entropy is low enough, compared with that of the baseline.
    fn entropy_answer(&self, model: &ModelEvaluation) -> Answer {
        let (bar, outer_bar) = (self.settings.max_entropy_rise, self.settings.proven_entropy_rise);
        match model.comparison.as_ref().and_then(|comparison| comparison.normalized_entropy_change) {
            Some(Difference { value, low, high }) => {
                Figure { value, low, high, clicks: model.overall.telling_clicks() }.at_most(bar, outer_bar)
            }
            None => Answer::HeldBack,
        }
    }

    /// Adds a check that holds back for every slice that is surely outside its limits, worst first, or one passed check
    /// if there is none.
    fn check_slices(&mut self, model: &ModelEvaluation, baseline: Option<&ModelEvaluation>) {
        let limits = self.settings.slice_calibration_ratio;
        let slices = slice_figures(model, baseline, self.settings);
        let expected =
            format!("not surely outside {} to {}, for {} slices together", limits[0], limits[1], slices.len());
        let outside = slices.iter().filter(|slice| slice.is_outside).count();
        for slice in slices.iter().filter(|slice| slice.is_held_back) {
            let action = "train on recent rows of the slice, or cross its field with one that tells its rows apart";
            let words = (expected.clone(), slice.words());
            self.note("slice_calibration", Answer::HeldBack, words, action).subject = Some(slice.name());
        }
        if slices.iter().all(|slice| !slice.is_held_back) {
            let found = match (outside, slices.first()) {
                (0, None) => "no slice has enough clicks".to_owned(),
                (0, Some(worst)) => {
                    format!("none of {}; the worst is {}, {}", slices.len(), worst.name(), worst.words())
                }
                (count, _) => format!(
                    "{count} of {}, but none much more than in what is served, and than slices of its column are",
                    slices.len()
                ),
            };
            self.note("slice_calibration", Answer::Passed, (expected, found), "");
        }
    }

    fn check_against(&mut self, model: &ModelEvaluation, baseline: &ModelEvaluation) {
        let settings = self.settings;
        let comparison = model.comparison.as_ref();
        self.check_changed(model, baseline);

        let (bar, outer_bar) = (settings.max_entropy_rise, settings.proven_entropy_rise);
        let change = comparison.and_then(|comparison| comparison.normalized_entropy_change);
        let found = change.map_or_else(
            || "none, because there are no clicks".to_owned(),
            |it| format!("{:+.4} % ({:+.4} to {:+.4})", it.value * 100.0, it.low * 100.0, it.high * 100.0),
        );
        let answer = self.entropy_answer(model);
        let [bar, outer_bar] = [bar, outer_bar].map(percent);
        let expected = format!("at most {outer_bar:+} % against the baseline, and not surely above {bar:+} %");
        let action = "train on more or newer rows, or prune less; omomi evaluate --baseline has details";
        self.note("normalized_entropy", answer, (expected, found), action);

        let max = settings.max_shift;
        let shift = comparison.map(|comparison| comparison.population_stability_index);
        let mut found = shift.map_or_else(|| "none".to_owned(), |found| format!("{found:.5}"));
        let mut passed = shift.is_some_and(|found| found < max);
        if !passed && shift.is_some() && has_lower_entropy(model) && self.is_no_worse(model, Some(baseline)) {
            found.push_str(", for the better: in both normalized entropy and calibration");
            passed = true;
        }
        let action = "compare the reliability curves of both files: the probabilities have shifted overall";
        self.note("shift", Answer::of(passed), (format!("below {max}"), found), action);

        self.check_unseen(model, baseline, answer == Answer::Passed);

        let rows = model.file.training_rows.zip(baseline.file.training_rows);
        // A file that is built on more rows may be larger by as much.
        let growth = rows.map_or(1.0, |(found, before)| found as f64 / before.max(1) as f64).max(1.0);
        let [min, max] = settings.size_ratio;
        let lens = [model.file.len_bytes, baseline.file.len_bytes].map(|len| len as f64);
        let action = "check the training data and the pruning; if the size is right, widen size_ratio in gate.toml";
        self.check_ratio("size", [min, max * growth], lens, "bytes", action);
        if let Some((found, before)) = rows {
            // A model that goes on from day to day has more rows every day, and one that was held back for some days
            // catches up. What must not change is the number of rows of a day.
            let days = days_of(model).zip(days_of(baseline));
            let (days, unit) = days.map_or(((1.0, 1.0), "rows"), |days| (days, "rows a day"));
            let action =
                "check that no logs were missing or doubled; if none were, widen training_rows_ratio in gate.toml";
            let rows = [found as f64 / days.0, before as f64 / days.1];
            // Without times, a model that goes on cannot be told from one that learned its rows twice. An upper limit
            // would hold back every file after one that was held back for a day.
            let [min, max] = settings.training_rows_ratio;
            let max = if unit == "rows" { f64::INFINITY } else { max };
            self.check_ratio("training_rows", [min, max], rows, unit, action);
        }
    }

    /// Holds back a file that is its own baseline, or has the weights of its baseline under another name: the pipeline
    /// is stuck.
    fn check_changed(&mut self, model: &ModelEvaluation, baseline: &ModelEvaluation) {
        let is_same_file = model.file.digest == baseline.file.digest;
        let differences = model.comparison.as_ref().and_then(|comparison| comparison.log_loss_difference);
        let is_zero = |it: Difference| it.value == 0.0 && it.low == 0.0 && it.high == 0.0;
        let is_same_model = differences.is_some_and(is_zero)
            && model.overall.mean_probability.to_bits() == baseline.overall.mean_probability.to_bits();
        let found = if is_same_file {
            "the file is its own baseline"
        } else if is_same_model {
            "the same probability for every row"
        } else {
            "other probabilities"
        };
        let expected = "a file that differs from its baseline".to_owned();
        let action = "the pipeline is stuck: look for a step that took its input from the day before; if nothing was to \
                      change, publish nothing";
        let answer = Answer::of(!is_same_file && !is_same_model);
        self.note("changed", answer, (expected, found.to_owned()), action);
    }

    /// Checks the bars of a file that is compared with nothing.
    fn check_first(&mut self, model: &ModelEvaluation) {
        let settings = self.settings;
        let max = settings.first_max_entropy;
        let overall = &model.overall;
        let (answer, found) = match overall.normalized_entropy.zip(overall.normalized_entropy_interval) {
            Some((value, [low, high])) => {
                let figure = Figure { value, low, high, clicks: overall.telling_clicks() };
                (figure.at_most(max, max), format!("{value:.4} ({low:.4} to {high:.4})"))
            }
            None => (Answer::HeldBack, "none, because there are no clicks".to_owned()),
        };
        let action = "a file that says little more than a constant helps nobody: train on more rows or fields";
        self.note("first_entropy", answer, (format!("at most {max}"), found), action);

        let (max, found) = (settings.first_max_unseen, overall.unseen_rate);
        let words = (format!("at most {} %", percent(max)), format!("{:.2} %", found * 100.0));
        let action = "train on more rows, prune less, and check that fields have the same values in all logs";
        self.note("first_unseen", Answer::of(found <= max), words, action);

        let (min, found) = (settings.first_min_weights, model.file.weight_count);
        let words = (format!("at least {min}"), found.to_string());
        let action = "train on more rows, or prune less";
        self.note("first_weights", Answer::of(found >= min), words, action);
    }

    /// Checks the share of categories without a weight, and names the field where it rose most, because usually a
    /// single field was lost.
    ///
    /// A weight that training moved to 0 counts as unseen, too. Where the normalized entropy is proven to be no worse,
    /// nothing was lost with it, and the share may rise by several times as much.
    fn check_unseen(&mut self, model: &ModelEvaluation, baseline: &ModelEvaluation, is_no_worse: bool) {
        let max = self.settings.max_unseen_rise * if is_no_worse { HARMLESS_UNSEEN_FACTOR } else { 1.0 };
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
        self.note("unseen", Answer::of(found - before <= max), (expected, words), action);
    }

    fn check_ratio(&mut self, name: &str, limits: [f64; 2], [found, before]: [f64; 2], unit: &str, action: &str) {
        let ratio = found / before.max(1.0);
        let max = (limits[1] * 100.0).round() / 100.0;
        let words = (
            format!("{} to {max} times the baseline's {before:.0} {unit}", limits[0]),
            format!("{ratio:.3} times: {found:.0} {unit}"),
        );
        self.note(name, Answer::of((limits[0]..=limits[1]).contains(&ratio)), words, action);
    }
}

/// How much more the share of unseen categories may rise if the normalized entropy is proven to be no worse.
const HARMLESS_UNSEEN_FACTOR: f64 = 4.0;

/// Returns the days of data that a file is built on, at least one hour; `None` if they are unknown.
fn days_of(model: &ModelEvaluation) -> Option<f64> {
    let [first_us, last_us] = model.file.training_window_us?;
    Some(((last_us as f64 - first_us as f64) / 86_400e6).max(1.0 / 24.0))
}

/// Calibration ratios that differ by less are the same, while that of what is served is within its limits.
const SAME_CALIBRATION: f64 = 0.01;

/// Returns whether the whole interval of the change of the normalized entropy is below 0.
fn has_lower_entropy(model: &ModelEvaluation) -> bool {
    let change = model.comparison.as_ref().and_then(|comparison| comparison.normalized_entropy_change);
    change.is_some_and(|change| change.high < 0.0)
}

/// Returns whether the file is nowhere in its interval further from the right calibration than the baseline, as far as
/// [`SAME_CALIBRATION`]. Both are judged on the same clicks, so chance moves both ratios together: the difference of
/// their logarithms is that of their predictions, and the distance can grow only until the end of the interval.
///
/// Outside of `limits`, what is served is no excuse for a file that is further: small steps would add up, day by day.
fn is_no_worse_calibrated(model: &ModelEvaluation, baseline: &ModelEvaluation, limits: [f64; 2]) -> bool {
    let Some((found, before)) = model.overall.calibration.zip(baseline.overall.calibration) else { return false };
    let same = if (limits[0]..=limits[1]).contains(&before.ratio) { SAME_CALIBRATION } else { 0.0 };
    [found.low, found.high].into_iter().all(|end| {
        let (found, chance) = (end.ln(), (end / found.ratio).ln());
        found.abs() <= (before.ratio.ln() + chance).abs() + same
    })
}

fn calibration_words(calibration: Option<Calibration>) -> String {
    let words = |it: Calibration| format!("{:.4} ({:.4} to {:.4})", it.ratio, it.low, it.high);
    calibration.map_or_else(|| "none, because there are no clicks".to_owned(), words)
}

/// Returns enough digits of a digest to recognize it.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Converts a share to percent and rounds away floating-point noise.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

#[cfg(test)]
mod tests;
