//! Training in shards: the same bytes whatever the processes do, and a clear error if one of them fails.

mod failures;
mod fixture;
mod noticed;
mod parent;
mod reruns;
mod results;
mod same_bytes;
