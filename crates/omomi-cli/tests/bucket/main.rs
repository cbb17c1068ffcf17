//! Buckets, with servers that speak S3, over HTTP, as people use them.

mod faults;
mod logs;
mod proxy;
mod server;
mod stores;
