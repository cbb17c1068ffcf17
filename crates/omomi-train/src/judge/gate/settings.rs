//! The settings of the gate: `gate.toml`.
//!
//! Every key is optional. This example has all keys with their default values:
//!
//! ```toml
//! min_clicks = 0                          # clicks in the evaluation, if more than the limits need
//! max_entropy_rise = 0.001                # normalized entropy divided by the baseline's, minus 1: not surely above 0.1 %
//! proven_entropy_rise = 0.01              # its upper end has to be at most this: 1 %
//! calibration_ratio = [0.95, 1.05]        # probabilities divided by clicks: not surely outside
//! proven_calibration_ratio = [0.9, 1.1]   # both ends have to be inside
//! better_calibration_ratio = [0.8, 1.25]  # or inside of this, if the entropy is surely below the baseline's
//! slice_calibration_ratio = [0.85, 1.15]  # not surely outside, for all slices together
//! slice_min_clicks = 30                   # clicks of a slice, found or expected, so that it says something
//! max_shift = 0.1                         # population stability index against the baseline's probabilities; must be below
//! max_unseen_rise = 0.02                  # share of the categories without a weight, minus the baseline's: 2 points
//! max_weight = 10.0                       # magnitude of a weight, on the logit scale
//! size_ratio = [0.5, 2.0]                 # bytes divided by the baseline's; more if it is built on more rows
//! training_rows_ratio = [0.5, 2.0]        # training rows a day divided by the baseline's, if both files have them
//! history_band = 1.0                      # factor of how much the served file's figures may move from day to day
//! history_bands = {}                      # further factors of some: { ctr = 2.0, "distance of site_id" = 3.0 }
//! first_max_entropy = 0.98                # normalized entropy of a file without a baseline: its whole interval
//! first_max_unseen = 0.5                  # share of the categories without a weight, of a file without a baseline
//! first_min_weights = 100                 # weights of a file without a baseline
//! ```
//!
//! Limits apply to intervals, never to points. A file is held back where the whole interval of 99 % is beyond the first
//! limit, and passes where the whole interval of 95 % is within the `proven_` limit. In between, the gate cannot tell,
//! and says how many more clicks are wanted.
//!
//! An unknown key is an error, so that a limit with a misspelled name does not silently fail to limit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::GateError;
use crate::settings::{self, KeyPath, SettingsFaults};
use omomi::contract::Fault;
use omomi::store::Digest;

/// How many standard deviations of the calibration of what is served a file may be wrong, in its whole interval.
const CALIBRATION_DEVIATIONS: f64 = 3.0;

/// The limits that a weight file must meet to be published. Later versions may have more of them, so start from the
/// defaults and [change](Self::with) what differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GateSettings {
    /// Minimum number of clicks in the evaluation. The limits need some number anyway; this can only raise it.
    pub min_clicks: u64,
    /// Relative rise of the normalized entropy over the baseline's that must not be surely exceeded.
    pub max_entropy_rise: f64,
    /// Relative rise of the normalized entropy that the whole interval must be within.
    pub proven_entropy_rise: f64,
    /// Calibration ratios outside of which the whole interval must not be.
    pub calibration_ratio: [f64; 2],
    /// Calibration ratios inside of which the whole interval must be.
    pub proven_calibration_ratio: [f64; 2],
    /// Calibration ratios inside of which the whole interval of a file must be whose normalized entropy is surely below
    /// the baseline's.
    pub better_calibration_ratio: [f64; 2],
    /// Calibration ratios of a slice outside of which its whole interval must not be.
    pub slice_calibration_ratio: [f64; 2],
    /// Minimum number of clicks, found or expected, of a slice that is checked.
    pub slice_min_clicks: u64,
    /// Limit of the population stability index, which must be below it.
    pub max_shift: f64,
    /// Maximum rise of the share of categories without a weight over the baseline's.
    pub max_unseen_rise: f64,
    /// Maximum magnitude of a weight.
    pub max_weight: f64,
    /// Minimum and maximum ratio of the file's bytes to the baseline's. The maximum grows with the training rows.
    pub size_ratio: [f64; 2],
    /// Minimum and maximum ratio of the number of training rows a day to the baseline's. If a file does not have its
    /// window, only the minimum counts, for all rows.
    pub training_rows_ratio: [f64; 2],
    /// Factor that widens the bands in which the figures of the served file move from day to day.
    pub history_band: f64,
    /// Further factors for the bands of some figures, by the name of the figure or of its kind.
    #[serde(default)]
    pub history_bands: BTreeMap<String, f64>,
    /// Maximum normalized entropy of a file that has no baseline.
    pub first_max_entropy: f64,
    /// Maximum share of categories without a weight, of a file that has no baseline.
    pub first_max_unseen: f64,
    /// Minimum number of weights of a file that has no baseline.
    pub first_min_weights: u64,
}

impl GateSettings {
    /// Returns these settings, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Returns these settings with wider limits of the calibration, if that of what is served moves so much from day to
    /// day that a file that learned the days before would often miss them. `deviation` is the standard deviation of its
    /// logarithm. They stay within `better_calibration_ratio`.
    pub(super) fn where_calibration_moves(mut self, deviation: f64) -> Self {
        let half = CALIBRATION_DEVIATIONS * deviation;
        let [lowest, highest] = self.better_calibration_ratio;
        let widened = |[low, high]: [f64; 2], half: f64| {
            let rounded = |ratio: f64| (ratio * 1e4).round() / 1e4;
            [low.min(rounded((-half).exp()).max(lowest)), high.max(rounded(half.exp()).min(highest))]
        };
        self.proven_calibration_ratio = widened(self.proven_calibration_ratio, half);
        self.calibration_ratio = widened(self.calibration_ratio, half / 2.0);
        self
    }
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            min_clicks: 0,
            max_entropy_rise: 0.001,
            proven_entropy_rise: 0.01,
            calibration_ratio: [0.95, 1.05],
            proven_calibration_ratio: [0.9, 1.1],
            better_calibration_ratio: [0.8, 1.25],
            slice_calibration_ratio: [0.85, 1.15],
            slice_min_clicks: 30,
            max_shift: 0.1,
            max_unseen_rise: 0.02,
            max_weight: 10.0,
            size_ratio: [0.5, 2.0],
            training_rows_ratio: [0.5, 2.0],
            history_band: 1.0,
            history_bands: BTreeMap::new(),
            first_max_entropy: 0.98,
            first_max_unseen: 0.5,
            first_min_weights: 100,
        }
    }
}

impl GateSettings {
    /// Reads a `gate.toml`.
    ///
    /// # Errors
    ///
    /// Returns [`GateError::Serving`] if the file is missing or cannot be read, and [`GateError::Settings`] with all
    /// faults together.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, GateError> {
        let path = path.as_ref();
        let Some(text) = settings::read_text(path)? else {
            return Err(GateError::NoSettings { path: path.to_owned() });
        };
        Self::from_toml(&text).map_err(|faults| SettingsFaults { path: PathBuf::from(path), faults }.into())
    }

    /// Parses the text of a `gate.toml`.
    ///
    /// # Errors
    ///
    /// Returns all faults together, each with its line.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Fault>> {
        let mut settings = Self::default();
        settings::each_key(text, "gate", &mut |place, key, value| settings.set(place, key, value))?;
        Ok(settings)
    }

    fn set(&mut self, place: &KeyPath<'_>, key: &str, value: &Value) -> Result<(), Fault> {
        match key {
            "min_clicks" => self.min_clicks = place.whole_number(value)?,
            "max_entropy_rise" => self.max_entropy_rise = place.number(value)?,
            "proven_entropy_rise" => self.proven_entropy_rise = place.number(value)?,
            "proven_calibration_ratio" => self.proven_calibration_ratio = place.ratios(value)?,
            "better_calibration_ratio" => self.better_calibration_ratio = place.ratios(value)?,
            "history_band" => self.history_band = place.number(value)?,
            "history_bands" => {
                let Some(table) = value.as_object() else {
                    return Err(place.unexpected("a table of figures with numbers", value));
                };
                let bands = table.iter().map(|(figure, value)| Ok((figure.clone(), place.key(figure).number(value)?)));
                self.history_bands = bands.collect::<Result<_, _>>()?;
            }
            "first_max_entropy" => self.first_max_entropy = place.number(value)?,
            "first_max_unseen" => self.first_max_unseen = place.number(value)?,
            "first_min_weights" => self.first_min_weights = place.whole_number(value)?,
            "calibration_ratio" => self.calibration_ratio = place.ratios(value)?,
            "slice_calibration_ratio" => self.slice_calibration_ratio = place.ratios(value)?,
            "slice_min_clicks" => self.slice_min_clicks = place.whole_number(value)?,
            "max_shift" => self.max_shift = place.number(value)?,
            "max_unseen_rise" => self.max_unseen_rise = place.number(value)?,
            "max_weight" => self.max_weight = place.number(value)?,
            "size_ratio" => self.size_ratio = place.ratios(value)?,
            "training_rows_ratio" => self.training_rows_ratio = place.ratios(value)?,
            _ => return Err(place.unknown()),
        }
        Ok(())
    }

    /// Returns a digest of all settings. It does not matter whether a default value is written out or not.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let json = serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("a plain structure"));
        Digest::of(&json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the module documentation.
    fn documented() -> String {
        let page = include_str!("settings.rs").lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim_start);
        let example = page.skip_while(|line| *line != "```toml").skip(1).take_while(|line| *line != "```");
        example.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn limits_of_the_calibration_widen_where_that_of_what_is_served_moves() {
        let at = |deviation: f64| {
            let settings = GateSettings::default().where_calibration_moves(deviation);
            (settings.calibration_ratio, settings.proven_calibration_ratio)
        };
        assert_eq!(at(0.0), ([0.95, 1.05], [0.9, 1.1]));
        assert_eq!(at(0.03), ([0.95, 1.05], [0.9, 1.1]), "within the limits as they are");
        assert_eq!(at(0.06), ([0.9139, 1.0942], [0.8353, 1.1972]));
        assert_eq!(at(0.5), ([0.8, 1.25], [0.8, 1.25]), "never beyond those of a better file");
    }

    #[test]
    fn an_empty_text_gives_the_documented_defaults_and_every_setting_is_documented() {
        assert_eq!(GateSettings::from_toml(&documented()).unwrap(), GateSettings::default());
        assert_eq!(GateSettings::from_toml("").unwrap(), GateSettings::default());
        let Value::Object(keys) = serde_json::to_value(GateSettings::default()).unwrap() else { panic!("a table") };
        for key in keys.keys() {
            assert!(documented().contains(&format!("{key} = ")), "{key}");
        }
    }

    #[test]
    fn every_key_is_read_into_its_own_setting() {
        let text = "min_clicks = 1\nmax_entropy_rise = 2\ncalibration_ratio = [3, 3.5]\nslice_calibration_ratio = [4, 4.5]\n\
                    slice_min_clicks = 5\nmax_shift = 6.5\nmax_unseen_rise = 7\nmax_weight = 8\nsize_ratio = [9, 9.5]\n\
                    training_rows_ratio = [10, 10.5]\nproven_entropy_rise = 11\nproven_calibration_ratio = [2, 12]\n\
                    first_max_entropy = 13\nfirst_max_unseen = 14\nfirst_min_weights = 15\nhistory_band = 16\n\
                    better_calibration_ratio = [0.5, 19]\n\
                    history_bands = { ctr = 17, \"distance of site\" = 18 }\n";
        let expected = GateSettings {
            min_clicks: 1,
            max_entropy_rise: 2.0,
            calibration_ratio: [3.0, 3.5],
            slice_calibration_ratio: [4.0, 4.5],
            slice_min_clicks: 5,
            max_shift: 6.5,
            max_unseen_rise: 7.0,
            max_weight: 8.0,
            size_ratio: [9.0, 9.5],
            training_rows_ratio: [10.0, 10.5],
            proven_entropy_rise: 11.0,
            proven_calibration_ratio: [2.0, 12.0],
            better_calibration_ratio: [0.5, 19.0],
            first_max_entropy: 13.0,
            first_max_unseen: 14.0,
            first_min_weights: 15,
            history_band: 16.0,
            history_bands: [("ctr".to_owned(), 17.0), ("distance of site".to_owned(), 18.0)].into(),
        };
        assert_eq!(GateSettings::from_toml(text).unwrap(), expected);
        assert_ne!(expected.digest(), GateSettings::default().digest());
    }

    #[test]
    fn every_fault_is_reported_with_its_line() {
        let text = "max_shft = 0.1\nmax_weight = -1\ncalibration_ratio = [1.1, 0.9]\nmin_clicks = 1.5\n";
        let faults = GateSettings::from_toml(text).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line.unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4], "{faults:?}");
        assert!(faults[0].to_string().contains("line 1: max_shft: not known"), "{}", faults[0]);
        let words = "max_weight: expected a number of at least 0, found -1";
        assert!(faults[1].to_string().contains(words), "{}", faults[1]);
        assert!(GateSettings::from_toml("min_clicks = ").unwrap_err()[0].to_string().contains("gate: not TOML"));
    }
}
