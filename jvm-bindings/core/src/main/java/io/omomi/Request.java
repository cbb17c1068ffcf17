package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.util.concurrent.atomic.AtomicIntegerFieldUpdater;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import java.util.concurrent.locks.LockSupport;

/**
 * The request block of one scorer: the context, the candidates and their texts. It is filled in place and reused from
 * request to request. Nothing here allocates.
 *
 * <p>It knows which candidates it was given since it was cleared; only these are scored. Like its scorer, it belongs to
 * the first thread that uses it, until {@link AbstractScorer#handOver}. The Java object owns the memory, so that a
 * careless call, even one after close, throws an exception and never reaches freed memory.
 */
public final class Request {
    private static final AtomicIntegerFieldUpdater<Request> STATE =
            AtomicIntegerFieldUpdater.newUpdater(Request.class, "state");
    private static final AtomicReferenceFieldUpdater<Request, Thread> OWNER =
            AtomicReferenceFieldUpdater.newUpdater(Request.class, Thread.class, "owner");
    /** The owner of a closed request: a thread that never runs. */
    private static final Thread NOBODY = new Thread(() -> {}, "omomi-nobody");
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
    /** What the request is a part of, for the message of a call after close. */
    private final String kind;
    /** Whether it carries rows into a candidate set. Then no setter makes its thread the owner. */
    private final boolean isCarrier;
    /**
     * The thread that may fill, predict and read. The requests of two threads would be mixed in one block, and the
     * answers would look right.
     */
    private volatile Thread owner;
    private volatile int state = IDLE;
    /**
     * The owner as each call checks it, which cannot afford a volatile read. Only a call of a thread itself makes it
     * the owner, and only its own call, its end or a close ends that. So a thread that finds itself here is the owner,
     * or was until another thread closed the request: then the memory is still there, and nobody else uses it.
     */
    private Thread seenOwner;
    /** Number of candidates that are rows; then the number of candidates that are named. One of the two is 0. */
    private final int rowCount;
    private final int nameCount;
    /** Start of the first candidate's row; then the length of a row. Both in words. */
    private final int firstCandidateWord;
    private final int candidateWords;
    /** Number of candidates up to the last one that was filled or named since the request was cleared. */
    private int filledCount;
    /** Number of rows among them that were skipped. */
    private int gapCount;
    /** Number of candidates of the last successful predict. Only these have answers. */
    int answeredCount;
    /** Whether the last predict gave answers, maybe for no candidate at all. */
    boolean isAnswered;
    /** Whether a fallback file gave the answers. */
    boolean isFallback;

    Request(RequestLayout layout) {
        this(layout, "scorer", false);
    }

    private Request(RequestLayout layout, String kind, boolean isCarrier) {
        NativeLibrary.load();
        this.layout = layout;
        this.kind = kind;
        this.isCarrier = isCarrier;
        this.schema = layout.schema();
        this.rowCount = layout.isPrepared() ? 0 : layout.candidates();
        this.nameCount = layout.isPrepared() ? layout.candidates() : 0;
        ByteBuffer memory = allocate(layout.len + Block.ALIGNMENT);
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

    /** Creates a request that carries rows into a candidate set. */
    static Request carrier(RequestLayout layout) {
        return new Request(layout, "candidate set", true);
    }

    private static ByteBuffer allocate(int len) {
        try {
            return ByteBuffer.allocateDirect(len);
        } catch (OutOfMemoryError full) {
            throw new OmomiException(
                    Code.OUT_OF_MEMORY,
                    "no memory outside the heap for a request block of " + len + " bytes (" + full.getMessage()
                            + "): open fewer scorers, or raise -XX:MaxDirectMemorySize",
                    full);
        }
    }

    /**
     * Clears the request: the context has no fields set, no candidate is filled or named, the tail is empty, and there
     * are no answers. Call it before each request.
     *
     * @throws OmomiException with {@link Code#CLOSED} or {@link Code#SCORER_BUSY}
     */
    public void clear() {
        // Not checkOwner(): a request begins here, so here threads become owners. Compiled code learns that the other
        // calls never do, and takes their checks out of loops.
        if (seenOwner != Thread.currentThread()) {
            takeOver();
        }
        context.forget();
        candidate.forget();
        filledCount = 0;
        gapCount = 0;
        forgetAnswers();
        tail.clear();
    }

    void forgetAnswers() {
        answeredCount = 0;
        isAnswered = false;
        isFallback = false;
    }

    /** Returns the number of candidates up to the last one that was filled or named since the request was cleared. */
    public int filledCount() {
        checkOwner();
        return filledCount;
    }

    /**
     * Returns the row of the context.
     *
     * @throws OmomiException with {@link Code#CLOSED} or {@link Code#SCORER_BUSY}
     */
    public Row context() {
        checkNotOthers();
        return context;
    }

    /**
     * Returns the row of candidate {@code index}, counted from 0, with the fields that were set since the request was
     * cleared. The candidate counts as filled from now on, even if no field is set; those below it that were never
     * filled get {@link CandidateStatus#NOT_FILLED}. All calls return the same object, moved to that row: fill one
     * candidate after another.
     *
     * @throws OmomiException with {@link Code#TOO_MANY_CANDIDATES} if the layout has no such row, {@link
     *     Code#INVALID_ARGUMENT} if its candidates are prepared and so have no rows, {@link Code#CLOSED} or {@link
     *     Code#SCORER_BUSY}
     */
    public Row candidate(int index) {
        checkOwner();
        if (index < 0 || index >= rowCount) {
            throw noSuchCandidate(index, false);
        }
        if (index == filledCount) {
            filledCount = index + 1;
            return candidate.begin(firstWord(index));
        }
        return outOfOrder(index);
    }

    /** Moves to the row of a candidate that does not follow the last one. */
    private Row outOfOrder(int index) {
        int word = firstWord(index);
        candidate.seal();
        if (index < filledCount) {
            if (gapCount > 0 && words.get(word + Row.PRESENT_WORD) == 0 && words.get(word + Row.INLINE_TEXT_WORD) == -1) {
                gapCount--;
                return candidate.restart(word);
            }
            return candidate.resume(word);
        }
        for (int i = filledCount; i < index; i++) {
            words.put(firstWord(i) + Row.PRESENT_WORD, 0);
            words.put(firstWord(i) + Row.INLINE_TEXT_WORD, -1);
        }
        gapCount += index - filledCount;
        filledCount = index + 1;
        return candidate.restart(word);
    }

    /**
     * Makes prepared candidate {@code indexInSet} of the scorer's {@link CandidateSet} the candidate {@code index} of
     * the request. The set is read when the request is scored: if it has no such candidate, the status is {@link
     * CandidateStatus#NO_CANDIDATE}. Candidates below it that were not named since the request was cleared get {@link
     * CandidateStatus#NOT_FILLED}.
     *
     * @throws OmomiException with {@link Code#TOO_MANY_CANDIDATES} if the layout has no such candidate, {@link
     *     Code#INVALID_ARGUMENT} if its candidates are rows, {@link Code#CLOSED} or {@link Code#SCORER_BUSY}
     */
    public void setCandidate(int index, int indexInSet) {
        checkOwner();
        if (index < 0 || index >= nameCount) {
            throw noSuchCandidate(index, true);
        }
        if (index >= filledCount) {
            if (index > filledCount) {
                skipNames(index);
            }
            filledCount = index + 1;
        }
        block.putInt(layout.candidatesOffset + index * Block.INDEX_LEN, name(indexInSet));
    }

    private void skipNames(int index) {
        for (int i = filledCount; i < index; i++) {
            block.putInt(layout.candidatesOffset + i * Block.INDEX_LEN, -1);
        }
    }

    /** Whether the request was given the candidate since it was cleared. Needs a sealed request. */
    boolean isFilled(int index) {
        if (index >= filledCount) {
            return false;
        }
        if (layout.isPrepared()) {
            return block.getInt(layout.candidatesOffset + index * Block.INDEX_LEN) != -1;
        }
        int word = firstWord(index);
        boolean isGap = words.get(word + Row.PRESENT_WORD) == 0 && words.get(word + Row.INLINE_TEXT_WORD) == -1;
        return gapCount == 0 || !isGap;
    }

    /** -1 marks a gap. As an unsigned number, it is an index that no set has, and so is -2. */
    private static int name(int indexInSet) {
        return indexInSet == -1 ? -2 : indexInSet;
    }

    /**
     * Makes the first {@code count} of {@code indicesInSet} the candidates 0, 1, 2 and so on. Does the same as {@link
     * #setCandidate(int, int)} one by one, in a fraction of the time.
     *
     * @throws OmomiException like {@link #setCandidate(int, int)}, and with {@link Code#INVALID_ARGUMENT} for a count
     *     outside the array; then no candidate has changed
     */
    public void setCandidates(int[] indicesInSet, int count) {
        checkOwner();
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
            block.putInt(offset + i * Block.INDEX_LEN, name(indicesInSet[i]));
        }
        filledCount = Math.max(filledCount, count);
    }

    /** Returns the number of bytes of the tail that are in use. Use it to learn how large a tail real requests need. */
    public int tailUsedBytes() {
        checkOwner();
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

    private int firstWord(int index) {
        return firstCandidateWord + index * candidateWords;
    }

    /** Writes pending changes to the block, for a native call that reads it. */
    void seal() {
        context.seal();
        // If candidates are named by index, the indices are where rows would be: no row may be written there.
        if (rowCount > 0) {
            candidate.seal();
        }
        tail.flush();
        block.putInt(Block.TAIL_USED_OFFSET, tail.used());
        block.putInt(Block.FILLED_COUNT_OFFSET, filledCount);
        block.putInt(Block.GAP_COUNT_OFFSET, gapCount);
    }

    /** Rejects a call of another thread than the owner. If there is none, the calling thread becomes the owner. */
    void checkOwner() {
        if (seenOwner != Thread.currentThread()) {
            takeOver();
        }
    }

    /** Rejects a call of another thread than the owner, and makes no thread the owner. */
    void checkNotOthers() {
        Thread now = owner;
        if (now != null && now != Thread.currentThread()) {
            throw owned(now);
        }
    }

    private void takeOver() {
        Thread now = owner;
        if (now == Thread.currentThread()) {
            seenOwner = now;
            return;
        }
        // An owner that has ended cannot hand over.
        if (now == NOBODY || now != null && now.isAlive() || !OWNER.compareAndSet(this, now, Thread.currentThread())) {
            throw owned(owner);
        }
        if (state == CLOSED) {
            owner = NOBODY;
            throw OmomiException.closed(kind);
        }
        seenOwner = Thread.currentThread();
    }

    /** Leaves the request to the next thread that uses it. */
    void handOver() {
        Thread now = owner;
        if (now == null || now == NOBODY) {
            return;
        }
        if (now == Thread.currentThread()) {
            seenOwner = null;
        } else if (now.isAlive()) {
            throw owned(now);
        }
        OWNER.compareAndSet(this, now, null);
    }

    private OmomiException owned(Thread now) {
        if (now == NOBODY || state == CLOSED) {
            return OmomiException.closed(kind);
        }
        String name = now == null ? "another thread" : "the thread `" + now.getName() + "`";
        return new OmomiException(
                Code.SCORER_BUSY,
                "the " + kind + " belongs to " + name
                        + ": make one scorer per thread, lend scorers through a ScorerPool, or hand it over first");
    }

    /** Rejects a call after close. */
    void checkOpen() {
        if (state == CLOSED) {
            throw OmomiException.closed(kind);
        }
    }

    /**
     * The check of setters, on rows that may have been kept. Rejects a call of another thread than the owner. If there
     * is none, the calling thread becomes the owner.
     */
    void checkMayBeSet() {
        if (seenOwner != Thread.currentThread()) {
            claimToSet();
        }
    }

    private void claimToSet() {
        if (isCarrier && owner != NOBODY) {
            throw OmomiException.invalidArgument(
                    "row", "a row that fills a candidate set may be used only in that call, and on its thread");
        }
        checkOwner();
    }

    /** Claims the block for one native call. */
    void enter() {
        checkOwner();
        if (!STATE.compareAndSet(this, IDLE, BUSY)) {
            throw notIdle(state);
        }
    }

    /**
     * Claims the block for one native call that does not use it, and makes no thread the owner: the scorer may be
     * opened on one thread and used on another.
     */
    void hold() {
        if (!STATE.compareAndSet(this, IDLE, BUSY)) {
            throw notIdle(state);
        }
    }

    void leave() {
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

    /**
     * Closes permanently, after a native call in progress. Returns whether this call closed it.
     *
     * <p>The memory of the block goes back to the system at once, but its addresses are freed by the collector, with
     * this object: a setter on another thread that does not know of the close yet must never write to memory that
     * belongs to something else by now. A thread that reads answers must not find zeros in their place, so if the
     * request belongs to another thread that is alive, the memory too is left to the collector.
     */
    boolean close() {
        while (!STATE.compareAndSet(this, IDLE, CLOSED)) {
            if (state == CLOSED) {
                return false;
            }
            LockSupport.parkNanos(CLOSE_POLL_NANOS);
        }
        seenOwner = NOBODY;
        Thread last = OWNER.getAndSet(this, NOBODY);
        if (last == null || last == Thread.currentThread() || !last.isAlive()) {
            Native.releasePages(block);
        }
        return true;
    }

    private OmomiException notIdle(int state) {
        if (state == CLOSED) {
            return OmomiException.closed(kind);
        }
        return new OmomiException(
                Code.SCORER_BUSY, "the scorer is in use by another thread: make one scorer per thread");
    }
}
