//! The environment of the daily training: the folder of a project, its stack on AWS, the commands of its stages, and
//! the check of a file through the libraries that servers use.

mod preflight;
mod project;
#[path = "../python/mod.rs"]
mod python;
#[path = "../bucket/server.rs"]
#[expect(dead_code, reason = "the tests of buckets need more of it")]
mod server;
mod shipped_flow;
mod stack;
mod stages;
mod tools;
