//! Tests `omomi log` as a user runs it, over logs that the library wrote.

mod cat;
mod check;
mod export;
mod join;
mod replay;
mod round_trip;
mod world;
