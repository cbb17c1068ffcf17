//! **omomi** (重み, "weight") scores ads with a click-through-rate model from any language that can call C or the JVM,
//! with every weight outside the caller's heap. Its companion, the crate `omomi-train`, trains those models.
//!
//! ```text
//!     ad logs --omomi-train--> weight file 000042.omomi (sealed: lengths, checksums, golden requests)
//!                                  | weight_file::map, verified to the last byte
//!                                  v
//!     request --------------> score ------> probabilities    from Rust, C (capi, include/omomi.h) and the JVM
//!  (context + candidates)                                    (jni, jvm-bindings/)
//! ```
//!
//! Training and scoring meet in two modules only: [`feature`] says how a field and a category become a key, and
//! [`weight_file::layout`] where a weight is stored. The [`contract`] is the agreement between the two sides, as data.
//!
//! # A program for each reader
//!
//! **Who serves** opens a file, binds it to the fields that the server supplies, and keeps a scorer and a request for
//! each thread:
//!
//! ```no_run
//! use omomi::contract::Side;
//! use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema, SchemaField, Scorer};
//!
//! // Once, when the server starts: what it can supply. Good for every later model.
//! let schema = Schema::new(vec![
//!     SchemaField::id("media_id", Side::Context),
//!     SchemaField::id("creative_id", Side::Candidate),
//! ])?;
//! let layout = RequestLayout::new(&schema, Capacity { candidates: 500, tail_len_bytes: 4_096 })?;
//! let (media_id, creative_id) = (schema.slot("media_id").unwrap(), schema.slot("creative_id").unwrap());
//!
//! // For each generation: every byte verified, golden requests recomputed.
//! let model = Model::load("feed-ctr/000042.omomi".as_ref(), LoadMode::Map)?;
//! let scorer = Scorer::new(model, &layout)?;
//!
//! // For each request: nothing is allocated, nothing waits.
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
//! **Who trains** runs `omomi train` and `omomi pack`, or calls the crate `omomi-train`. **Who writes a reader** in
//! another language starts from [`weight_file`], the specification, and `tests/reference`, which is such a reader.
//!
//! # The modules, in the order of the picture
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`contract`], [`feature`], [`math`], [`error`] | fields and their meaning; keys; the sigmoid; every error of serving |
//! | [`request`] | what a server declares, and the request block that follows; rows outside a block |
//! | [`weight_file`] | the format, the table, opening and verifying, mapping, signatures |
//! | [`score`] | a model bound to a declaration: the kernel, its plain twin, prepared candidates, explanations |
//! | [`store`] | the directory through which weight files reach the servers |
//! | [`live`] | a model that follows a store while requests go on; what it says of itself |
//! | [`capi`] | the same for C, with statuses for errors and panics |
//!
//! # Layers
//!
//! A module uses only modules that are named before it. A test reads this list and fails on an upward dependency.
//!
//! ```text
//! layers, from low to high
//!     math  hex  short_text  prefetch  instructions  new_file  feature  contract  digest  error
//!     request
//!     weight_file
//!     score
//!     store
//!     live
//!     capi  jni
//! ```
//!
//! # Limits
//!
//! One model form: logistic regression over categories and crosses. Linux on x86-64 is where this is measured;
//! other little-endian Unix systems build; processors other than x86-64 and aarch64 use the plain paths.
//! On aarch64 the tests of look-ups, kernel and C ABI pass under an emulator, and files come out the same to the byte
//! (`.ci/aarch64`); it has never run on such a processor, and how fast it is there is unknown.

// Files that unit tests share with integration tests name this crate.
#[cfg(test)]
extern crate self as omomi;

pub mod capi;
pub mod contract;
#[doc(hidden)]
pub mod digest;
pub mod error;
pub mod feature;
#[doc(hidden)]
pub mod hex;
mod instructions;
mod jni;
pub mod live;
pub mod math;
#[doc(hidden)]
pub mod new_file;
#[doc(hidden)]
pub mod prefetch;
pub mod request;
pub mod score;
#[doc(hidden)]
pub mod short_text;
pub mod store;
#[cfg(test)]
mod test_file;
pub mod weight_file;
#[cfg(test)]
mod work;

pub use error::{Code, Error, Owner, RowProblem};
pub use instructions::Instructions;
pub use request::{CandidateStatus, Candidates, Capacity, FieldSlot, RequestLayout, Schema, SchemaField, SchemaKind};
pub use score::{Answer, CandidateSet, Explanation, Model, Request, RequestCounts, Scorer};
pub use weight_file::map::LoadMode;
