//! The experiment file: read strictly, written canonically.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::buckets::{Assignment, BUCKET_COUNT, MAX_ARMS};
use super::explore::{Exploration, Method};
use super::guard::{CalibrationBand, Exposure, Guard};
use crate::bounded_json::{self, JsonLimits};
use crate::error::Error;
use crate::short_text::{self, TextError};

/// Version of the form of the file.
pub const FORMAT: u64 = 1;
/// Longest file, in bytes: one with a range for each bucket has fewer.
pub const MAX_FILE_LEN_BYTES: u64 = 1 << 20;
/// Longest name of an experiment or arm, in bytes. The serving log has room for that many.
const MAX_NAME_LEN_BYTES: usize = 64;
const MAX_STORE_LEN_BYTES: usize = 4_096;

/// An experiment, as its file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Name, which is in each log record.
    pub name: String,
    /// Number of the version: each change of the file has a higher one.
    pub version: u64,
    /// What is assigned to an arm.
    pub unit: Unit,
    /// Salt of all draws. Experiments with different salts assign units independently of each other.
    pub salt: u64,
    /// Index of the control arm.
    pub control: usize,
    /// The arms.
    pub arms: Vec<Arm>,
    /// Which arm owns each bucket. A bucket of an arm that does not serve belongs to the control arm meanwhile.
    pub assignment: Assignment,
    /// How requests explore; `None` if they always take the best candidate.
    pub exploration: Option<Exploration>,
    /// When servers stop an arm by themselves; `None` if they never do.
    pub guard: Option<Guard>,
}

/// What is assigned to an arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// Each request by itself.
    Request,
    /// A field of the context, such as the user's id: an id or a text that has one value.
    Field(String),
}

/// An arm of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// Name, which is in each log record.
    pub name: String,
    /// The directory of its store: absolute, or relative to the folder of the file.
    pub store: PathBuf,
    /// What it does.
    pub state: ArmState,
}

/// What an arm does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmState {
    /// It answers the requests of its units.
    Serve,
    /// It scores some requests after the arm that answers. Its answers are logged, and nothing else.
    Shadow {
        /// How many of 10,000 requests it scores, from 1 to 10,000.
        share: u32,
    },
    /// It scores nothing. Its units belong to the control arm.
    Stopped,
}

impl ArmState {
    /// `serve`, `shadow` or `stopped`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Shadow { .. } => "shadow",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a text is no experiment file. Says what was expected and found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct ExperimentProblem {
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl Experiment {
    /// Reads the file at `path`. Returns nothing if there is none.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the operating system cannot read it, and [`Error::ExperimentMalformed`] if it is no
    /// experiment file.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let malformed = |expected, found| Error::ExperimentMalformed { path: path.to_owned(), expected, found };
        let text = short_text::read(path, MAX_FILE_LEN_BYTES).map_err(|error| match error {
            TextError::Io { action, source } => Error::File { action, path: path.to_owned(), source },
            TextError::Unexpected { expected, found } => malformed(expected, found.to_owned()),
        })?;
        let Some(text) = text else { return Ok(None) };
        text.parse().map(Some).map_err(|problem: ExperimentProblem| malformed(problem.expected, problem.found))
    }

    /// Returns the index of an arm.
    #[must_use]
    pub fn arm(&self, name: &str) -> Option<usize> {
        self.arms.iter().position(|arm| arm.name == name)
    }

    /// Returns the arm that answers the requests of a bucket: its owner, if that serves, and otherwise the control arm.
    ///
    /// # Panics
    ///
    /// If there is no such bucket.
    #[must_use]
    pub fn arm_of(&self, bucket: u32) -> usize {
        let owner = self.assignment.owner(bucket);
        let serves = self.arms.get(owner).is_some_and(|arm| arm.state == ArmState::Serve);
        if serves { owner } else { self.control }
    }

    /// Stops an arm: its buckets go to the control arm. Does not change the number of the version.
    ///
    /// # Errors
    ///
    /// Returns an error for the control arm, which has nowhere to send its units.
    pub fn stop(&mut self, arm: usize) -> Result<(), ExperimentProblem> {
        if arm == self.control || arm >= self.arms.len() {
            let found = self.arms.get(arm).map_or_else(|| format!("arm {arm}"), |arm| format!("`{}`", arm.name));
            return Err(problem("an arm other than the control arm", found));
        }
        let mut shares: Vec<u32> = (0..self.arms.len()).map(|arm| self.assignment.share(arm)).collect();
        shares[self.control] += std::mem::take(&mut shares[arm]);
        self.arms[arm].state = ArmState::Stopped;
        self.assignment = self.assignment.with_shares(&shares).map_err(|it| problem("shares", it.to_string()))?;
        Ok(())
    }

    /// Checks what a file may say, for an experiment that was put together by a program.
    ///
    /// # Errors
    ///
    /// Returns the first problem.
    pub fn check(&self) -> Result<(), ExperimentProblem> {
        check_name("the experiment", &self.name)?;
        if self.arms.is_empty() || self.arms.len() > MAX_ARMS {
            return Err(problem(&format!("1 to {MAX_ARMS} arms"), self.arms.len()));
        }
        for (index, arm) in self.arms.iter().enumerate() {
            check_name("an arm", &arm.name)?;
            if self.arms[..index].iter().any(|other| other.name == arm.name) {
                return Err(problem("arms with different names", format!("two named `{}`", arm.name)));
            }
            let store = arm.store.to_str().unwrap_or_default();
            if store.is_empty() || store.len() > MAX_STORE_LEN_BYTES || store.contains('\0') {
                return Err(problem("a store for each arm: a path in UTF-8", format!("{store:?} for `{}`", arm.name)));
            }
            if let ArmState::Shadow { share } = arm.state {
                check_share(&format!("the share of the shadow `{}`", arm.name), share)?;
                if self.assignment.share(index) > 0 {
                    return Err(problem("no buckets of a shadow", format!("buckets of `{}`", arm.name)));
                }
            }
        }
        if self.arms.get(self.control).is_none_or(|arm| arm.state != ArmState::Serve) {
            return Err(problem("a control arm with the state `serve`", "none"));
        }
        if let Unit::Field(field) = &self.unit
            && field.is_empty()
        {
            return Err(problem("the name of the unit's field", "an empty text"));
        }
        self.guard.as_ref().map_or(Ok(()), check_guard)?;
        let Some(Exploration { share, method }) = self.exploration else { return Ok(()) };
        check_share("the share of exploration", share)?;
        match method {
            Method::EpsilonUniform { epsilon } if !(epsilon > 0.0 && epsilon <= 1.0) => {
                Err(problem("an epsilon above 0 and at most 1", epsilon))
            }
            Method::Softmax { temperature } if !(temperature > 0.0 && temperature.is_finite()) => {
                Err(problem("a temperature above 0", temperature))
            }
            _ => Ok(()),
        }
    }
}

fn problem(expected: &str, found: impl fmt::Display) -> ExperimentProblem {
    ExperimentProblem { expected: expected.to_owned(), found: found.to_string() }
}

/// Longest window of a prediction, in seconds.
const MAX_WINDOW_SECONDS: u64 = 86_400;

fn check_guard(guard: &Guard) -> Result<(), ExperimentProblem> {
    let is_share = |share: f64| share > 0.0 && share < 1.0;
    if guard.max_error_share.is_none() && guard.calibration.is_none() {
        return Err(problem("`max_error_share` or `calibration` of the guard", "neither"));
    }
    if let Some(max) = guard.max_error_share.filter(|max| !is_share(*max)) {
        return Err(problem("a `max_error_share` above 0 and below 1", max));
    }
    if !is_share(guard.false_stop_probability) {
        return Err(problem("a `false_stop_probability` above 0 and below 1", guard.false_stop_probability));
    }
    let Some(CalibrationBand { min, max, window, .. }) = guard.calibration else { return Ok(()) };
    if !(min > 0.0 && min < max && max.is_finite()) {
        return Err(problem("a band of calibration with 0 < `min` < `max`", format!("{min} and {max}")));
    }
    if window.subsec_nanos() > 0 || !(1..=MAX_WINDOW_SECONDS).contains(&window.as_secs()) {
        return Err(problem(&format!("`window_seconds` from 1 to {MAX_WINDOW_SECONDS}"), format!("{window:?}")));
    }
    Ok(())
}

fn check_share(what: &str, share: u32) -> Result<(), ExperimentProblem> {
    if (1..=BUCKET_COUNT).contains(&share) {
        return Ok(());
    }
    Err(problem(&format!("{what} from 1 to {BUCKET_COUNT}"), share))
}

fn check_name(what: &str, name: &str) -> Result<(), ExperimentProblem> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if (1..=MAX_NAME_LEN_BYTES).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    let expected = format!("a name of {what} of 1 to {MAX_NAME_LEN_BYTES} letters, digits, `-`, `_` and `.`");
    Err(problem(&expected, format!("{:?}", name.chars().take(MAX_NAME_LEN_BYTES + 1).collect::<String>())))
}

const KEYS: &[&str] = &[
    "format",
    "experiment",
    "version",
    "unit",
    "field",
    "salt",
    "control",
    "arms",
    "name",
    "store",
    "state",
    "share",
    "buckets",
    "exploration",
    "epsilon",
    "temperature",
    "guard",
    "max_error_share",
    "false_stop_probability",
    "calibration",
    "min",
    "max",
    "of",
    "window_seconds",
];

impl FromStr for Experiment {
    type Err = ExperimentProblem;

    fn from_str(text: &str) -> Result<Self, ExperimentProblem> {
        let limits = JsonLimits {
            max_depth: 6,
            // A range for each bucket, and its two ends.
            max_values: 4 * BUCKET_COUNT as usize,
            max_objects: MAX_ARMS + 8,
            max_text_len_bytes: MAX_STORE_LEN_BYTES,
            known_keys: Some(KEYS),
            max_items: &[("arms", MAX_ARMS, "arms")],
        };
        let value = bounded_json::read(text.as_bytes(), &limits)
            .map_err(|found| problem("an experiment file, which is a JSON object", found))?;
        let Value::Object(file) = value else { return Err(problem("a JSON object", "another value")) };
        let file = Members { what: "the file", members: &file };
        file.only(&["format", "experiment", "version", "unit", "salt", "control", "arms", "exploration", "guard"])?;
        let format = file.number("format")?;
        if format != FORMAT {
            return Err(problem(&format!("format {FORMAT}"), format!("format {format}: a newer release wrote it")));
        }
        let arms = file.get("arms")?.as_array().ok_or_else(|| problem("a list of arms", "another value"))?;
        let mut ranges = Vec::new();
        let arms = arms.iter().map(|arm| {
            let (arm, owned) = arm_of(arm)?;
            ranges.push(owned);
            Ok(arm)
        });
        let arms = arms.collect::<Result<Vec<_>, _>>()?;
        let assignment = Assignment::of_ranges(&ranges);
        let assignment = assignment.map_err(|it| problem("one arm for each of 10,000 buckets", it))?;
        let control = file.text("control")?;
        let control = arms.iter().position(|arm| arm.name == control);
        let experiment = Self {
            name: file.text("experiment")?.to_owned(),
            version: file.number("version")?,
            unit: unit_of(file.get("unit")?)?,
            salt: salt_of(file.text("salt")?)?,
            control: control.ok_or_else(|| problem("the name of an arm as `control`", "another name"))?,
            arms,
            assignment,
            exploration: file.optional("exploration").map(exploration_of).transpose()?,
            guard: file.optional("guard").map(guard_of).transpose()?,
        };
        experiment.check()?;
        Ok(experiment)
    }
}

/// The members of an object of the file.
struct Members<'a> {
    what: &'static str,
    members: &'a Map<String, Value>,
}

impl<'a> Members<'a> {
    fn of(what: &'static str, value: &'a Value) -> Result<Self, ExperimentProblem> {
        match value {
            Value::Object(members) => Ok(Self { what, members }),
            _ => Err(problem(&format!("an object for {what}"), "another value")),
        }
    }

    fn only(&self, known: &[&str]) -> Result<(), ExperimentProblem> {
        match self.members.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(problem(&format!("only known members of {}", self.what), format!("`{key}`"))),
            None => Ok(()),
        }
    }

    fn optional(&self, key: &str) -> Option<&'a Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    fn get(&self, key: &str) -> Result<&'a Value, ExperimentProblem> {
        self.members.get(key).ok_or_else(|| problem(&format!("`{key}` in {}", self.what), "none"))
    }

    fn text(&self, key: &str) -> Result<&'a str, ExperimentProblem> {
        let expected = || problem(&format!("a text as `{key}` of {}", self.what), "another value");
        self.get(key)?.as_str().ok_or_else(expected)
    }

    fn number(&self, key: &str) -> Result<u64, ExperimentProblem> {
        let expected = || problem(&format!("a whole number as `{key}` of {}", self.what), "another value");
        self.get(key)?.as_u64().ok_or_else(expected)
    }

    fn real(&self, key: &str) -> Result<f64, ExperimentProblem> {
        let expected = || problem(&format!("a number as `{key}` of {}", self.what), "another value");
        self.get(key)?.as_f64().ok_or_else(expected)
    }

    fn share(&self) -> Result<u32, ExperimentProblem> {
        let share = self.number("share")?;
        u32::try_from(share).map_err(|_| problem(&format!("a share from 1 to {BUCKET_COUNT}"), share))
    }
}

fn arm_of(value: &Value) -> Result<(Arm, Vec<[u32; 2]>), ExperimentProblem> {
    let arm = Members::of("an arm", value)?;
    arm.only(&["name", "store", "state", "share", "buckets"])?;
    let state = match arm.text("state")? {
        "serve" => ArmState::Serve,
        "shadow" => ArmState::Shadow { share: arm.share()? },
        "stopped" => ArmState::Stopped,
        other => return Err(problem("the state `serve`, `shadow` or `stopped`", format!("{other:?}"))),
    };
    let is_shadow = matches!(state, ArmState::Shadow { .. });
    if !is_shadow && arm.optional("share").is_some() {
        return Err(problem("a `share` of shadows only: other arms have `buckets`", arm.text("name")?));
    }
    let owned = match arm.optional("buckets") {
        Some(list) => ranges_of(list).ok_or_else(|| problem("buckets such as [[0, 4999]]", "another value"))?,
        None if is_shadow => Vec::new(),
        None => return Err(problem("`buckets` of an arm that is no shadow", "none")),
    };
    Ok((Arm { name: arm.text("name")?.to_owned(), store: arm.text("store")?.into(), state }, owned))
}

fn ranges_of(list: &Value) -> Option<Vec<[u32; 2]>> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let range = |range: &Value| match range.as_array()?.as_slice() {
        [first, last] => Some([number(first)?, number(last)?]),
        _ => None,
    };
    list.as_array()?.iter().map(range).collect()
}

fn unit_of(value: &Value) -> Result<Unit, ExperimentProblem> {
    if value.as_str() == Some("request") {
        return Ok(Unit::Request);
    }
    let expected = || problem("a unit: \"request\" or {\"field\": \"NAME\"}", "another value");
    let unit = Members::of("the unit", value).map_err(|_| expected())?;
    unit.only(&["field"])?;
    Ok(Unit::Field(unit.text("field")?.to_owned()))
}

fn salt_of(text: &str) -> Result<u64, ExperimentProblem> {
    let is_hexadecimal = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let salt = is_hexadecimal.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    salt.ok_or_else(|| problem("a salt of 16 hexadecimal digits", "another text"))
}

fn exploration_of(value: &Value) -> Result<Exploration, ExperimentProblem> {
    let exploration = Members::of("exploration", value)?;
    exploration.only(&["share", "epsilon", "temperature"])?;
    let number = |key| exploration.optional(key).map(|value| value.as_f64().unwrap_or(f64::NAN));
    let method = match (number("epsilon"), number("temperature")) {
        (Some(epsilon), None) => Method::EpsilonUniform { epsilon },
        (None, Some(temperature)) => Method::Softmax { temperature },
        _ => return Err(problem("either `epsilon` or `temperature` of exploration", "both or none")),
    };
    Ok(Exploration { share: exploration.share()?, method })
}

fn guard_of(value: &Value) -> Result<Guard, ExperimentProblem> {
    let guard = Members::of("the guard", value)?;
    guard.only(&["max_error_share", "calibration", "false_stop_probability"])?;
    Ok(Guard {
        max_error_share: guard.optional("max_error_share").map(|_| guard.real("max_error_share")).transpose()?,
        calibration: guard.optional("calibration").map(band_of).transpose()?,
        false_stop_probability: guard.real("false_stop_probability")?,
    })
}

fn band_of(value: &Value) -> Result<CalibrationBand, ExperimentProblem> {
    let band = Members::of("calibration", value)?;
    band.only(&["min", "max", "of", "window_seconds"])?;
    let word = band.text("of")?;
    let of = Exposure::ALL.into_iter().find(|of| of.word() == word);
    Ok(CalibrationBand {
        min: band.real("min")?,
        max: band.real("max")?,
        of: of.ok_or_else(|| problem("calibration `of` predictions or impressions", format!("{word:?}")))?,
        window: Duration::from_secs(band.number("window_seconds")?),
    })
}

/// Writes the text of the file, with its line end.
impl fmt::Display for Experiment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: Value| value.to_string();
        let unit = match &self.unit {
            Unit::Request => json!("request"),
            Unit::Field(field) => json!({ "field": field }),
        };
        writeln!(formatter, "{{\n  \"format\": {FORMAT},\n  \"experiment\": {},", text(json!(self.name)))?;
        writeln!(formatter, "  \"version\": {},\n  \"unit\": {},", self.version, text(unit))?;
        writeln!(formatter, "  \"salt\": \"{:016x}\",", self.salt)?;
        let control = self.arms.get(self.control).map_or("", |arm| &arm.name);
        writeln!(formatter, "  \"control\": {},\n  \"arms\": [", text(json!(control)))?;
        for (index, arm) in self.arms.iter().enumerate() {
            let (name, store) = (text(json!(arm.name)), text(json!(arm.store.to_string_lossy())));
            write!(formatter, "    {{\"name\": {name}, \"store\": {store}, \"state\": \"{}\", ", arm.state.word())?;
            match arm.state {
                ArmState::Shadow { share } => write!(formatter, "\"share\": {share}}}")?,
                _ => write!(formatter, "\"buckets\": {}}}", text(json!(self.assignment.ranges(index))))?,
            }
            formatter.write_str(if index + 1 < self.arms.len() { ",\n" } else { "\n" })?;
        }
        formatter.write_str("  ]")?;
        if let Some(Exploration { share, method }) = self.exploration {
            let (name, number) = match method {
                Method::EpsilonUniform { epsilon } => ("epsilon", epsilon),
                Method::Softmax { temperature } => ("temperature", temperature),
            };
            write!(formatter, ",\n  \"exploration\": {{\"share\": {share}, \"{name}\": {}}}", text(json!(number)))?;
        }
        if let Some(Guard { max_error_share, calibration, false_stop_probability }) = self.guard {
            formatter.write_str(",\n  \"guard\": {")?;
            if let Some(max) = max_error_share {
                write!(formatter, "\"max_error_share\": {}, ", text(json!(max)))?;
            }
            if let Some(CalibrationBand { min, max, of, window }) = calibration {
                let (min, max, window) = (text(json!(min)), text(json!(max)), window.as_secs());
                write!(formatter, "\"calibration\": {{\"min\": {min}, \"max\": {max}, \"of\": \"{}\", ", of.word())?;
                write!(formatter, "\"window_seconds\": {window}}}, ")?;
            }
            write!(formatter, "\"false_stop_probability\": {}}}", text(json!(false_stop_probability)))?;
        }
        formatter.write_str("\n}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let window = Duration::from_secs(1_800);
        let calibration = CalibrationBand { min: 0.75, max: 1.5, of: Exposure::Impressions, window };
        Guard { max_error_share: Some(0.01), calibration: Some(calibration), false_stop_probability: 0.001 }
    }

    fn experiment() -> Experiment {
        let arm = |name: &str, state| Arm { name: name.to_owned(), store: format!("feed-{name}").into(), state };
        Experiment {
            name: "wide-model".to_owned(),
            version: 3,
            unit: Unit::Field("user_id".to_owned()),
            salt: 0x0123_4567_89ab_cdef,
            control: 0,
            arms: vec![
                arm("current", ArmState::Serve),
                arm("wide", ArmState::Serve),
                arm("deep", ArmState::Shadow { share: 1_000 }),
                arm("old", ArmState::Stopped),
            ],
            assignment: Assignment::first(&[6_000, 3_000, 0, 1_000]).unwrap(),
            exploration: Some(Exploration { share: 500, method: Method::EpsilonUniform { epsilon: 0.1 } }),
            guard: Some(guard()),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let softmax = Exploration { share: 1, method: Method::Softmax { temperature: 0.25 } };
        for exploration in [experiment().exploration, Some(softmax), None] {
            for unit in [Unit::Request, Unit::Field("a \"field\"".to_owned())] {
                for guard in [None, Some(guard()), Some(Guard { max_error_share: None, ..guard() })] {
                    let written = Experiment { exploration, unit: unit.clone(), guard, ..experiment() };
                    assert_eq!(written.to_string().parse::<Experiment>().unwrap(), written, "{written}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_refused() {
        let text = experiment().to_string();
        let text = text.trim_end();
        for len in 0..text.len() {
            assert!(text[..len].parse::<Experiment>().is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_a_file_must_not_say_is_refused_and_named() {
        let good = experiment().to_string();
        for (before, after, words) in [
            ("\"format\": 1", "\"format\": 2", "format 2: a newer release"),
            ("\"version\": 3", "\"version\": -3", "a whole number as `version`"),
            ("\"version\": 3,", "", "`version` in the file"),
            ("\"version\": 3", "\"version\": 3, \"versoin\": 4", "versoin"),
            ("\"version\": 3", "\"version\": 3, \"field\": 4", "only known members of the file"),
            ("wide-model", "wide model", "a name of the experiment"),
            ("{\"field\":\"user_id\"}", "\"user_id\"", "a unit"),
            ("{\"field\":\"user_id\"}", "{\"field\":\"\"}", "the unit's field"),
            ("0123456789abcdef", "0123456789abcde", "a salt"),
            ("\"control\": \"current\"", "\"control\": \"other\"", "an arm as `control`"),
            ("\"control\": \"current\"", "\"control\": \"old\"", "state `serve`"),
            ("\"control\": \"current\"", "\"control\": \"deep\"", "state `serve`"),
            ("\"name\": \"wide\"", "\"name\": \"current\"", "two named `current`"),
            ("\"store\": \"feed-wide\"", "\"store\": \"\"", "a store for each arm"),
            ("[[0,5999]]", "[[0,5998]]", "none for bucket 5999"),
            ("[[0,5999]]", "[[0,5999,1]]", "buckets such as"),
            ("\"share\": 1000", "\"share\": 0", "from 1 to 10000"),
            ("\"share\": 1000", "\"share\": 1000, \"buckets\": [[0,1]]", "bucket 0 twice"),
            ("\"buckets\": [[9000,9999]]", "\"share\": 3", "a `share` of shadows only"),
            ("\"state\": \"stopped\"", "\"state\": \"paused\"", "the state `serve`"),
            ("\"epsilon\": 0.1", "\"epsilon\": 1.5", "an epsilon"),
            ("\"epsilon\": 0.1", "\"epsilon\": 0.1, \"temperature\": 1.0", "either `epsilon`"),
            ("\"epsilon\": 0.1", "\"temperature\": 0", "a temperature above 0"),
            ("\"max_error_share\": 0.01", "\"max_error_share\": 1", "a `max_error_share`"),
            ("\"min\": 0.75", "\"min\": 1.5", "a band of calibration"),
            ("\"impressions\"", "\"clicks\"", "calibration `of`"),
            ("\"window_seconds\": 1800", "\"window_seconds\": 0", "`window_seconds` from 1"),
            (", \"false_stop_probability\": 0.001", "", "`false_stop_probability` in the guard"),
            ("\"guard\": {", "\"guard\": {\"arm\": 1, ", "guard"),
        ] {
            let text = good.replacen(before, after, 1);
            assert_ne!(text, good, "{before}");
            let found = text.parse::<Experiment>().unwrap_err().to_string();
            assert!(found.contains(words), "{after}: {found}");
        }
    }

    #[test]
    fn stopping_an_arm_moves_its_units_to_the_control_arm_and_no_others() {
        let before = experiment();
        let mut after = before.clone();
        after.stop(1).unwrap();
        for bucket in 0..BUCKET_COUNT {
            let expected = if before.arm_of(bucket) == 1 { before.control } else { before.arm_of(bucket) };
            assert_eq!(after.arm_of(bucket), expected, "{bucket}");
        }
        after.check().unwrap();
        assert!(after.stop(0).unwrap_err().to_string().contains("`current`"));
        // A file that was stopped by hand keeps its buckets, and means the same.
        let mut by_hand = before.clone();
        by_hand.arms[1].state = ArmState::Stopped;
        assert!((0..BUCKET_COUNT).all(|bucket| by_hand.arm_of(bucket) == after.arm_of(bucket)));
    }
}
