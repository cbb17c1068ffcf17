//! Tests `omomi log` as a user runs it, over logs that the library wrote.

mod calibration;
mod cat;
mod check;
mod export;
mod join;
mod long;
mod replay;
mod round_trip;
mod shadows;
mod status;
mod world;
