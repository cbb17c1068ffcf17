//! Training in shards: the same bytes whatever the processes do, and a clear word where one of them cannot go on.

mod failures;
mod fixture;
mod parent;
mod reruns;
mod results;
mod same_bytes;
