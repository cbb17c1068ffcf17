//! Brings weight files to servers and tries how servers cope: publishing to a store, rehearsed incidents, load tests.

pub mod drill;
pub mod load_test;
pub mod publish;
pub mod served;
