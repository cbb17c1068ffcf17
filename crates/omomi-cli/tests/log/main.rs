//! Tests `omomi log` as a user runs it, over logs that the library wrote.

mod cat;
mod check;
mod world;
