//! Works with the [serving log](omomi::serving_log): prints it, checks it, exports it, joins it with events, and
//! computes its predictions again.
//!
//! ```text
//!     segments --read--> records --json--> lines
//!        |                  |
//!        v                  +----check----> faults, each with who must act
//!     losses                |
//!                           +----export---> Parquet by hour
//!                           |
//!                           +----join-----> a log to train from
//!                           |
//!                           +----replay---> predictions that differ, each with the first part that does
//! ```
//!
//! Every function reads segments in any order, sealed or still partial, and says what of the log cannot be read.

mod attribution;
mod bytes;
mod calibration;
mod check;
mod error;
mod export;
mod join;
mod json;
mod losses;
mod replay;
mod segments;
mod status;

pub(crate) use calibration::VERSION as CALIBRATION_VERSION;
pub use calibration::{ServedCalibration, ServedHour, served_calibration};
pub use check::{CheckReport, LogFault, check, unlogged_fields};
pub use error::ServingLogError;
pub use export::{ExportReport, export};
pub use join::{JoinOptions, JoinReport, join};
pub use json::{cloud_event, record_json};
pub use losses::Losses;
pub(crate) use replay::set_logged_value;
pub use replay::{DifferingPart, MAX_EXPLAINED, Mismatch, ReplayFiles, ReplayReport, replay};
pub use segments::{Segments, Visit};
pub use status::{LogStatus, WriterLife, WriterStatus};
