//! Brings weight files to servers and tries how servers cope: publishing to a store, in a folder or in a bucket,
//! fetching it, rehearsed incidents, load tests, experiments.

pub mod bucket_store;
#[cfg(test)]
mod bucket_tests;
pub mod drill;
pub mod experiment;
pub mod fetch;
pub mod load_test;
pub mod publish;
pub mod served;
