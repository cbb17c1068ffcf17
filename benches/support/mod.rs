//! Shared code of the benches.
//!
//! ```ignore
//! mod support;
//!
//! let mut bench = Bench::from_args("lookup");         // use smaller inputs if bench.is_smoke()
//! assert_eq!(ours(), theirs());                       // check the answers before timing
//! let mut contest = Contest::new("zipf", "key", keys_per_call);
//! contest.enter("memory floor", || black_box(floor()));
//! contest.enter("omomi", || black_box(ours()));
//! contest.target(Target::AtMostTimes("omomi", 1.5, "memory floor"));
//! bench.run(contest);
//! bench.finish();                                     // writes target/ratios/lookup.md
//! ```
#![allow(dead_code, reason = "each bench uses only a part")]

pub mod c_client;
pub mod contest;
pub mod core_time;
pub mod look_ups;
pub mod peers;
pub mod ratios;
pub mod requests;
