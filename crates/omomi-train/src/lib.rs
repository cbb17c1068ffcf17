//! The trainer of omomi: ad logs to weight files.
//!
//! ```text
//!     ad logs (Parquet, CSV, JSONL)
//!         | log
//!         v
//!       learn --> training state (Parquet) --prune--> weights --pack--> weight file --operate--> store
//!                                                                            |
//!                                                                   evaluate, judge
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | [`bucket`] | reads and writes what paths and addresses name: files, and objects on S3, Google Cloud Storage, Azure |
//! | [`agreement`] | turns a contract into a server's declaration, and says what a new contract changes for the server |
//! | [`log`] | reads rows from logs, and generates logs whose true probabilities are known |
//! | [`draft`] | drafts a contract from logs: surveys columns, and guesses their fields |
//! | [`evaluate`] | measures predictions: log loss, normalized entropy, AUC and calibration, with confidence intervals |
//! | [`learn`] | trains: rows to a state, in one process or many; averages, recalibrates and tunes |
//! | [`pack`] | makes a weight file from a state: the table, the golden requests, the signature |
//! | [`operate`] | publishes to a store, rehearses incidents, and measures latency under load |
//! | [`adopt`] | imports weights that were trained elsewhere, makes baselines, and repairs a served file |
//! | [`serving_logs`] | prints and checks what servers logged, joins it with wins and clicks, and computes it again |
//! | [`read_out`] | reads experiments out of joined logs, and says what another weight file would have earned |
//! | [`prune`] | makes a state smaller, and bills what that costs |
//! | [`judge`] | decides whether a file may be published, and shows why: gate, explanations, report |
//! | [`plan`] | plans the training of a day: finds the logs, decides what is learned, and says which commands follow |
//! | [`flow`] | runs job flows: state machines whose tasks are commands, here as on Step Functions |
//! | [`simulate`] | shows on a made-up month how good the judgments are |
//! | [`toml`] | reads contracts and settings as people write them |
//!
//! Training and serving meet in two modules only, both of the crate `omomi`: [`omomi::feature`] says how a field and a
//! category become a key, and [`omomi::weight_file::layout`] where a weight is stored.
//!
//! # Layers
//!
//! A module uses only modules that are named before it. A test reads this list and fails on an upward dependency.
//!
//! ```text
//! layers, from low to high
//!     parent_process  readable  toml  bucket  settings  agreement
//!     flow
//!     log
//!     lineage
//!     evaluate
//!     draft
//!     learn
//!     pack
//!     operate  serving_logs
//!     read_out
//!     adopt
//!     prune
//!     judge
//!     plan
//!     simulate
//! ```

pub mod adopt;
pub mod agreement;
pub mod bucket;
pub mod draft;
pub mod evaluate;
pub mod flow;
pub mod judge;
pub mod learn;
pub mod lineage;
pub mod log;
pub mod operate;
pub mod pack;
mod parent_process;
pub mod plan;
pub mod prune;
pub mod read_out;
pub mod readable;
pub mod serving_logs;
mod settings;
pub mod simulate;
pub mod toml;

pub use settings::SettingsFaults;
