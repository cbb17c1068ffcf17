//! Experiment files: begun, changed and checked by people. Servers read them: see [`omomi::experiment`].

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use omomi::contract::{Contract, FieldKind, Side};
use omomi::error::Owner;
use omomi::experiment::{
    Arm, ArmState, Assignment, BUCKET_COUNT, Experiment, ExperimentProblem, Exploration, Guard, MAX_FILE_LEN_BYTES,
    Unit, state_folder,
};
use omomi::new_file::NewFile;
use omomi::short_text;
use omomi::store::Store;
use omomi::{LoadMode, Model};
use serde_json::Value;

/// Why an experiment file was not read, checked or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The file, or a weight file of an arm, is not valid.
    #[error(transparent)]
    Invalid(#[from] omomi::Error),
    /// There is no file.
    #[error("expected an experiment file at {}, found none; begin one with `omomi experiment start`", path.display())]
    Absent {
        /// Where it was expected.
        path: PathBuf,
    },
    /// There is a file already.
    #[error("{} exists; change it with `omomi experiment share` and `stop`, or choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// What was asked for is no experiment.
    #[error("expected {expected}, found {found}")]
    Refused {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
}

impl From<ExperimentProblem> for ExperimentError {
    fn from(problem: ExperimentProblem) -> Self {
        Self::Refused { expected: problem.expected, found: problem.found }
    }
}

impl ExperimentError {
    /// Returns who must act.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Self::Invalid(error) => error.owner(),
            Self::Absent { .. } | Self::Exists { .. } | Self::Refused { .. } => Owner::Ml,
            Self::File { .. } => Owner::Infra,
        }
    }
}

/// A change of a file.
#[derive(Debug)]
#[non_exhaustive]
pub struct Change {
    /// What it says now.
    pub after: Experiment,
    /// Number of buckets whose requests another arm answers now.
    pub moved: u32,
}

/// A problem that a check found, and who must act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckProblem {
    /// What was expected and found.
    pub text: String,
    /// Who must act.
    pub owner: Owner,
}

/// Reads an experiment file.
///
/// # Errors
///
/// Returns [`ExperimentError`] if there is none, or it is not valid.
pub fn read(path: &Path) -> Result<Experiment, ExperimentError> {
    Experiment::read(path)?.ok_or_else(|| ExperimentError::Absent { path: path.to_owned() })
}

/// Begins an experiment: writes the first version of its file. The first arm is the control arm, which gets the buckets
/// that no other arm has. A salt is drawn at random if none is given.
///
/// # Errors
///
/// Returns [`ExperimentError`] if the file exists or cannot be written, or what is asked for is no experiment.
pub fn start(
    path: &Path,
    name: &str,
    unit: Unit,
    salt: Option<u64>,
    arms: Vec<(Arm, u32)>,
    (exploration, guard): (Option<Exploration>, Option<Guard>),
) -> Result<Experiment, ExperimentError> {
    let salt = salt.unwrap_or_else(|| RandomState::new().hash_one(name));
    let mut shares: Vec<u32> =
        arms.iter().map(|(arm, share)| if matches!(arm.state, ArmState::Shadow { .. }) { 0 } else { *share }).collect();
    give_rest_to(0, &mut shares)?;
    let assignment = Assignment::first(&shares).map_err(|problem| refused("shares of all arms", problem))?;
    let experiment = Experiment {
        name: name.to_owned(),
        version: 1,
        unit,
        salt,
        control: 0,
        arms: arms.into_iter().map(|(arm, _)| arm).collect(),
        assignment,
        exploration,
        guard,
    };
    experiment.check()?;
    write(path, &experiment, false)?;
    Ok(experiment)
}

/// Changes the shares of arms, each in 10,000; the control arm gets the rest. An arm that was stopped serves again. As
/// few buckets as possible move.
///
/// # Errors
///
/// Returns [`ExperimentError`] if the file cannot be read or written, for an unknown arm, for the control arm, and for
/// shares above 10,000 in all.
pub fn share(path: &Path, shares: &[(String, u32)]) -> Result<Change, ExperimentError> {
    change(path, |experiment| {
        let mut all: Vec<u32> = (0..experiment.arms.len()).map(|arm| experiment.assignment.share(arm)).collect();
        for (name, share) in shares {
            let index = arm_of(experiment, name)?;
            if index == experiment.control {
                return Err(refused("arms other than the control arm, which gets the rest", format!("`{name}`")));
            }
            match &mut experiment.arms[index].state {
                ArmState::Shadow { share: of_requests } => *of_requests = *share,
                state => {
                    *state = ArmState::Serve;
                    all[index] = *share;
                }
            }
        }
        give_rest_to(experiment.control, &mut all)?;
        experiment.assignment =
            experiment.assignment.with_shares(&all).map_err(|problem| refused("shares of all arms", problem))?;
        Ok(())
    })
}

/// Stops an arm: the control arm gets its buckets.
///
/// # Errors
///
/// Returns [`ExperimentError`] if the file cannot be read or written, and for an unknown arm or the control arm.
pub fn stop(path: &Path, name: &str) -> Result<Change, ExperimentError> {
    change(path, |experiment| {
        let index = arm_of(experiment, name)?;
        Ok(experiment.stop(index)?)
    })
}

/// Checks a file and the stores of its arms: each has a published weight file that is whole, no two arms have one logic
/// id, and fields of one name have one type in all contracts. Reads every byte of the weight files.
///
/// # Errors
///
/// Returns [`ExperimentError`] if the file itself cannot be read. What is wrong with stores is in the list.
pub fn check(path: &Path) -> Result<(Experiment, Vec<CheckProblem>), ExperimentError> {
    let experiment = read(path)?;
    let mut problems = Vec::new();
    let mut models: Vec<(&Arm, Arc<Model>)> = Vec::new();
    for arm in experiment.arms.iter().filter(|arm| arm.state != ArmState::Stopped) {
        let dir = path.parent().unwrap_or(Path::new("")).join(&arm.store);
        match published(&dir) {
            Ok(Some(model)) => models.push((arm, model)),
            Ok(None) => problems.push(CheckProblem {
                text: format!(
                    "arm `{}`: expected a store with a published generation at {}, found none; publish one",
                    arm.name,
                    dir.display()
                ),
                owner: Owner::Ml,
            }),
            Err(error) => {
                problems.push(CheckProblem { text: format!("arm `{}`: {}", arm.name, error), owner: error.owner() })
            }
        }
    }
    let of_ml = |text| CheckProblem { text, owner: Owner::Ml };
    for (index, (arm, model)) in models.iter().enumerate() {
        for (other, other_model) in &models[..index] {
            if model.logic_id() == other_model.logic_id() && arm.store != other.store {
                problems.push(of_ml(format!(
                    "arms `{}` and `{}`: expected different logic ids, found `{}` in both; pack one with another",
                    other.name,
                    arm.name,
                    model.logic_id()
                )));
            }
            let difference = difference(other_model.contract(), model.contract());
            problems.extend(difference.map(|difference| {
                of_ml(format!("arms `{}` and `{}`: {difference}; one server cannot declare both", other.name, arm.name))
            }));
        }
        if let Unit::Field(unit) = &experiment.unit
            && let Some(problem) = problem_of_unit(unit, model.contract())
        {
            problems.push(of_ml(format!("arm `{}`: {problem}", arm.name)));
        }
    }
    Ok((experiment, problems))
}

/// Returns what the servers that read a file report about it, by their names.
#[must_use]
pub fn reports(path: &Path) -> Vec<(String, Value)> {
    const ENDING: &str = ".report.json";
    let mut reports = Vec::new();
    let Ok(entries) = fs::read_dir(state_folder(path)) else { return reports };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(|name| name.strip_suffix(ENDING)) else { continue };
        let text = short_text::read(&entry.path(), MAX_FILE_LEN_BYTES).ok().flatten();
        if let Some(report) = text.and_then(|text| serde_json::from_str(&text).ok()) {
            reports.push((name.to_owned(), report));
        }
    }
    reports.sort_by(|one, two| one.0.cmp(&two.0));
    reports
}

/// Reads a file, changes it, and replaces it.
fn change(
    path: &Path,
    change: impl FnOnce(&mut Experiment) -> Result<(), ExperimentError>,
) -> Result<Change, ExperimentError> {
    let before = read(path)?;
    let mut after = before.clone();
    change(&mut after)?;
    after.version += 1;
    after.check()?;
    let moved = (0..BUCKET_COUNT).map(|bucket| u32::from(before.arm_of(bucket) != after.arm_of(bucket))).sum();
    write(path, &after, true)?;
    Ok(Change { after, moved })
}

fn write(path: &Path, experiment: &Experiment, replace: bool) -> Result<(), ExperimentError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => ExperimentError::Exists { path: path.to_owned() },
        _ => ExperimentError::File { path: path.to_owned(), source },
    };
    let file = NewFile::create(path, replace).map_err(failed)?;
    file.file().write_all(experiment.to_string().as_bytes()).map_err(failed)?;
    file.commit().map_err(failed)
}

/// Gives an arm the buckets that no other arm has.
fn give_rest_to(control: usize, shares: &mut [u32]) -> Result<(), ExperimentError> {
    let others = shares.iter().enumerate().filter(|(arm, _)| *arm != control).map(|(_, share)| u64::from(*share));
    let others: u64 = others.sum();
    let rest = u64::from(BUCKET_COUNT).checked_sub(others).and_then(|rest| u32::try_from(rest).ok());
    let expected = format!("at most {BUCKET_COUNT} buckets of all arms but the control arm");
    let rest = rest.ok_or_else(|| refused(&expected, others))?;
    if let Some(share) = shares.get_mut(control) {
        *share = rest;
    }
    Ok(())
}

fn arm_of(experiment: &Experiment, name: &str) -> Result<usize, ExperimentError> {
    let names: Vec<_> = experiment.arms.iter().map(|arm| format!("`{}`", arm.name)).collect();
    experiment.arm(name).ok_or_else(|| refused(&format!("one of the arms {}", names.join(", ")), format!("`{name}`")))
}

fn refused(expected: &str, found: impl std::fmt::Display) -> ExperimentError {
    ExperimentError::Refused { expected: expected.to_owned(), found: found.to_string() }
}

/// Returns the model that a store publishes, if it publishes one.
fn published(dir: &Path) -> Result<Option<Arc<Model>>, omomi::Error> {
    let store = Store::new(dir);
    let Some(current) = store.read_current()? else { return Ok(None) };
    Model::load(store.generation_path(current.generation), LoadMode::Map).map(Some)
}

/// Says which field two contracts have with different types.
fn difference(one: &Contract, two: &Contract) -> Option<String> {
    one.fields().iter().find_map(|field| {
        let other = two.fields().iter().find(|other| other.name == field.name)?;
        let kind = |kind: &FieldKind| match kind {
            FieldKind::Id => "id".to_owned(),
            FieldKind::Text => "text".to_owned(),
            FieldKind::Number { unit, range, .. } => format!("number in {unit} from {} to {}", range[0], range[1]),
        };
        let described =
            |side: Side, many: bool, kind: String| format!("{} {}{kind}", side.word(), if many { "many " } else { "" });
        let this = described(field.side, field.many, kind(&field.kind));
        let other = described(other.side, other.many, kind(&other.kind));
        (this != other).then(|| format!("expected one type of the field `{}`, found {this} and {other}", field.name))
    })
}

/// Says why a field of a contract cannot be the unit. A field that the contract does not have may still be declared.
fn problem_of_unit(unit: &str, contract: &Contract) -> Option<String> {
    let field = contract.fields().iter().find(|field| field.name == *unit)?;
    let fits = field.side == Side::Context && !field.many && !matches!(field.kind, FieldKind::Number { .. });
    let expected = "expected as the unit a field of the context, an id or a text with one value";
    (!fits).then(|| format!("{expected}, found `{unit}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(name: &str, state: ArmState) -> Arm {
        Arm { name: name.to_owned(), store: name.into(), state }
    }

    fn started(folder: &Path) -> PathBuf {
        let path = folder.join("test.experiment");
        let arms = vec![
            (arm("current", ArmState::Serve), 0),
            (arm("wide", ArmState::Serve), 1_000),
            (arm("deep", ArmState::Shadow { share: 100 }), 0),
        ];
        start(&path, "test", Unit::Request, None, arms, (None, None)).unwrap();
        path
    }

    #[test]
    fn shares_change_in_the_file_and_the_control_arm_gets_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = started(folder.path());
        let first = read(&path).unwrap();
        let shares = |experiment: &Experiment| [0, 1, 2].map(|arm| experiment.assignment.share(arm));
        assert_eq!((first.version, shares(&first)), (1, [9_000, 1_000, 0]));
        let ask = |name: &str, to| share(&path, &[(name.to_owned(), to)]);
        let grown = ask("wide", 2_500).unwrap();
        assert_eq!((grown.moved, grown.after.version, shares(&grown.after)), (1_500, 2, [7_500, 2_500, 0]));
        assert_eq!(read(&path).unwrap(), grown.after);
        let shadow = ask("deep", 10_000).unwrap();
        assert_eq!((shadow.moved, shadow.after.arms[2].state), (0, ArmState::Shadow { share: 10_000 }));
        let stopped = stop(&path, "wide").unwrap();
        assert_eq!((stopped.moved, shares(&stopped.after)), (2_500, [10_000, 0, 0]));
        assert_eq!(stopped.after.arms[1].state, ArmState::Stopped);
        let again = ask("wide", 100).unwrap();
        assert_eq!((again.moved, again.after.arms[1].state), (100, ArmState::Serve));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = started(folder.path());
        let before = fs::read_to_string(&path).unwrap();
        let refused = |outcome: Result<Change, ExperimentError>, words: &str| {
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(share(&path, &[("other".to_owned(), 1)]), "`current`, `wide`, `deep`");
        refused(share(&path, &[("current".to_owned(), 1)]), "the control arm, which gets the rest");
        refused(share(&path, &[("wide".to_owned(), 10_001)]), "at most 10000 buckets");
        refused(share(&path, &[("deep".to_owned(), 0)]), "from 1 to 10000");
        refused(stop(&path, "current"), "other than the control arm");
        assert!(matches!(
            start(&path, "test", Unit::Request, None, vec![(arm("a", ArmState::Serve), 0)], (None, None)),
            Err(ExperimentError::Exists { .. })
        ));
        assert!(matches!(read(&folder.path().join("none")), Err(ExperimentError::Absent { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }

    #[test]
    fn a_store_without_a_publication_is_a_problem_of_its_arm() {
        let folder = tempfile::tempdir().unwrap();
        let (_, problems) = check(&started(folder.path())).unwrap();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[1].text.contains("arm `wide`") && problems[1].text.contains("publish one"));
    }
}
