//! Live serving from a store in which anything may happen.

mod again;
#[cfg(target_os = "linux")]
mod chaos;
mod deaths;
mod exposition;
#[cfg(unix)]
mod fallback;
mod file_operations;
mod following;
#[cfg(unix)]
mod fork;
mod hostile;
#[cfg(target_os = "linux")]
mod locked_memory;
mod metrics;
#[path = "../damage/sealing.rs"]
#[allow(dead_code, reason = "shared with the damage tests, which use more of it")]
mod sealing;
mod signatures;
#[path = "../scoring/small_model.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod small_model;
mod watcher;
mod world;
