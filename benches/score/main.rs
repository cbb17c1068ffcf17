//! Scores requests of 500 candidates with 10 + 10 fields with a model of a million weights, and compares that with what
//! a server would do without this library: `taskset -c 1 cargo bench --bench score [-- FILTER]`.
//!
//! All contestants start from the categories that a server has and end with a probability for each candidate, unless
//! their name says otherwise. Before anything is timed, all of them must give the same answers.

mod answers;
mod calls;
mod encodings;
mod inline;
mod models;
mod prepared;
mod rivals;
#[path = "../support/mod.rs"]
mod support;

use support::contest::Bench;
use support::requests::Shape;

fn main() {
    let mut bench = Bench::from_args("score");
    let full = Shape::full(bench.is_smoke());
    inline::run(&mut bench, "ids", Shape { texts: false, ..full }, 60.0);
    inline::run(&mut bench, "texts", Shape { texts: true, ..full }, 160.0);
    prepared::run(&mut bench, full);
    prepared::run_with_crosses(&mut bench, Shape { cross_count: 4, ..full });
    models::run(&mut bench, full);
    encodings::run(&mut bench, full);
    bench.finish();
}
