//! The C ABI: the header is fresh and clean, the library exports what it should and nothing else, and C and C++ clients get
//! the same bits as Rust and survive every misuse.

mod clients;
mod compiler;
mod exported_symbols;
mod fixture;
mod header;
mod library;
mod live;
#[path = "../scoring/small_model.rs"]
mod small_model;
#[path = "../live/world.rs"]
#[expect(dead_code, reason = "shared with the live tests, which use the rest")]
mod world;
