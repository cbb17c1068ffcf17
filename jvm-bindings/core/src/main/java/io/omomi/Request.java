package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.util.concurrent.atomic.AtomicIntegerFieldUpdater;
import java.util.concurrent.locks.LockSupport;

/**
 * The request block of one scorer: the context, the candidates and their texts, written in place and kept from request to
 * request. Nothing here allocates.
 *
 * <p>Like its scorer it belongs to one thread at a time. The memory belongs to the Java object, so that a careless call,
 * also one after close, meets an exception and never freed memory.
 */
public final class Request {
    private static final AtomicIntegerFieldUpdater<Request> STATE =
            AtomicIntegerFieldUpdater.newUpdater(Request.class, "state");
    private static final int IDLE = 0;
    private static final int BUSY = 1;
    private static final int CLOSED = 2;
    private static final long CLOSE_POLL_NANOS = 20_000;

    final ByteBuffer block;
    /** The same memory by words. */
    final LongBuffer words;
    final Tail tail;
    final RequestLayout layout;
    final Schema schema;

    private final Row context;
    private final Row candidate;
    /** What the request belongs to, for the message of a call after close. */
    private final String owner;
    private volatile int state = IDLE;
    /**
     * The state as the thread knows it that made the last call: what the setters look at. They cannot do without the check, nor
     * with a volatile read each; a thread that shares a request unlawfully meets the other check with its next candidate.
     */
    private int stateForSetters = IDLE;
    /** Candidates that are rows, or that are named: one of the two is 0. */
    private final int rowCount;
    private final int nameCount;
    /** Where the first candidate's row begins, and how long a row is, in words. */
    private final int firstCandidateWord;
    private final int candidateWords;
    /** Candidate rows that are part of this request. Those behind them still have what an earlier request left there. */
    private int begunCount;

    Request(RequestLayout layout, String owner) {
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
     * Forgets every value: the context and all candidates have no fields set, the tail is empty. Call it before each
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
     * The row of the context.
     *
     * @throws OmomiException with {@link Code#CLOSED} or {@link Code#SCORER_BUSY}
     */
    public Row context() {
        checkIdle();
        return context;
    }

    /**
     * The row of candidate {@code index}, counted from 0. It is one object, moved: fill one candidate after another.
     *
     * @throws OmomiException with {@link Code#TOO_MANY_CANDIDATES} if the layout has no such row, {@link
     *     Code#INVALID_ARGUMENT} if its candidates are prepared and have no rows, {@link Code#CLOSED} or {@link
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
     * Names prepared candidate {@code indexInSet} of the scorer's {@link CandidateSet} as candidate {@code index}. What the
     * set has there is looked at when the request is scored: where it has nothing, the status is {@link
     * CandidateStatus#NO_CANDIDATE}. {@link #clear} leaves the names alone; name all the candidates that are to be scored.
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
     * Names the first {@code count} of {@code indicesInSet} as candidates 0, 1, 2 and so on: the same as {@link #setCandidate(int,
     * int)} one by one, for a fraction of the time.
     *
     * @throws OmomiException as {@link #setCandidate(int, int)} does, and with {@link Code#INVALID_ARGUMENT} for a count outside
     *     the array; no name has changed then
     */
    public void setCandidates(int[] indicesInSet, int count) {
        checkIdle();
        if (indicesInSet == null) {
            throw OmomiException.nullArgument("indicesInSet");
        }
        if (count < 0 || count > indicesInSet.length) {
            throw OmomiException.invalidArgument(
                    "count", "expected 0 to the " + indicesInSet.length + " indicesInSet, found " + count);
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

    /** Bytes of the tail in use: to learn how large a tail real requests need. */
    public int tailUsedBytes() {
        checkIdle();
        return tail.used();
    }

    private OmomiException noSuchCandidate(int index, boolean byName) {
        if (byName != layout.isPrepared()) {
            return OmomiException.invalidArgument(
                    "layout",
                    byName
                            ? "its candidates are rows in the request, which are not named"
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

    /** Begins the rows below {@code count} that were skipped: nothing is set in them. */
    private void beginUpTo(int count) {
        while (begunCount < count) {
            candidate.begin(firstWord(begunCount++));
        }
    }

    private int firstWord(int index) {
        return firstCandidateWord + index * candidateWords;
    }

    /** Brings the block up to date with what was set, for a native call that looks at {@code candidateCount} rows. */
    void seal(int candidateCount) {
        context.seal();
        // Where candidates are named, names stand where rows would: no row may be written there.
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

    /** {@link #checkIdle} for setters. */
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
        // What was written before is seen by whoever sees this; nobody waits for it to be seen.
        STATE.lazySet(this, IDLE);
    }

    /** Closes for ever, after a native call that is under way has ended. Returns whether it was this call that closed. */
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
