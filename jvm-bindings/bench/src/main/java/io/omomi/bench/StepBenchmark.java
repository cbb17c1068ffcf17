package io.omomi.bench;

import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * Measures the steps of a request: filling, the native call, reading. The clock is read between the steps, so each step
 * runs with the caches as the others leave them. Reading the clock costs about 100 ns per request.
 */
@State(Scope.Thread)
public class StepBenchmark {
    @Param
    public Kind kind;

    @Param({"1", "10", "100", "500"})
    public int candidates;

    /** One of this library's {@link Contestants}. */
    @Param("")
    public String contestant;

    private Omomi opened;
    private int next;

    /** Nanoseconds spent in each step. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.EVENTS)
    public static class Steps {
        public long fill;
        public long predict;
        public long read;
    }

    @Setup
    public void open() {
        opened = Contestants.openOmomi(contestant, new Traffic(kind));
    }

    @TearDown
    public void close() {
        opened.close();
    }

    @Benchmark
    public float steps(Steps steps) {
        next = (next + 1) % Traffic.REQUESTS;
        long started = System.nanoTime();
        opened.fill(next, candidates);
        long filled = System.nanoTime();
        opened.predict(candidates);
        long predicted = System.nanoTime();
        float sum = opened.read(candidates);
        long read = System.nanoTime();
        steps.fill += filled - started;
        steps.predict += predicted - filled;
        steps.read += read - predicted;
        return sum;
    }
}
