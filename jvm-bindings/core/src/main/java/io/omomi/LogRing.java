package io.omomi;

import java.util.concurrent.atomic.AtomicIntegerFieldUpdater;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Records the predictions of one scorer, or events, for a {@link ServingLog}. {@link #record} and the methods of events
 * allocate nothing, take no lock, make no system call and never wait, whatever happens to the disk.
 *
 * <p>The ring of a scorer is for the thread that the scorer belongs to. A ring for events belongs to the first thread
 * that uses it, until {@link #handOver}.
 *
 * <pre>{@code
 * scorer.predict(candidateCount);
 * ring.served().clear().requestId(id).bid(micros, "JPY", Basis.CLICK);
 * for (int place = 0; place < shown.length; place++) {
 *     ring.served().position(place);
 *     ring.record(shown[place]);
 * }
 * }</pre>
 *
 * <p>Scorer, ring and log may be closed in any order: what was recorded before is still written. When the log is
 * closed, further records are dropped and counted as {@link Recorded#DROPPED_CLOSED}.
 */
public final class LogRing implements AutoCloseable {
    private static final AtomicIntegerFieldUpdater<LogRing> STATE =
            AtomicIntegerFieldUpdater.newUpdater(LogRing.class, "state");
    private static final AtomicReferenceFieldUpdater<LogRing, Thread> OWNER =
            AtomicReferenceFieldUpdater.newUpdater(LogRing.class, Thread.class, "owner");
    private static final int IDLE = 0;
    private static final int BUSY = 1;
    private static final int CLOSED = 2;
    private static final long CLOSE_POLL_NANOS = 20_000;

    /** The scorer's request, whose memory must live as long as the ring; null for events. */
    private final @Nullable Request request;
    private final @Nullable Served served;
    private final Handle handle;
    private final long address;
    private volatile int state = IDLE;
    /** The thread that uses a ring for events. */
    private volatile @Nullable Thread owner;

    LogRing(@Nullable Request request, long address) {
        this.request = request;
        this.handle = new Handle(this, address, Native::closeLogRing);
        this.address = address;
        this.served = request == null ? null : new Served(this);
    }

    /**
     * Returns the value to fill for the next record. It is always the same object.
     *
     * @throws OmomiException with {@link Code#RECORD_INVALID} if the ring is for events
     */
    public Served served() {
        if (served == null) {
            throw forEvents();
        }
        return served;
    }

    /**
     * Records that a candidate of the scorer's request was used, as {@link #served} says: after the predict that scored
     * it, and before the request is cleared. If the request is in the sample of details, the first such call also
     * records its details. Changes nothing.
     *
     * @return what became of the record; one that is dropped because of a full ring or a limit is no error
     * @throws OmomiException with {@link Code#RECORD_INVALID} for what cannot be recorded, such as a candidate without
     *     an answer or a request id of more than 128 bytes, and {@link Code#NOT_UTF8} for an unpaired surrogate, which
     *     are counted, too; {@link Code#SCORER_BUSY} if the scorer belongs to another thread; {@link Code#CLOSED} if
     *     the ring or its scorer is closed
     */
    public Recorded record(int candidate) {
        Request request = this.request;
        Served served = this.served;
        if (request == null || served == null) {
            throw forEvents();
        }
        enter();
        try {
            // The owner alone changes the block, and its memory lives as long as this ring, even if another thread
            // closes the scorer meanwhile.
            request.seal();
            return recorded(record0(address, served, served.address, candidate));
        } finally {
            leave();
        }
    }

    /**
     * Records that a bid won, now, for a price: {@code micros} millionths of the unit of {@code currency}.
     *
     * @throws OmomiException like {@link #event(EventKind, PredictionId, long, long, String, Basis)}
     */
    public Recorded win(PredictionId id, long micros, String currency, Basis basis) {
        return event(EventKind.WIN, id, 0, micros, currency, basis);
    }

    /** Records that an ad was shown, now. Throws like {@link #event(EventKind, PredictionId, long)}. */
    public Recorded impression(PredictionId id) {
        return event(EventKind.IMPRESSION, id, 0);
    }

    /** Records that an ad was clicked, now. Throws like {@link #event(EventKind, PredictionId, long)}. */
    public Recorded click(PredictionId id) {
        return event(EventKind.CLICK, id, 0);
    }

    /**
     * Records that a click led to what the advertiser wants, now. Throws like {@link #event(EventKind, PredictionId,
     * long)}.
     */
    public Recorded conversion(PredictionId id) {
        return event(EventKind.CONVERSION, id, 0);
    }

    /**
     * Records something that happened to a prediction, in Unix milliseconds, UTC; 0 is now. Any ring takes events.
     *
     * @throws OmomiException with {@link Code#SCORER_BUSY} if the ring, or its scorer, belongs to another thread, or
     *     {@link Code#CLOSED}
     */
    public Recorded event(EventKind kind, PredictionId id, long atUnixMillis) {
        return event(kind, id, atUnixMillis, 0, 0, 0);
    }

    /**
     * Records something that happened to a prediction, and what was paid or what it is worth: {@code micros} millionths
     * of the unit of {@code currency}, which has three capital letters of ISO 4217.
     *
     * @throws OmomiException with {@link Code#RECORD_INVALID} for another currency, {@link Code#SCORER_BUSY} if the
     *     ring, or its scorer, belongs to another thread, or {@link Code#CLOSED}
     */
    public Recorded event(
            EventKind kind, PredictionId id, long atUnixMillis, long micros, String currency, Basis basis) {
        if (basis == null) {
            throw OmomiException.nullArgument("basis");
        }
        return event(kind, id, atUnixMillis, micros, basis.number(), Served.letters(currency));
    }

    private Recorded event(EventKind kind, PredictionId id, long atUnixMillis, long micros, int basis, int currency) {
        if (kind == null) {
            throw OmomiException.nullArgument("kind");
        }
        if (id == null) {
            throw OmomiException.nullArgument("id");
        }
        enter();
        try {
            return recorded(
                    event0(address, kind.number(), id.first, id.second, atUnixMillis, micros, basis, currency));
        } finally {
            leave();
        }
    }

    /**
     * Leaves the ring, and its scorer, to the next thread that uses it: see {@link AbstractScorer#handOver}.
     *
     * @throws OmomiException with {@link Code#SCORER_BUSY} if it belongs to another thread that is alive
     */
    public void handOver() {
        if (request != null) {
            request.handOver();
            return;
        }
        Thread now = owner;
        if (now == null) {
            return;
        }
        if (now != Thread.currentThread() && now.isAlive()) {
            throw owned(now);
        }
        OWNER.compareAndSet(this, now, null);
    }

    /** Closes the ring, after a record in progress. What it recorded is still written. May be called twice. */
    @Override
    public void close() {
        while (!STATE.compareAndSet(this, IDLE, CLOSED)) {
            if (state == CLOSED) {
                return;
            }
            LockSupport.parkNanos(CLOSE_POLL_NANOS);
        }
        handle.close();
    }

    /** Says what it is for, for people. May be called at any time. */
    @Override
    public String toString() {
        String use = request == null ? "events" : request.layout.toString();
        return "LogRing(" + use + (state == CLOSED ? ", closed)" : ")");
    }

    /** Rejects a call of another thread than the owner, and one after close. */
    void checkOwner() {
        Request request = this.request;
        if (request != null) {
            request.checkOwner();
        } else {
            Thread now = owner;
            if (now != Thread.currentThread()) {
                // An owner that has ended cannot hand over.
                if (now != null && now.isAlive() || !OWNER.compareAndSet(this, now, Thread.currentThread())) {
                    throw owned(owner);
                }
            }
        }
        if (state == CLOSED) {
            throw OmomiException.closed("log ring");
        }
    }

    private void enter() {
        checkOwner();
        if (!STATE.compareAndSet(this, IDLE, BUSY)) {
            // The owner is not in another call, so another thread has just closed it.
            throw OmomiException.closed("log ring");
        }
    }

    private void leave() {
        STATE.lazySet(this, IDLE);
    }

    private Recorded recorded(int number) {
        if (number < 0) {
            Native.throwRecordError(address, -number);
        }
        return Recorded.ofNumber(number);
    }

    private static OmomiException owned(@Nullable Thread now) {
        String name = now == null ? "another thread" : "the thread `" + now.getName() + "`";
        return new OmomiException(
                Code.SCORER_BUSY,
                "the log ring belongs to " + name + ": open a ring for each thread, or hand it over first");
    }

    private static OmomiException forEvents() {
        return new OmomiException(
                Code.RECORD_INVALID,
                "expected the ring of a scorer, found one for events: open it with ServingLog.ring(scorer)");
    }

    /**
     * Records a candidate as the memory at {@code servedAddress} says. Returns what became of it, or the negative
     * number of an error. Touches no Java object: {@code served} only stays reachable by it, and so does the request by
     * this.
     */
    private native int record0(long ring, Served served, long servedAddress, int candidate);

    /**
     * Records an event of the prediction whose id has these halves. Returns what became of it, or the negative number
     * of an error.
     */
    private native int event0(
            long ring, int kind, long first, long second, long atUnixMillis, long micros, int basis, int currency);
}
