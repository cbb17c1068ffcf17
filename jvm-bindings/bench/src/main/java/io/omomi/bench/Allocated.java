package io.omomi.bench;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * Counts the bytes that the benchmark's thread allocates between the beginning and the end of an iteration. JMH's own
 * profiler also counts what JMH allocates between iterations.
 */
@State(Scope.Thread)
@AuxCounters(AuxCounters.Type.EVENTS)
public class Allocated {
    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private final long thread = Thread.currentThread().getId();
    private long before;

    /** Total of all iterations, in bytes. */
    public long bytes;

    @Setup(Level.Iteration)
    public void begin() {
        before = threads.getThreadAllocatedBytes(thread);
    }

    @TearDown(Level.Iteration)
    public void end() {
        bytes = threads.getThreadAllocatedBytes(thread) - before;
    }
}
