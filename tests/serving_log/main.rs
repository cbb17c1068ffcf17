//! The serving log: what is recorded is read back, or counted as lost, whatever happens to the process, the disk and
//! the bytes.

#[path = "../live/again.rs"]
mod again;
mod damage;
#[path = "../live/exposition.rs"]
#[allow(dead_code, reason = "shared with the tests of live models, which use more of it")]
mod exposition;
#[cfg(unix)]
mod forked;
#[cfg(unix)]
mod killed;
mod live;
mod losses;
mod recorded;
mod reference;
#[path = "../scoring/small_model.rs"]
#[allow(dead_code, reason = "shared with the scoring tests, which use more of it")]
mod small_model;
#[path = "../live/world.rs"]
#[allow(dead_code, reason = "shared with the tests of live models, which use more of it")]
mod store_world;
#[cfg(target_os = "linux")]
mod system_calls;
mod vectors;
mod world;
