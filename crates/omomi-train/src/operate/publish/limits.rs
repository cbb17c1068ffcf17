//! What may be published to a store: `limits.toml` in its directory, agreed on by both teams.
//!
//! Everything in it is optional. This is all of it, with the values that hold where it says nothing:
//!
//! ```toml
//! min_bytes = 1                    # of a weight file
//! max_bytes = 16_000_000_000
//! warn_size_ratio = [0.7, 1.4]       # its size, divided by the median of the last 5 files: outside is a warning
//! fail_size_ratio = [0.5, 2.0]       # outside is a refusal
//! # oldest_training_end = "14 days"  # how long ago the last row of the training data may be: days, hours or minutes
//! blessing = "require"               # off | require: whether files need a blessing, which omomi gate gives
//! signature = "off"                  # off | accept | require: whether files have to be signed
//! keys = []                          # public keys whose signatures count, such as ["keys/2026.pub"]: paths from the store on
//! # accepted_contracts = ["ffa9bd1e2caa96ad"]    # fingerprints that servers accept, as `omomi contract check` prints them
//!
//! [max_features]                    # for a field or a cross
//! # creative_id = 5_000_000
//! # "media_id*creative_id" = 20_000_000
//! ```
//!
//! `omomi prune` holds what a file will be against the same limits before it is made, and the numbers of weights of its fields against
//! those of the last 5 files, in the same ratios.
//!
//! A key that is not known is a fault, so that a limit with a typing error does not fail to limit. The first file of a store has no median to
//! be held against. These are limits for publishers; servers have their own, and hold to them whatever was published.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use omomi::contract::{Contract, Fault};
use omomi::store::Store;
use crate::settings::{self, KeyPath, SettingsFaults};
use omomi::weight_file::layout::SectionKind;
use omomi::weight_file::map::FileBytes;
use omomi::weight_file::signature::SignaturePolicy;
use omomi::weight_file::{Content, WeightFile};

use super::warning::ratio;
use super::{BlessingPolicy, PublishError, Warning};

/// How many files the median is taken of.
pub(crate) const USUAL_COUNT: usize = 5;

/// Weights of a field up to which a ratio says nothing: a device more or less.
const MIN_FIELD_SIZE: u64 = 1_000;

/// What may be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Least bytes of a file.
    pub min_bytes: u64,
    /// Most bytes of a file.
    pub max_bytes: u64,
    /// Size, divided by the median of the last files: outside is a warning.
    pub warn_size_ratio: [f64; 2],
    /// Size, divided by the median of the last files: outside is a refusal.
    pub fail_size_ratio: [f64; 2],
    /// How long ago the last row of the training data may be.
    pub oldest_training_end: Option<Duration>,
    /// Fingerprints of contracts that servers accept; where there are none, every contract is accepted.
    pub accepted_contracts: Vec<u64>,
    /// Whether files need a blessing.
    pub blessing: BlessingPolicy,
    /// What signatures have to do with it.
    pub signature: SignaturePolicy,
    /// Files of the public keys whose signatures count.
    pub keys: Vec<PathBuf>,
    /// Most features of a field or cross, by name.
    pub max_features: BTreeMap<String, u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            min_bytes: 1,
            max_bytes: 16_000_000_000,
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
    /// The limits of a store.
    ///
    /// # Errors
    ///
    /// [`PublishError::Limits`], every fault at once.
    pub fn of_store(store: &Store) -> Result<Self, PublishError> {
        let path = store.dir().join("limits.toml");
        let Some(text) = toml_settings::read_text(&path)? else { return Ok(Self::default()) };
        let mut limits = Self::from_toml(&text).map_err(|faults| SettingsFaults { path, faults })?;
        limits.keys.iter_mut().for_each(|key| *key = store.dir().join(&*key));
        Ok(limits)
    }

    /// Reads limits from the text of a `limits.toml`.
    ///
    /// # Errors
    ///
    /// Every fault at once, each with its line.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Fault>> {
        let mut limits = Self::default();
        toml_settings::each_key(text, "limits", &mut |place, key, value| limits.set(place, key, value))?;
        Ok(limits)
    }

    fn set(&mut self, place: &KeyPath<'_>, key: &str, value: &Value) -> Result<(), Fault> {
        match key {
            "min_bytes" => self.min_bytes = place.whole_number(value)?,
            "max_bytes" => self.max_bytes = place.whole_number(value)?,
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

    /// Holds the length of a file against the limits and the lengths of the files before.
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

    /// Holds the number of weights of a field against how many the files before had, as [`Limits::check_len`] does with bytes.
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

    /// Holds what a verified file says against the limits.
    pub(super) fn check_content(
        &self,
        file: &WeightFile<FileBytes>,
        content: &Content,
    ) -> Result<Vec<Warning>, PublishError> {
        let found = content.contract.fingerprint();
        if !self.accepted_contracts.is_empty() && !self.accepted_contracts.contains(&found) {
            return Err(PublishError::ContractNotAccepted { expected: self.accepted_contracts.clone(), found });
        }
        if let Some(expected) = self.oldest_training_end {
            let end_us = training_end_us(&content.provenance).ok_or(PublishError::NoTrainingEnd)?;
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

    /// A warning for each limit of a field that the contract does not have.
    pub(super) fn unknown_fields(&self, contract: &Contract) -> Vec<Warning> {
        let is_unknown = |name: &&String| {
            !contract.fields().iter().any(|field| field.name == **name)
                && !contract.crosses().iter().any(|cross| contract.cross_name(cross) == **name)
        };
        let unknown = self.max_features.keys().filter(is_unknown);
        unknown.map(|field| Warning::UnknownField { field: field.clone() }).collect()
    }

    /// Holds the numbers of weights of fields and crosses against the limits.
    pub(super) fn check_field_sizes(&self, sizes: &BTreeMap<String, u64>) -> Result<(), PublishError> {
        for (field, &expected) in &self.max_features {
            // A field that has no weight is not listed.
            let found = sizes.get(field).copied().unwrap_or(0);
            if found > expected {
                return Err(PublishError::TooManyFeatures { field: field.clone(), expected, found });
            }
        }
        Ok(())
    }
}

/// The time that a text such as `14 days` stands for: days, hours or minutes.
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

/// When the training data of a file ends, in microseconds since 1970-01-01 UTC, where its provenance says it.
pub(super) fn training_end_us(provenance: &Value) -> Option<i64> {
    provenance["training"]["training_window"]["last_us"].as_i64()
}

/// How long ago a time is; nothing of it for a time to come.
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

    /// The example above, without comment signs.
    fn documented() -> String {
        let page = include_str!("limits.rs").lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim_start);
        let example = page.skip_while(|line| *line != "```toml").skip(1).take_while(|line| *line != "```");
        example.map(|line| line.trim_start_matches("# ")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_empty_text_has_the_limits_that_are_documented() {
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
    fn every_fault_is_named_with_its_line() {
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
    fn what_is_no_toml_is_a_fault() {
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
    fn the_median_of_an_even_count_is_in_the_middle() {
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
