package io.omomi.bench;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.function.IntFunction;

/**
 * The loop around one contestant. The class is loaded again for each contestant, so that what the compiler learned from
 * one does not affect another. Callers use it through an interface of the JDK.
 */
public final class Turn implements IntFunction<long[]> {
    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private final Contestant contestant;
    private final int candidates;
    private int next;
    private float read;

    /** Opens one of {@link Contestants}. */
    public Turn(String contestant, String kind, int candidates) {
        this.contestant = Contestants.open(contestant, new Traffic(Kind.valueOf(kind)));
        this.candidates = candidates;
    }

    /** Scores that many requests. Returns the nanoseconds that this thread spent, and the bytes that it allocated. */
    @Override
    public long[] apply(int requests) {
        long started = threads.getCurrentThreadCpuTime();
        long before = threads.getCurrentThreadAllocatedBytes();
        score(requests);
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        return new long[] {threads.getCurrentThreadCpuTime() - started, allocated};
    }

    private void score(int requests) {
        for (int i = 0; i < requests; i++) {
            next = (next + 1) % Traffic.REQUESTS;
            read += contestant.score(next, candidates);
        }
    }
}
