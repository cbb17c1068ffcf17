//! The trainer of omomi: ad logs to weight files.
//!
//! ```text
//!     ad logs (Parquet, CSV, JSONL)
//!         | log
//!         v
//!       learn --> training state (Parquet) --prune, pack--> weight file --judge, operate--> store
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | [`log`] | reads rows from logs; generates logs whose true probabilities are known |
//! | [`learn`] | rows to a training state: in one process or many, averaged, recalibrated, tuned |
//! | [`prune`] | makes a state smaller and bills the cost |
//! | [`pack`] | a state to a weight file: the file's writer, the table's builder, signing |
//! | [`judge`] | evaluates, explains, gates and reports |
//! | [`operate`] | publishes to a store, rehearses incidents, measures latency under load |
//!
//! Training and serving meet in two modules only, both of the crate `omomi`: [`omomi::feature`] says how a field and a
//! category become a key, and [`omomi::weight_file::layout`] where a weight is stored.

pub mod judge;
pub mod learn;
pub mod log;
pub mod operate;
pub mod pack;
mod parent_process;
pub mod prune;
pub mod readable;
mod settings;
pub mod toml;

pub use settings::SettingsFaults;
