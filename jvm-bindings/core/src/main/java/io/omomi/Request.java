package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.util.concurrent.atomic.AtomicIntegerFieldUpdater;
import java.util.concurrent.locks.LockSupport;

/**
 * The request block of one scorer: the context, the candidates and their texts. It is filled in place and reused from
 * request to request. Nothing here allocates.
 *
 * <p>Like its scorer, it belongs to one thread at a time. The Java object owns the memory, so that a careless call,
 * even one after close, throws an exception and never reaches freed memory.
 */
public final class Request {
    private static final AtomicIntegerFieldUpdater<Request> STATE =
            AtomicIntegerFieldUpdater.newUpdater(Request.class, "state");
    private static final int IDLE = 0;
    private static final int BUSY = 1;
    private static final int CLOSED = 2;
    private static final long CLOSE_POLL_NANOS = 20_000;

    final ByteBuffer block;
    /** The block's memory as words. */
    final LongBuffer words;
    final Tail tail;
    final RequestLayout layout;
    final Schema schema;

    private final Row context;
    private final Row candidate;
    /** The kind of the owner, for the message of a call after close. */
    private final String owner;
    private volatile int state = IDLE;
    /**
     * The state as seen by the last calling thread, which the setters check. They need a check, but cannot afford a
     * volatile read each. A thread that shares a request by mistake fails the other check with its next candidate.
     */
    private int stateForSetters = IDLE;
    /** Number of candidates that are rows; then the number of candidates that are named. One of the two is 0. */
    private final int rowCount;
    private final int nameCount;
    /** Start of the first candidate's row; then the length of a row. Both in words. */
    private final int firstCandidateWord;
    private final int candidateWords;
    /**
     * Number of candidate rows that are part of this request. Later rows still have the contents of an earlier request.
     */
    private int begunCount;

    Request(RequestLayout layout, String owner) {
        NativeLibrary.load();
        this.layout = layout;
        this.owner = owner;
        this.schema = layout.schema();
        this.rowCount = layout.isPrepared() ? 0 : layout.candidates();
        this.nameCount = layout.isPrepared() ? layout.candidates() : 0;
        ByteBuffer memory = ByteBuffer.allocateDirect(layout.len + Block.ALIGNMENT);
        int lead = (int) (-Native.address(memory) & (Block.ALIGNMENT - 1));
        memory.position(lead).limit(lead + layout.len);
        this.block = memory.slice().order(ByteOrder.LITTLE_ENDIAN);
        this.block.putInt(Block.LAYOUT_VERSION_OFFSET, Block.LAYOUT_VERSION);
        this.words = this.block.asLongBuffer();
        this.tail = new Tail(this.block, this.words, layout);
        this.firstCandidateWord = layout.candidatesOffset / Block.SLOT_LEN;
        this.candidateWords = layout.candidateStride / Block.SLOT_LEN;
        this.context = new Row(this, Side.CONTEXT, layout.contextOffset / Block.SLOT_LEN);
        this.candidate = new Row(this, Side.CANDIDATE, firstCandidateWord);
    }

    /**
     * Clears the request: the context and all candidates have no fields set, and the tail is empty. Call it before each
     * request.
     *
     * @throws OmomiException with {@link Code#CLOSED} or {@link Code#SCORER_BUSY}
     */
    public void clear() {
        checkIdle();
        context.clear();
        candidate.clear();
        begunCount = 0;
        tail.clear();
    }

    /**
     * Returns the row of the context.
     *
     * @throws OmomiException with {@link Code#CLOSED} or {@link Code#SCORER_BUSY}
     */
    public Row context() {
        checkIdle();
        return context;
    }

    /**
     * Returns the row of candidate {@code index}, counted from 0. All calls return the same object, moved to that row:
     * fill one candidate after another.
     *
     * @throws OmomiException with {@link Code#TOO_MANY_CANDIDATES} if the layout has no such row, {@link
     *     Code#INVALID_ARGUMENT} if its candidates are prepared and so have no rows, {@link Code#CLOSED} or {@link
     *     Code#SCORER_BUSY}
     */
    public Row candidate(int index) {
        checkIdle();
        if (index < 0 || index >= rowCount) {
            throw noSuchCandidate(index, false);
        }
        if (index < begunCount) {
            return candidate.resume(firstWord(index));
        }
        beginUpTo(index);
        begunCount = index + 1;
        return candidate.begin(firstWord(index));
    }

    /**
     * Makes prepared candidate {@code indexInSet} of the scorer's {@link CandidateSet} the candidate {@code index} of
     * the request. The set is read when the request is scored: if it has no such candidate, the status is {@link
     * CandidateStatus#NO_CANDIDATE}. {@link #clear} keeps these indices; set those of all candidates that are to be
     * scored.
     *
     * @throws OmomiException with {@link Code#TOO_MANY_CANDIDATES} if the layout has no such candidate, {@link
     *     Code#INVALID_ARGUMENT} if its candidates are rows, {@link Code#CLOSED} or {@link Code#SCORER_BUSY}
     */
    public void setCandidate(int index, int indexInSet) {
        checkIdle();
        if (index < 0 || index >= nameCount) {
            throw noSuchCandidate(index, true);
        }
        block.putInt(layout.candidatesOffset + index * Block.INDEX_LEN, indexInSet);
    }

    /**
     * Makes the first {@code count} of {@code indicesInSet} the candidates 0, 1, 2 and so on. Does the same as {@link
     * #setCandidate(int, int)} one by one, in a fraction of the time.
     *
     * @throws OmomiException like {@link #setCandidate(int, int)}, and with {@link Code#INVALID_ARGUMENT} for a count
     *     outside the array; then no candidate has changed
     */
    public void setCandidates(int[] indicesInSet, int count) {
        checkIdle();
        if (indicesInSet == null) {
            throw OmomiException.nullArgument("indicesInSet");
        }
        if (count < 0 || count > indicesInSet.length) {
            throw OmomiException.invalidArgument(
                    "count", "expected 0 to " + indicesInSet.length + " (length of indicesInSet), found " + count);
        }
        if (count > nameCount) {
            throw noSuchCandidate(count - 1, true);
        }
        ByteBuffer block = this.block;
        int offset = layout.candidatesOffset;
        for (int i = 0; i < count; i++) {
            block.putInt(offset + i * Block.INDEX_LEN, indicesInSet[i]);
        }
    }

    /** Returns the number of bytes of the tail that are in use. Use it to learn how large a tail real requests need. */
    public int tailUsedBytes() {
        checkIdle();
        return tail.used();
    }

    private OmomiException noSuchCandidate(int index, boolean byName) {
        if (byName != layout.isPrepared()) {
            return OmomiException.invalidArgument(
                    "layout",
                    byName
                            ? "its candidates are rows in the request, which have no index in a set"
                            : "its candidates are prepared: they are named by index and have no rows");
        }
        if (index < 0) {
            return OmomiException.invalidArgument("index", "expected 0 or more, found " + index);
        }
        return new OmomiException(
                Code.TOO_MANY_CANDIDATES,
                "too many candidates: the request's layout is for " + layout.candidates() + ", candidate " + index
                        + " was asked for");
    }

    /** Begins the rows below {@code count} that were skipped. They have no fields set. */
    private void beginUpTo(int count) {
        while (begunCount < count) {
            candidate.begin(firstWord(begunCount++));
        }
    }

    private int firstWord(int index) {
        return firstCandidateWord + index * candidateWords;
    }

    /** Writes pending changes to the block, for a native call that reads {@code candidateCount} rows. */
    void seal(int candidateCount) {
        context.seal();
        // If candidates are named by index, the indices are where rows would be: no row may be written there.
        if (rowCount > 0) {
            beginUpTo(Math.min(candidateCount, rowCount));
            candidate.seal();
        }
        tail.flush();
        block.putInt(Block.TAIL_USED_OFFSET, tail.used());
    }

    void checkIdle() {
        int now = state;
        if (now != IDLE) {
            throw notIdle(now);
        }
    }

    /** The check of {@link #checkIdle}, for setters. */
    void checkMayBeSet() {
        int now = stateForSetters;
        if (now != IDLE) {
            throw notIdle(now);
        }
    }

    /** Claims the block for one native call. */
    void enter() {
        if (!STATE.compareAndSet(this, IDLE, BUSY)) {
            throw notIdle(state);
        }
        stateForSetters = BUSY;
    }

    void leave() {
        stateForSetters = IDLE;
        // Earlier writes are visible to each thread that sees this one; nothing waits for that.
        STATE.lazySet(this, IDLE);
    }

    boolean isClosed() {
        return state == CLOSED;
    }

    /** Describes the layout, for people. May be called at any time, by any thread. */
    @Override
    public String toString() {
        return "Request(" + layout + (isClosed() ? ", closed)" : ")");
    }

    /** Closes permanently, after a native call in progress. Returns whether this call closed it. */
    boolean close() {
        while (!STATE.compareAndSet(this, IDLE, CLOSED)) {
            if (state == CLOSED) {
                return false;
            }
            LockSupport.parkNanos(CLOSE_POLL_NANOS);
        }
        stateForSetters = CLOSED;
        return true;
    }

    private OmomiException notIdle(int state) {
        if (state == CLOSED) {
            return OmomiException.closed(owner);
        }
        return new OmomiException(
                Code.SCORER_BUSY, "the scorer is in use by another thread: make one scorer per thread");
    }
}
