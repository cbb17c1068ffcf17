package io.omomi.bench;

import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** A whole request: from the server's own objects to probabilities that have been read. */
@State(Scope.Thread)
public class RequestBenchmark {
    @Param
    public Kind kind;

    @Param({"1", "10", "100", "500"})
    public int candidates;

    /** One of {@link Contestants}. */
    @Param("")
    public String contestant;

    private Contestant opened;
    private int next;

    @Setup
    public void open() {
        opened = Contestants.open(contestant, new Traffic(kind));
    }

    @TearDown
    public void close() {
        opened.close();
    }

    @Benchmark
    public float request(Allocated allocated) {
        next = (next + 1) % Traffic.REQUESTS;
        return opened.score(next, candidates);
    }
}
