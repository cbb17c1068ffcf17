//! Works with the [serving log](omomi::serving_log): prints it and checks it.
//!
//! ```text
//!     segments --read--> records --json--> lines
//!        |                  |
//!        v                  +----check----> faults, each with who must act
//!     losses
//! ```
//!
//! Every function reads segments in any order, sealed or still partial, and says what of the log cannot be read.

mod check;
mod error;
mod json;
mod losses;
mod segments;

pub use check::{CheckReport, LogFault, check};
pub use error::ServingLogError;
pub use json::{cloud_event, record_json};
pub use losses::Losses;
pub use segments::{Segments, Visit};
