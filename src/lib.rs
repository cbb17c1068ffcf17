//! **omomi** (重み, "weight") scores ads with a click-through-rate (CTR) model, from any language that can call C or the
//! JVM, with every weight outside the caller's heap. This crate is the library that a server links. Another crate,
//! `omomi-train`, makes the weight files.
//!
//! ```text
//!     weight file 000042.omomi (sealed: exact lengths, checksums, golden requests)
//!         | weight_file: every byte is verified
//!         v
//!       model <--- live: a new generation is verified, warmed and swapped in <--- store
//!         |
//!         v
//!       score <--- request: one context, many candidates
//!         |
//!         v
//!     probabilities ---> Rust, C (capi, include/omomi.h), the JVM (jni, jvm-bindings/)
//! ```
//!
//! Training and serving meet in two modules only: [`feature`] says how a field and a category become a key, and
//! [`weight_file::layout`] says where a weight is stored. The [`contract`] is the agreement between the two sides, as
//! data that a machine checks.
//!
//! # A program
//!
//! A server opens a file, binds it to the fields that it supplies, and keeps a scorer and a request per thread:
//!
//! ```no_run
//! use omomi::contract::Side;
//! use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema, SchemaField, Scorer};
//!
//! // Once, when the server starts: the fields that it can supply, for every later model.
//! let schema = Schema::new(vec![
//!     SchemaField::id("media_id", Side::Context),
//!     SchemaField::id("creative_id", Side::Candidate),
//! ])?;
//! let layout = RequestLayout::new(&schema, Capacity { candidates: 500, tail_len_bytes: 4_096 })?;
//! let (media_id, creative_id) = (schema.slot("media_id").unwrap(), schema.slot("creative_id").unwrap());
//!
//! // For each generation: every byte is verified, and the golden requests are recomputed.
//! let model = Model::load("feed-ctr/000042.omomi", LoadMode::Map)?;
//! let scorer = Scorer::new(model, &layout)?;
//!
//! // For each request: nothing is allocated, and nothing waits.
//! let mut request = scorer.new_request();
//! request.clear();
//! request.context().set_id(media_id, 17)?;
//! request.candidate(0)?.set_id(creative_id, 4_001)?;
//! request.candidate(1)?.set_id(creative_id, 4_002)?;
//! scorer.predict(&mut request, 2)?;
//! let probability = request.answer(1).probability;
//! # Ok::<(), omomi::Error>(())
//! ```
//!
//! A server that must not restart for a new model opens a [`live::LiveModel`] instead, which follows a store. To write
//! a reader in another language, start from [`weight_file`], which is the specification of the format, and from
//! `tests/reference`, which is such a reader.
//!
//! # Modules
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`contract`], [`feature`], [`math`], [`error`] | fields and their meaning; feature keys; the sigmoid; every error |
//! | [`request`] | the fields that a server declares, the memory block of a request, rows outside a block |
//! | [`weight_file`] | the format, the table and its look-ups, opening, verifying and mapping, signatures |
//! | [`score`] | a model bound to a request layout: the kernel, its plain twin, prepared candidates, explanations |
//! | [`log`] | messages about defects that the library caught in itself |
//! | [`store`] | the directory through which weight files reach servers |
//! | [`live`] | a model that follows a store while requests go on, and what it reports about itself |
//! | [`experiment`] | several live models on shares of the units: arms, shadows, exploration |
//! | [`serving_log`] | what was served, written by a background thread: predictions, details, events; and its reader |
//! | [`capi`], `jni` | the same calls for C and for the JVM, with statuses and exceptions for errors and panics |
//!
//! # Layers
//!
//! A module uses only modules that are named before it. A test reads this list and fails on an upward dependency.
//!
//! ```text
//! layers, from low to high
//!     math  log  hex  printable  bounded_json  short_text  prefetch  instructions  rounding  new_file  feature  contract
//!     digest  error  memory
//!     request
//!     weight_file
//!     score
//!     store
//!     live
//!     experiment
//!     serving_log
//!     capi  jni
//! ```
//!
//! # Cargo features
//!
//! None: each build has the whole library, with the C ABI and the JVM's calls. Processor features are found at run
//! time.
//!
//! # Limits
//!
//! There is one form of model: logistic regression over categories and crosses. Measurements are from Linux on x86-64.
//! Other little-endian Unix systems build; processors other than x86-64 and aarch64 use the plain paths. On aarch64,
//! the tests of look-ups, kernel and C ABI pass under an emulator, and files are equal to the byte (`.ci/aarch64`). The
//! library has never run on such hardware, and its speed there is unknown.

// Files that unit tests share with integration tests name this crate.
#[cfg(test)]
extern crate self as omomi;

#[doc(hidden)]
pub mod bounded_json;
pub mod capi;
pub mod contract;
#[doc(hidden)]
pub mod digest;
pub mod error;
pub mod experiment;
pub mod feature;
#[doc(hidden)]
pub mod hex;
mod instructions;
mod jni;
pub mod live;
pub mod log;
pub mod math;
mod memory;
#[doc(hidden)]
pub mod new_file;
#[doc(hidden)]
pub mod prefetch;
#[doc(hidden)]
pub mod printable;
pub mod request;
mod rounding;
pub mod score;
pub mod serving_log;
#[doc(hidden)]
pub mod short_text;
pub mod store;
#[cfg(test)]
mod test_weight_file;
pub mod weight_file;
#[cfg(test)]
mod work_counter;

pub use error::{Code, Error, Owner, RowPlace, RowProblem};
pub use instructions::Instructions;
pub use request::{CandidateStatus, Candidates, Capacity, FieldSlot, RequestLayout, Schema, SchemaField, SchemaKind};
pub use score::{Answer, CandidateSet, Explanation, Model, Request, RequestCounts, Scorer};
pub use weight_file::map::LoadMode;
