package io.omomi;

import java.util.ArrayDeque;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Lends scorers to threads that are too many for a scorer each: virtual threads, and the threads of asynchronous
 * servers. Opens a scorer only when all open ones are lent, and never more than its capacity, so its memory is bounded.
 * The scorer that came back last is lent first, because its memory is still in the caches.
 *
 * <pre>{@code
 * int processors = Runtime.getRuntime().availableProcessors();
 * ScorerPool<Scorer> pool = ScorerPool.of(processors, () -> Scorer.open(model, layout));
 * float[] probabilities = pool.use(scorer -> {
 *     fill(scorer.request());
 *     scorer.predict();
 *     return copyOf(scorer);
 * });
 * }</pre>
 *
 * <p>Any number of threads may use one pool. A scorer that is lent belongs to the thread that uses it first: a stage of
 * an asynchronous server that passes it on calls {@link AbstractScorer#handOver}.
 */
public final class ScorerPool<S extends AbstractScorer> implements AutoCloseable {
    private final Supplier<? extends S> open;
    private final int capacity;
    private final Semaphore free;
    /** Scorers that are open and not lent. The monitor of this queue guards the other fields. */
    private final ArrayDeque<S> idle = new ArrayDeque<>();
    private final Set<S> lent = Collections.newSetFromMap(new IdentityHashMap<>());
    private boolean isClosed;

    private ScorerPool(int capacity, Supplier<? extends S> open) {
        this.capacity = capacity;
        this.open = open;
        this.free = new Semaphore(capacity);
    }

    /**
     * Creates a pool of up to {@code capacity} scorers, which {@code open} opens as they are needed. As many as the
     * machine has processors are enough: a scorer never waits for anything.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} unless the capacity is at least 1
     */
    public static <S extends AbstractScorer> ScorerPool<S> of(int capacity, Supplier<? extends S> open) {
        if (open == null) {
            throw OmomiException.nullArgument("open");
        }
        if (capacity < 1) {
            throw OmomiException.invalidArgument("capacity", "expected 1 or more, found " + capacity);
        }
        return new ScorerPool<>(capacity, open);
    }

    /**
     * Lends a scorer to {@code body}, and returns what that returns. Waits while all scorers are lent. The body must
     * not keep the scorer, nor its request.
     *
     * @throws OmomiException with {@link Code#CLOSED}, or whatever opening a scorer throws
     */
    public <T> T use(Function<? super S, ? extends T> body) {
        if (body == null) {
            throw OmomiException.nullArgument("body");
        }
        free.acquireUninterruptibly();
        S scorer = lend();
        try {
            return body.apply(scorer);
        } finally {
            giveBack(scorer);
        }
    }

    /**
     * Lends a scorer, or returns null if all of them are still lent when {@code timeoutNanos} have passed. For servers
     * that have their own answer when they are overloaded, and for asynchronous ones. Pass the scorer to {@link
     * #giveBack} in every case.
     *
     * @throws OmomiException with {@link Code#CLOSED}, or whatever opening a scorer throws
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public S take(long timeoutNanos) throws InterruptedException {
        return free.tryAcquire(timeoutNanos, TimeUnit.NANOSECONDS) ? lend() : null;
    }

    /**
     * Takes back a scorer. Its request is cleared, so the next borrower finds no fields and no answers.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if this pool has not lent the scorer, or {@link
     *     Code#SCORER_BUSY} if it still belongs to another thread, which must hand it over first
     */
    public void giveBack(S scorer) {
        boolean isUsable = isUsable(scorer);
        boolean isKept;
        synchronized (idle) {
            if (!lent.remove(scorer)) {
                throw OmomiException.invalidArgument("scorer", "it is not lent by this pool");
            }
            isKept = isUsable && !isClosed;
            if (isKept) {
                idle.addFirst(scorer);
            }
        }
        if (!isKept) {
            scorer.close();
        }
        free.release();
    }

    /** Returns the number of scorers that may be open at a time. */
    public int capacity() {
        return capacity;
    }

    /** Returns the number of scorers that are open now, lent or not. */
    public int openCount() {
        synchronized (idle) {
            return idle.size() + lent.size();
        }
    }

    /** Closes the scorers; those that are lent are closed when they come back. May be called twice. */
    @Override
    public void close() {
        ArrayDeque<S> closing;
        synchronized (idle) {
            isClosed = true;
            closing = new ArrayDeque<>(idle);
            idle.clear();
        }
        closing.forEach(AbstractScorer::close);
    }

    /** Returns a scorer for a borrower that has a permit. */
    private S lend() {
        try {
            synchronized (idle) {
                if (isClosed) {
                    throw OmomiException.closed("scorer pool");
                }
                S scorer = idle.pollFirst();
                if (scorer != null) {
                    lent.add(scorer);
                    return scorer;
                }
            }
            // Opening takes time, so it holds no lock. The permit keeps the number of scorers below the capacity.
            S opened = open.get();
            if (opened == null) {
                throw OmomiException.nullArgument("the opened scorer");
            }
            synchronized (idle) {
                lent.add(opened);
            }
            return opened;
        } catch (Throwable failure) {
            free.release();
            throw failure;
        }
    }

    /** Clears a scorer that comes back, and hands it over. Returns false if its borrower has closed it. */
    private static boolean isUsable(AbstractScorer scorer) {
        if (scorer == null) {
            throw OmomiException.nullArgument("scorer");
        }
        try {
            scorer.request.clear();
            scorer.handOver();
            return true;
        } catch (OmomiException refused) {
            if (refused.code() == Code.CLOSED) {
                return false;
            }
            throw refused;
        }
    }
}
