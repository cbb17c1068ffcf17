//! What does not stop a publication, but what somebody should look at.

use std::fmt;

use omomi::store::Control;

/// What somebody should look at.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// The length is unlike that of the files before, but not enough to refuse it.
    UnusualLen {
        /// Bytes of the file.
        found: u64,
        /// Median of the files before, in bytes.
        median: u64,
        /// Ratios of the two that are usual.
        usual: [f64; 2],
    },
    /// The number of weights of a field is unlike that of the files before, but not enough to refuse it.
    UnusualFieldSize {
        /// The field or cross.
        field: String,
        /// Its weights in the file.
        found: u64,
        /// Median of the files before.
        median: u64,
        /// Ratios of the two that are usual.
        usual: [f64; 2],
    },
    /// A limit names a field that the contract does not have, so it limits nothing.
    UnknownField {
        /// The name.
        field: String,
    },
    /// `current` said nothing sensible and was written again.
    CurrentMalformed {
        /// What it said.
        problem: String,
    },
    /// Servers do not follow what is published.
    NotFollowed {
        /// What people decided.
        control: Control,
    },
    /// Whether servers follow is not known.
    ControlUnreadable {
        /// Why not.
        problem: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusualLen { found, median, usual: [min, max] } => write!(
                formatter,
                "the file has {found} bytes, {:.2} times the median of the files before ({median} bytes); usual is {min} to {max}",
                ratio(*found, *median)
            ),
            Self::UnusualFieldSize { field, found, median, usual: [min, max] } => write!(
                formatter,
                "`{field}` has {found} weights, {:.2} times the median of the files before ({median}); usual is {min} to {max}",
                ratio(*found, *median)
            ),
            Self::UnknownField { field } => {
                write!(formatter, "the limits name the field `{field}`, which the contract does not have")
            }
            Self::CurrentMalformed { problem } => write!(formatter, "written again, since {problem}"),
            Self::NotFollowed { control } => write!(
                formatter,
                "servers do not follow what is published: control says `{control}`; `omomi on` lets them follow"
            ),
            Self::ControlUnreadable { problem } => write!(formatter, "whether servers follow is not known: {problem}"),
        }
    }
}

/// `found` divided by `median`.
#[expect(clippy::cast_precision_loss, reason = "a ratio to compare and to read")]
pub(super) fn ratio(found: u64, median: u64) -> f64 {
    found as f64 / median.max(1) as f64
}
