//! Trains a model from log rows: logistic regression by per-coordinate FTRL-Proximal.
//!
//! [`train`] does a whole run, from log files to a [training state](state) and its provenance. [`Trainer`] is its core:
//! it learns batches of rows from any source.
//!
//! ```text
//! logs --LogReader--> batches --RowIndexer--> rows of feature numbers --Learner--> coordinates --> training state
//!                                                  |        ^
//!                                                  +--> row cache: further passes, other settings, other rounds
//! ```
//!
//! One thread decodes batches while another numbers their features and learns them. The result does not depend on which
//! thread is faster. Rows can be [down-sampled](Sampling), and a column of the log can say how much each row counts.
//!
//! # Limits
//!
//! One process holds at most 2^32 - 1 features. Each takes about 80 bytes plus its text. The value of a number field
//! enters the model only as its bucket.

pub mod average;
mod chunk_features;
mod error;
mod feature_groups;
mod indexed_rows;
mod key_index;
mod learner;
mod optimizer;
mod pipeline;
mod provenance;
mod quantiles;
pub mod recalibrate;
mod row_cache;
mod row_indexer;
mod run;
mod sampling;
pub mod shards;
mod start;
pub mod state;
mod state_model;
pub(crate) mod table;
mod trainer;
pub mod tune;
mod weight_rule;

pub use error::TrainError;
pub use optimizer::{Coordinate, Settings, weight};
pub use provenance::utc;
pub(crate) use provenance::{files_json, metrics_json, start_json, window_json, write_provenance};
pub use quantiles::{QuantileError, fill_quantiles};
pub use row_cache::RowCacheError;
pub(crate) use run::refuse_leakage;
pub use run::{Account, Event, Step, TrainOptions, WINDOW_ROW_COUNT, provenance_path, train};
pub use sampling::Sampling;
pub use start::{LINEAGE_DAYS_LIMIT, StartAccount, StartOptions};
pub(crate) use start::{age_days, days_of, decayed, refuse_start, share_of, share_of_bias};
pub use state_model::{StateFeature, StateModel};
pub use trainer::{FieldFeatures, Trainer, WrittenState};
pub use weight_rule::WeightRule;
