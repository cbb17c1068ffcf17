//! Scoring through the public API, on small models made on the spot.

mod binding;
mod careless_calls;
mod kernel_equals_plain;
mod small_model;
