//! The interpreter of job flows, against a corpus of small flows and against two other interpreters.

mod corpus;
mod others;
mod random;
mod simulated;
