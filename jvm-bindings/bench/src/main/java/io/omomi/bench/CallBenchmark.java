package io.omomi.bench;

import io.omomi.NativeCall;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** Measures the cost of the call itself. */
@State(Scope.Thread)
public class CallBenchmark {
    private Omomi opened;

    @Setup
    public void open() {
        NativeCall.load();
        opened = Contestants.openOmomi(Contestants.OMOMI, new Traffic(Kind.ID));
    }

    @TearDown
    public void close() {
        opened.close();
    }

    /** An empty native call. */
    @Benchmark
    public int emptyNativeCall() {
        return NativeCall.empty();
    }

    /** A predict of a context without candidates: the call, its checks, and ten look-ups. */
    @Benchmark
    public void predictNoCandidate() {
        opened.predict(0);
    }
}
