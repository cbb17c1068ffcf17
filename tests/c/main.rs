//! Tests of the C ABI. The header is up to date and compiles without warnings. The library exports exactly the right
//! names. C and C++ clients get the same bits as Rust, and survive every misuse.

mod clients;
mod compiler;
mod dialects;
mod experiment;
mod exported_symbols;
mod fixture;
mod header;
mod library;
mod live;
mod other_header;
mod python;
#[path = "../scoring/small_model.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod small_model;
#[path = "../live/world.rs"]
#[expect(dead_code, reason = "shared with the live tests, which use the rest")]
mod world;
