package io.omomi;

import java.nio.ByteBuffer;
import java.util.function.Consumer;

/**
 * Candidates that requests name by index. Creatives live for hours, so their rows are passed once, and each model's
 * share of the work on them is done in advance. The answers are the same, bit for bit, as those for the same rows in a
 * request.
 *
 * <p>Any thread may add, replace and remove candidates at any time, while others score. A request scores each candidate
 * as it was before a change or after it, never as a mixture, and no {@code predict} waits. Changes wait for each other;
 * make them off the request path.
 *
 * <pre>{@code
 * CandidateSet set = CandidateSet.open(schema, 10_000, 8);
 * int index = set.add(row -> row.setId(creativeId, 42));
 *
 * Scorer scorer = Scorer.open(model, RequestLayout.prepared(schema, 500, 4096), set);
 * scorer.request().setCandidate(0, index);
 * scorer.predict(1);
 * }</pre>
 *
 * <p>Scorers hold their own reference, and continue with the last candidates of a closed set.
 */
public final class CandidateSet implements AutoCloseable {
    /** Length of the tail for the texts and lists of one row, in bytes. */
    private static final int ROW_TAIL_LEN_BYTES = 1 << 20;

    /** Carries rows into the set. */
    private final Request carrier;
    private final Handle handle;
    private final int capacity;
    private boolean isFilling;

    private CandidateSet(Request carrier, long address, int capacity) {
        this.carrier = carrier;
        this.handle = new Handle(this, address, Native::closeCandidateSet);
        this.capacity = capacity;
    }

    /**
     * Creates an empty set for up to {@code capacity} candidates with the candidate fields of {@code schema}. A {@code
     * many} field of a row may have up to {@code valuesPerField} values; memory for that many is reserved.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} unless there are 1 to 1,048,576 candidates and 0 to
     *     1,024 values
     */
    public static CandidateSet open(Schema schema, int capacity, int valuesPerField) {
        RequestLayout layout = RequestLayout.of(schema, 1, ROW_TAIL_LEN_BYTES);
        Request carrier = Request.carrier(layout);
        long address = Native.openCandidateSet(layout.encoded(), capacity, valuesPerField, carrier.block);
        return new CandidateSet(carrier, address, capacity);
    }

    /**
     * Adds a candidate whose row {@code fill} sets, and returns its index, which is the lowest free one. {@code fill}
     * is called once, before this method returns, with an empty row that it must not keep: its setters throw {@link
     * Code#INVALID_ARGUMENT} afterwards, and on other threads.
     *
     * @throws OmomiException with {@link Code#TOO_MANY_CANDIDATES} if the set is full, {@link Code#INVALID_ARGUMENT}
     *     with the field's name if the row cannot be read or has too many values, or {@link Code#CLOSED}. After an
     *     exception, also one of {@code fill}, the set is unchanged.
     */
    public synchronized int add(Consumer<? super Row> fill) {
        fill(fill);
        return Native.addCandidate(handle.address());
    }

    /**
     * Puts a candidate whose row {@code fill} sets at {@code index}, replacing the candidate there, if any.
     *
     * @throws OmomiException like {@link #add}, and with {@link Code#INVALID_ARGUMENT} if the index is not below the
     *     capacity
     */
    public synchronized void put(int index, Consumer<? super Row> fill) {
        fill(fill);
        Native.putCandidate(handle.address(), index);
    }

    /**
     * Removes the candidate at {@code index}, and returns whether there was one. Later requests that name it get {@link
     * CandidateStatus#NO_CANDIDATE}.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if the index is not below the capacity, or {@link
     *     Code#CLOSED}
     */
    public synchronized boolean remove(int index) {
        carrier.checkOpen();
        return Native.removeCandidate(handle.address(), index) != 0;
    }

    /** Returns the number of candidates in the set. */
    public synchronized int count() {
        carrier.checkOpen();
        return Math.toIntExact(Native.candidateCount(handle.address()));
    }

    /** Returns the maximum number of candidates. All indices are below it. */
    public int capacity() {
        carrier.checkOpen();
        return capacity;
    }

    /** Releases this reference to the candidates, after a change in progress. May be called twice. */
    @Override
    public synchronized void close() {
        carrier.close();
        handle.close();
    }

    /** Describes the capacity, for people. May be called at any time. */
    @Override
    public String toString() {
        return "CandidateSet(at most " + capacity + " candidates" + (carrier.isClosed() ? ", closed)" : ")");
    }

    /** Opens a native scorer with its own reference. Holds the lock of {@link #close}, which frees what this reads. */
    synchronized long openScorer(long[] models, RequestLayout layout, Request request) {
        carrier.checkOpen();
        return Native.openScorer(models, layout.encoded(), handle.address(), request.block);
    }

    /**
     * Opens a native live scorer with its own reference. Holds the lock of {@link #close}, which frees what this reads.
     */
    synchronized long openLiveScorer(LiveModel live, RequestLayout layout, Request request) {
        carrier.checkOpen();
        return live.openScorer(layout, handle.address(), request);
    }

    /**
     * Opens a native experiment scorer with its own reference. Holds the lock of {@link #close}, which frees what this
     * reads.
     */
    synchronized long openExperimentScorer(
            LiveExperiment experiment, RequestLayout layout, Request request, ByteBuffer memory) {
        carrier.checkOpen();
        return experiment.openScorer(layout, handle.address(), request, memory);
    }

    private void fill(Consumer<? super Row> fill) {
        if (fill == null) {
            throw OmomiException.nullArgument("fill");
        }
        if (isFilling) {
            throw OmomiException.invalidArgument("fill", "it changes the set while it fills a row of that set");
        }
        carrier.clear();
        isFilling = true;
        try {
            fill.accept(carrier.candidate(0));
        } finally {
            isFilling = false;
            // The lock of this object keeps other threads out, so the next call may come from any of them.
            carrier.handOver();
        }
        // The filler may have closed the set.
        carrier.checkOpen();
        carrier.seal();
    }
}
