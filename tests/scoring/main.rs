//! Scoring through the public API, with small models that the tests create.

mod binding;
mod careless_calls;
mod kernel_equals_plain;
mod prepared;
mod several_models;
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod small_model;
mod texts;
mod time_limit;
