//! The native methods of the JVM bindings. They check arguments, call the library and translate the result; there is no
//! logic here. The Java side is `jvm-bindings/core`, package `io.omomi`.
//!
//! Each request makes one call, `Java_io_omomi_AbstractScorer_predict0` in [`scorer`], and one for each record of a
//! serving log, in [`log_ring`]; one of an experiment makes another one to choose a candidate, in [`experiment`]. They
//! take numbers and use neither `JNIEnv` nor a Java object, so they cannot stall a garbage collection. All other calls
//! (open, close, query) are rare and go through the jni crate. A panic never crosses into the JVM: it becomes
//! `Error::Panic`.
//!
//! What the Java side promises: it passes a handle only while it is open, and a scorer or a log ring to one thread at a
//! time. `Model.java`, `AbstractScorer.java` and `LogRing.java` keep that promise with a lock and a state word,
//! `CandidateSet.java` with a lock, and `SharedHandle.java`, for what several threads use, by counting the calls in
//! progress. A request block belongs to its Java object, which the JVM keeps alive during a call on it or on its log
//! ring, so a careless setter never reaches freed memory. A close gives only the pages of the block back to the system:
//! its addresses stay those of the request.

#![allow(non_snake_case, reason = "the JVM finds a native method by the names of its class and of the method")]
#![allow(clippy::missing_safety_doc, reason = "the module states Java's promises; no Rust code calls these functions")]

mod answered;
mod arguments;
mod arm_scoring;
mod boundary;
mod candidate_set;
mod experiment;
mod experiment_status;
mod feature;
#[cfg(test)]
mod java_constants;
mod layout;
mod live;
mod live_answers;
mod log_ring;
mod model;
mod scorer;
mod served;
mod serving_log;
