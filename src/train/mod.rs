//! Rows of a log become weights: logistic regression by per-coordinate FTRL-Proximal.
//!
//! [`Trainer`] learns batches of rows and writes the [training state](state).

mod error;
mod key_index;
mod optimizer;
mod sources;
pub mod state;
mod table;
mod trainer;

pub use error::TrainError;
pub use optimizer::{Coordinate, Settings, weight};
pub use trainer::{FieldFeatures, Trainer, WrittenState};
