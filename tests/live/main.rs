//! A server's life beside a store in which anything may happen.

mod exposition;
mod file_operations;
mod following;
mod metrics;
#[path = "../scoring/small_model.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod small_model;
mod world;
