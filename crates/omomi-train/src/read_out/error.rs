//! Why an experiment cannot be read out.

use std::path::PathBuf;

use omomi::error::Owner;

use crate::log::LogError;
use crate::serving_logs::ServingLogError;

/// Why an experiment cannot be read out, or a weight file cannot be judged by logs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadOutError {
    /// The logs cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The serving log cannot be read.
    #[error(transparent)]
    ServingLog(#[from] ServingLogError),
    /// A column is missing.
    #[error("the logs have no column `{column}`, which {writer} writes; expected {purpose}, found {}", columns(found))]
    NoColumn {
        /// The column.
        column: String,
        /// What the column is for.
        purpose: &'static str,
        /// What writes it.
        writer: &'static str,
        /// The columns that the logs have.
        found: Vec<String>,
    },
    /// A row cannot be used.
    #[error("row {row}: column `{column}`: expected {expected}, found `{}`", found.escape_debug())]
    BadRow {
        /// Number of the row over all files, counted from 1.
        row: u64,
        /// The column.
        column: String,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// No row is of an experiment.
    #[error(
        "none of the {row_count} rows is of {}: expected rows with an experiment, an arm and a unit; log them with \
         each prediction, or check the time range", expected.as_deref().unwrap_or("an experiment")
    )]
    NoRows {
        /// How many rows were read.
        row_count: u64,
        /// The experiment that was asked for.
        expected: Option<String>,
    },
    /// Rows are of several experiments.
    #[error("expected the rows of one experiment, found {}; name one with --experiment", found.join(", "))]
    SeveralExperiments {
        /// Their names.
        found: Vec<String>,
    },
    /// The control arm is not known.
    #[error(
        "which arm is the control arm? Expected one of {}, {}; name it with --control",
        found.join(", "), asked(expected.as_deref())
    )]
    NoControl {
        /// The control arm that was asked for.
        expected: Option<String>,
        /// The arms of the logs.
        found: Vec<String>,
    },
    /// There is nothing to compare.
    #[error("expected two arms or more, found only `{arm}`: the other arms have no rows in these logs")]
    OneArm {
        /// The arm.
        arm: String,
    },
    /// There are too many arms.
    #[error("expected at most {max} arms, found more: the column of the arm has other values, such as ids")]
    TooManyArms {
        /// The most arms.
        max: usize,
    },
    /// The planned shares name other arms than the logs.
    #[error("the planned shares name {}, the logs have {}; name every arm once", expected.join(", "), found.join(", "))]
    OtherArms {
        /// The arms of the shares.
        expected: Vec<String>,
        /// The arms of the logs.
        found: Vec<String>,
    },
    /// The rows are not those of the experiment file.
    #[error("the logs do not fit the experiment file: expected {expected}, found {found}; {action}")]
    OtherExperiment {
        /// What the file says.
        expected: String,
        /// What the logs say.
        found: String,
        /// What to do.
        action: &'static str,
    },
    /// Several rows have one prediction id.
    #[error(
        "{found} of {looked_at} rows have the prediction id of another row (the first is {first}): every click would \
         count twice; name each output of `omomi log join` once, and name earlier outputs with --previous when joining"
    )]
    RepeatedRows {
        /// Rows whose id another row has.
        found: u64,
        /// Rows whose ids were compared.
        looked_at: u64,
        /// The first such id.
        first: String,
    },
    /// Prices are in several currencies.
    #[error("expected prices in one currency, found {one} and {other}; compare one currency at a time")]
    SeveralCurrencies {
        /// One of them.
        one: String,
        /// Another one.
        other: String,
    },
    /// A plan cannot be made of these figures.
    #[error("a plan needs {expected}, found {found}")]
    NoPlan {
        /// What is needed.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A weight file cannot be used.
    #[error("{}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: omomi::Error,
    },
    /// The weight file needs what the log does not have.
    #[error("{}: {message}", path.display())]
    UnknownChoice {
        /// The weight file.
        path: PathBuf,
        /// What is missing, and what to do.
        message: String,
    },
    /// A file cannot be written or read.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

fn columns(found: &[String]) -> String {
    const SHOWN: usize = 30;
    let shown = found.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if found.len() > SHOWN { format!("{shown} and {} more", found.len() - SHOWN) } else { shown }
}

fn asked(expected: Option<&str>) -> String {
    expected.map_or_else(|| "and none was named".to_owned(), |name| format!("not `{name}`"))
}

impl ReadOutError {
    /// Returns who must act.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Log(error) => error.owner(),
            Self::ServingLog(error) => error.owner(),
            Self::NoRows { .. }
            | Self::BadRow { .. }
            | Self::SeveralCurrencies { .. }
            | Self::OneArm { .. }
            | Self::TooManyArms { .. } => Owner::Delivery,
            Self::File { .. } => Owner::Infra,
            Self::NoColumn { .. }
            | Self::SeveralExperiments { .. }
            | Self::NoControl { .. }
            | Self::OtherArms { .. }
            | Self::OtherExperiment { .. }
            | Self::RepeatedRows { .. }
            | Self::NoPlan { .. }
            | Self::WeightFile { .. }
            | Self::UnknownChoice { .. } => Owner::Ml,
        }
    }
}
