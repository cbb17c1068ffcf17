//! Warnings: findings that do not stop a publication, but that someone should look into.

use std::fmt;
use std::path::PathBuf;

use omomi::store::Control;

/// A finding that someone should look into.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// The file's length differs from the last files, but not enough to reject it.
    UnusualLen {
        /// Length of the file, in bytes.
        found: u64,
        /// Median length of the last files, in bytes.
        median: u64,
        /// The usual ratios of the two: minimum and maximum.
        usual: [f64; 2],
    },
    /// The number of weights of a field differs from the last files, but not enough to reject the file.
    UnusualFieldSize {
        /// The field or cross.
        field: String,
        /// Number of its weights in the file.
        found: u64,
        /// Median number in the last files.
        median: u64,
        /// The usual ratios of the two: minimum and maximum.
        usual: [f64; 2],
    },
    /// A limit names a field that the contract does not have, so the limit has no effect.
    UnknownField {
        /// The name of the field.
        field: String,
    },
    /// `current` was malformed and was written again.
    CurrentMalformed {
        /// What was wrong with it.
        problem: String,
    },
    /// Servers do not follow new publications.
    NotFollowed {
        /// The order in `control`.
        control: Control,
    },
    /// Servers that run as other users than the owner cannot read the store.
    NotReadableByOthers {
        /// The store.
        dir: PathBuf,
        /// Its folders and files that others cannot read.
        closed: Vec<PathBuf>,
    },
    /// `control` cannot be read, so it is unknown whether servers follow.
    ControlUnreadable {
        /// Why it cannot be read.
        problem: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusualLen { found, median, usual: [min, max] } => write!(
                formatter,
                "the file has {found} bytes, {:.2} times the median of the last files ({median} bytes); \
                 {min} to {max} is usual",
                ratio(*found, *median)
            ),
            Self::UnusualFieldSize { field, found, median, usual: [min, max] } => write!(
                formatter,
                "`{field}` has {found} weights, {:.2} times the median of the last files ({median}); \
                 {min} to {max} is usual",
                ratio(*found, *median)
            ),
            Self::UnknownField { field } => {
                write!(formatter, "the limits name the field `{field}`, which the contract does not have")
            }
            Self::CurrentMalformed { problem } => write!(formatter, "`current` was written again, because {problem}"),
            Self::NotFollowed { control } => write!(
                formatter,
                "servers do not follow this publication: `control` is `{control}`; `omomi follow` lifts freeze and pin, \
                 `omomi on` switches scoring on"
            ),
            Self::NotReadableByOthers { dir, closed } => {
                let first = closed.first().unwrap_or(dir).display();
                let more = match closed.len().saturating_sub(1) {
                    0 => String::new(),
                    count => format!(" and {count} more"),
                };
                write!(
                    formatter,
                    "servers that run as other users cannot read {first}{more}: if there are any, run \
                     `chmod -R o+rX {}`",
                    dir.display()
                )
            }
            Self::ControlUnreadable { problem } => write!(formatter, "cannot tell whether servers follow: {problem}"),
        }
    }
}

/// Returns `found` divided by `median`.
#[expect(clippy::cast_precision_loss, reason = "a ratio to compare and to print")]
pub(super) fn ratio(found: u64, median: u64) -> f64 {
    found as f64 / median.max(1) as f64
}
