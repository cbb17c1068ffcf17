//! Buckets, with servers that speak S3, over HTTP, as people use them.

mod faults;
mod logs;
mod proxy;
#[path = "../python/mod.rs"]
mod python;
mod server;
mod stores;
