//! Adopts what exists: weights that were trained elsewhere, and the simple logic that a server answers with today. And
//! the emergency repair of a file that is served.
//!
//! * [`import`] makes a training state of weights in a table, in the text of a `HashMap`, or of Vowpal Wabbit.
//! * [`baseline`] makes a state of the smoothed click rates by one or two fields.
//! * [`amend`] changes single weights of a weight file, without its state.

pub mod amend;
pub mod baseline;
pub mod import;
