//! Limits of what may be published to a store: `limits.toml` in its directory, agreed on by both teams.
//!
//! Every key is optional. This example has all keys, with their default values where they have one:
//!
//! ```toml
//! min_bytes = 1                    # of a weight file
//! max_bytes = 16_000_000_000
//! max_generation_step = 999_999    # how far a generation's number may be above the newest one
//! warn_size_ratio = [0.7, 1.4]       # its size divided by the median of the last 5 files: outside is a warning
//! fail_size_ratio = [0.5, 2.0]       # outside is an error
//! # oldest_training_end = "14 days"  # maximum age of the last row of the training data: days, hours or minutes
//! blessing = "require"               # off | require: whether files need a blessing from omomi gate
//! signature = "off"                  # off | accept | require: whether files must be signed
//! keys = []                          # trusted public keys, such as ["keys/2026.pub"]: paths relative to the store
//! # accepted_contracts = ["ffa9bd1e2caa96ad"]    # fingerprints from `omomi contract check`
//!
//! [max_features]                    # per field or cross
//! # creative_id = 5_000_000
//! # "media_id*creative_id" = 20_000_000
//! ```
//!
//! `omomi prune` checks a planned file against these limits before it is packed. It also compares the number of weights
//! per field with those of the last 5 files, with the size ratios.
//!
//! An unknown key is an error, so that a limit with a misspelled name does not silently fail to limit. The first file
//! of a store has no median to compare with. These limits are for publishers. Servers have their own limits, and apply
//! them to every published file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::learn::utc;
use crate::log::is_in_the_future;
use crate::settings::{self, KeyPath, SettingsFaults};
use omomi::contract::{Contract, Fault};
use omomi::store::Store;
use omomi::weight_file::layout::SectionKind;
use omomi::weight_file::map::FileBytes;
use omomi::weight_file::signature::SignaturePolicy;
use omomi::weight_file::{Content, WeightFile};

use super::warning::ratio;
use super::{BlessingPolicy, PublishError, Warning};

/// Number of files whose median is taken.
pub(crate) const USUAL_COUNT: usize = 5;

/// Largest number of a generation: the largest integer that every reader of JSON keeps.
const MAX_GENERATION: u64 = (1 << 53) - 1;

/// Ratios are not checked for fields with fewer weights than this, because a few weights more or less change them too
/// much.
const MIN_FIELD_SIZE: u64 = 1_000;

/// The limits of a store. Later versions may have more of them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Minimum length of a file, in bytes.
    pub min_bytes: u64,
    /// Maximum length of a file, in bytes.
    pub max_bytes: u64,
    /// Maximum difference between a generation's number and the newest one of the store.
    pub max_generation_step: u64,
    /// Size divided by the median of the last files: a value outside this range causes a warning.
    pub warn_size_ratio: [f64; 2],
    /// Size divided by the median of the last files: a value outside this range is an error.
    pub fail_size_ratio: [f64; 2],
    /// Maximum age of the last row of the training data.
    pub oldest_training_end: Option<Duration>,
    /// Fingerprints of the contracts that servers accept; if empty, every contract is accepted.
    pub accepted_contracts: Vec<u64>,
    /// Whether a blessing is required.
    pub blessing: BlessingPolicy,
    /// Whether signatures are accepted or required.
    pub signature: SignaturePolicy,
    /// Files with the trusted public keys.
    pub keys: Vec<PathBuf>,
    /// Maximum number of features per field or cross, by name.
    pub max_features: BTreeMap<String, u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            min_bytes: 1,
            max_bytes: 16_000_000_000,
            max_generation_step: 999_999,
            warn_size_ratio: [0.7, 1.4],
            fail_size_ratio: [0.5, 2.0],
            oldest_training_end: None,
            accepted_contracts: Vec::new(),
            blessing: BlessingPolicy::Require,
            signature: SignaturePolicy::Off,
            keys: Vec::new(),
            max_features: BTreeMap::new(),
        }
    }
}

impl Limits {
    /// Reads the limits of a store.
    ///
    /// # Errors
    ///
    /// Returns [`PublishError::Limits`] with all faults together.
    pub fn of_store(store: &Store) -> Result<Self, PublishError> {
        let path = store.dir().join("limits.toml");
        let Some(text) = settings::read_text(&path)? else { return Ok(Self::default()) };
        let mut limits = Self::from_toml(&text).map_err(|faults| SettingsFaults { path, faults })?;
        limits.keys.iter_mut().for_each(|key| *key = store.dir().join(&*key));
        Ok(limits)
    }

    /// Parses the text of a `limits.toml`.
    ///
    /// # Errors
    ///
    /// Returns all faults together, each with its line.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Fault>> {
        let mut limits = Self::default();
        settings::each_key(text, "limits", &mut |place, key, value| limits.set(place, key, value))?;
        Ok(limits)
    }

    fn set(&mut self, place: &KeyPath<'_>, key: &str, value: &Value) -> Result<(), Fault> {
        match key {
            "min_bytes" => self.min_bytes = place.whole_number(value)?,
            "max_bytes" => self.max_bytes = place.whole_number(value)?,
            "max_generation_step" => self.max_generation_step = place.whole_number(value)?,
            "warn_size_ratio" => self.warn_size_ratio = place.ratios(value)?,
            "fail_size_ratio" => self.fail_size_ratio = place.ratios(value)?,
            "oldest_training_end" => self.oldest_training_end = Some(place.duration(value)?),
            "accepted_contracts" => self.accepted_contracts = fingerprints(place, value)?,
            "blessing" => self.blessing = blessing(place, value)?,
            "signature" => self.signature = policy(place, value)?,
            "keys" => self.keys = place.paths(value)?,
            "max_features" => {
                let Some(table) = value.as_object() else { return Err(place.unexpected("a table", value)) };
                for (field, value) in table {
                    self.max_features.insert(field.clone(), place.key(field).whole_number(value)?);
                }
            }
            _ => return Err(place.unknown()),
        }
        Ok(())
    }

    /// Checks the number of a generation that is newer than all others. A typing error must not end the store: numbers
    /// only grow.
    pub(super) fn check_step(&self, newest: Option<u64>, found: u64) -> Result<(), PublishError> {
        let last = newest.map_or(MAX_GENERATION, |newest| newest.saturating_add(self.max_generation_step));
        let expected = last.min(MAX_GENERATION);
        if found <= expected { Ok(()) } else { Err(PublishError::TooFarAhead { newest, expected, found }) }
    }

    /// Checks the length of a file against the limits and the lengths of the last files.
    pub(super) fn check_len(&self, found: u64, usual_lens: &[u64]) -> Result<Option<Warning>, PublishError> {
        if found < self.min_bytes {
            return Err(PublishError::TooSmall { expected: self.min_bytes, found });
        }
        if found > self.max_bytes {
            return Err(PublishError::TooLarge { expected: self.max_bytes, found });
        }
        let Some(median) = median(usual_lens) else { return Ok(None) };
        let is_within = |[min, max]: [f64; 2]| (min..=max).contains(&ratio(found, median));
        if !is_within(self.fail_size_ratio) {
            return Err(PublishError::UnusualLen { expected: self.fail_size_ratio, median, found });
        }
        let usual = self.warn_size_ratio;
        Ok((!is_within(usual)).then_some(Warning::UnusualLen { found, median, usual }))
    }

    /// Checks the number of weights of a field against the last files, with the ratios of [`Limits::check_len`].
    pub(super) fn check_field_size(
        &self,
        field: &str,
        found: u64,
        usual_sizes: &[u64],
    ) -> Result<Option<Warning>, PublishError> {
        let Some(median) = median(usual_sizes) else { return Ok(None) };
        if found.max(median) < MIN_FIELD_SIZE {
            return Ok(None);
        }
        let is_within = |[min, max]: [f64; 2]| (min..=max).contains(&ratio(found, median));
        let field = field.to_owned();
        if !is_within(self.fail_size_ratio) {
            return Err(PublishError::UnusualFieldSize { field, expected: self.fail_size_ratio, median, found });
        }
        let usual = self.warn_size_ratio;
        Ok((!is_within(usual)).then_some(Warning::UnusualFieldSize { field, found, median, usual }))
    }

    /// Checks the content of a verified file against the limits.
    pub(super) fn check_content(
        &self,
        file: &WeightFile<FileBytes>,
        content: &Content,
    ) -> Result<Vec<Warning>, PublishError> {
        let found = content.contract.fingerprint();
        if !self.accepted_contracts.is_empty() && !self.accepted_contracts.contains(&found) {
            return Err(PublishError::ContractNotAccepted { expected: self.accepted_contracts.clone(), found });
        }
        if let Some(end_us) = content.training_end_us
            && is_in_the_future(end_us)
        {
            let end = utc(end_us).unwrap_or_else(|| format!("{end_us} us"));
            return Err(PublishError::TrainingEndInFuture { end });
        }
        if let Some(expected) = self.oldest_training_end {
            let end_us = content.training_end_us.ok_or(PublishError::NoTrainingEnd)?;
            let found = age(end_us);
            if found > expected {
                return Err(PublishError::TrainingTooOld { expected, found });
            }
        }
        if !self.max_features.is_empty() {
            let sizes = serde_json::from_slice(file.section(SectionKind::FieldSizes));
            self.check_field_sizes(&sizes.map_err(|_| PublishError::NoFieldSizes)?)?;
        }
        Ok(self.unknown_fields(&content.contract))
    }

    /// Returns a warning for each limit of a field that the contract does not have.
    pub(super) fn unknown_fields(&self, contract: &Contract) -> Vec<Warning> {
        let is_unknown = |name: &&String| {
            !contract.fields().iter().any(|field| field.name == **name)
                && !contract.crosses().iter().any(|cross| contract.cross_name(cross) == **name)
        };
        let unknown = self.max_features.keys().filter(is_unknown);
        unknown.map(|field| Warning::UnknownField { field: field.clone() }).collect()
    }

    /// Checks the number of weights per field and cross against the limits.
    pub(super) fn check_field_sizes(&self, sizes: &BTreeMap<String, u64>) -> Result<(), PublishError> {
        for (field, &expected) in &self.max_features {
            // A field without weights is not listed.
            let found = sizes.get(field).copied().unwrap_or(0);
            if found > expected {
                return Err(PublishError::TooManyFeatures { field: field.clone(), expected, found });
            }
        }
        Ok(())
    }
}

/// Parses a duration such as `14 days`, in days, hours or minutes.
#[must_use]
pub fn duration_of(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_once(' ')?;
    let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
        "day" => 86_400,
        "hour" => 3_600,
        "minute" => 60,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

/// Returns how long ago a time was; zero for a future time.
fn age(time_us: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_micros(u64::try_from(time_us).unwrap_or(0)))
}

pub(crate) fn median(lens: &[u64]) -> Option<u64> {
    let mut lens = lens.to_vec();
    lens.sort_unstable();
    let [lower, upper] = [lens.len().checked_sub(1)? / 2, lens.len() / 2].map(|index| lens[index]);
    Some(lower.midpoint(upper))
}

fn blessing(place: &KeyPath<'_>, value: &Value) -> Result<BlessingPolicy, Fault> {
    let policy = value.as_str().and_then(BlessingPolicy::from_word);
    policy.ok_or_else(|| place.unexpected("`off` or `require`", value))
}

fn policy(place: &KeyPath<'_>, value: &Value) -> Result<SignaturePolicy, Fault> {
    let policy = value.as_str().and_then(SignaturePolicy::from_word);
    policy.ok_or_else(|| place.unexpected("`off`, `accept` or `require`", value))
}

fn fingerprints(place: &KeyPath<'_>, value: &Value) -> Result<Vec<u64>, Fault> {
    let parse = |value: &Value| {
        let text = value.as_str().filter(|text| text.len() == 16 && !text.starts_with('+'))?;
        u64::from_str_radix(text, 16).ok()
    };
    let list = value.as_array().filter(|list| !list.is_empty());
    let fingerprints = list.and_then(|list| list.iter().map(parse).collect());
    fingerprints.ok_or_else(|| place.unexpected("a list of fingerprints, each of 16 hexadecimal digits", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the module documentation, without comment signs.
    fn documented() -> String {
        let page = include_str!("limits.rs").lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim_start);
        let example = page.skip_while(|line| *line != "```toml").skip(1).take_while(|line| *line != "```");
        example.map(|line| line.trim_start_matches("# ")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_empty_text_gives_the_documented_defaults() {
        let documented = Limits::from_toml(&documented()).unwrap();
        let max_features =
            BTreeMap::from([("creative_id".to_owned(), 5_000_000), ("media_id*creative_id".to_owned(), 20_000_000)]);
        let expected = Limits {
            oldest_training_end: Some(Duration::from_secs(14 * 86_400)),
            accepted_contracts: vec![0xffa9_bd1e_2caa_96ad],
            max_features,
            ..Limits::from_toml("").unwrap()
        };
        assert_eq!(documented, expected);
        assert_eq!(Limits::from_toml("").unwrap(), Limits::default());
    }

    #[test]
    fn every_fault_is_reported_with_its_line() {
        let text = "min_bytes = -1\nmax_byte = 5\nwarn_size_ratio = [2.0, 1.0]\nfail_size_ratio = [1.0]\n\
                    oldest_training_end = \"14\"\naccepted_contracts = [\"12\"]\n[max_features]\nx = \"many\"\n";
        let faults = Limits::from_toml(text).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.line.unwrap()).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 8], "{faults:?}");
        assert!(faults[0].to_string().contains("line 1: min_bytes: expected a whole number"), "{}", faults[0]);
        assert!(faults[1].to_string().contains("max_byte: not known"), "{}", faults[1]);
        assert!(faults[6].to_string().contains("max_features.x"), "{}", faults[6]);
    }

    #[test]
    fn invalid_toml_is_a_fault() {
        assert!(Limits::from_toml("min_bytes = ").unwrap_err()[0].to_string().contains("limits: not TOML"));
    }

    #[test]
    fn durations_have_a_unit() {
        let seconds = |text: &str| {
            let limits = Limits::from_toml(&format!("oldest_training_end = \"{text}\"")).ok()?;
            limits.oldest_training_end.map(|duration| duration.as_secs())
        };
        assert_eq!(seconds("1 day"), Some(86_400));
        assert_eq!(seconds("36 hours"), Some(36 * 3_600));
        assert_eq!(seconds("90 minutes"), Some(90 * 60));
        for text in ["14", "14 weeks", "-1 days", "1.5 days", "days", "999999999999999999 days"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn the_median_of_an_even_count_is_the_midpoint() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[5]), Some(5));
        assert_eq!(median(&[9, 1]), Some(5));
        assert_eq!(median(&[9, 1, 2]), Some(2));
        assert_eq!(median(&[u64::MAX, u64::MAX]), Some(u64::MAX));
    }

    #[test]
    fn sizes_at_the_limit_are_within() {
        let limits = Limits { min_bytes: 50, max_bytes: 200, ..Limits::default() };
        let name = |len| limits.check_len(len, &[100]).map_err(|error| error.name().to_owned());
        assert!(matches!(name(50), Ok(Some(Warning::UnusualLen { found: 50, median: 100, .. }))));
        assert_eq!(name(49), Err("too_small".to_owned()));
        assert_eq!(name(70), Ok(None));
        assert_eq!(name(140), Ok(None));
        assert!(matches!(name(200), Ok(Some(_))));
        assert_eq!(name(201), Err("too_large".to_owned()));
        let wide = Limits { max_bytes: 1_000, min_bytes: 1, ..limits.clone() };
        let name = |len| wide.check_len(len, &[100]).map_err(|error| error.name().to_owned());
        assert_eq!(name(49), Err("unusual_size".to_owned()));
        assert_eq!(name(201), Err("unusual_size".to_owned()));
        assert_eq!(wide.check_len(7, &[]).unwrap(), None);
    }
}
