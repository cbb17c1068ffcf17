//! Click-through-rate scoring without a weight on the JVM heap.
