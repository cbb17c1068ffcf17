//! Experiments: the arm that the file says answers, whatever happens to the file, the stores and the scorers; and the
//! log says what the answers say.

mod following;
mod guard;
mod load;
mod shadows;
#[path = "../scoring/small_model.rs"]
#[allow(dead_code, reason = "shared with the scoring tests, which use more of it")]
mod small_model;
#[path = "../live/world.rs"]
#[allow(dead_code, reason = "shared with the tests of live models, which use more of it")]
mod store_world;
mod vectors;
mod world;
