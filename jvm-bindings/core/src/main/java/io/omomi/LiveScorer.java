package io.omomi;

/**
 * Scores requests with whatever generation a {@link LiveModel} serves: the next request after a swap is scored by the new one, and
 * each request by one throughout. Make one for each thread, once: it serves every later generation.
 *
 * <p>It goes on with the generation that it has when its live model is closed. After its own {@link #close} every method throws
 * {@link Code#CLOSED}; a close that races with a predict waits for it.
 *
 * <pre>{@code
 * if (scorer.predict(candidateCount) == ServingState.SERVING) {
 *     rank(scorer);
 * } else {
 *     rankWithoutModel();
 * }
 * }</pre>
 */
public final class LiveScorer extends AbstractScorer {
    /** The generation that {@link #logicId} is of. */
    private long knownGeneration;
    private String logicId;

    private LiveScorer(Request request, long address) {
        super(request, address);
    }

    /**
     * A scorer for whatever {@code live} serves, with memory for requests of {@code layout}. That there is no model yet is no
     * failure.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} for a layout of another schema than the live model's, of several
     *     models, or of prepared candidates; {@link Code#CLOSED} if the live model is closed
     */
    public static LiveScorer open(LiveModel live, RequestLayout layout) {
        return open(live, layout, null, false);
    }

    /**
     * The same for requests that name candidates of {@code set} by index. A later generation is prepared before it is swapped
     * in, on the thread that follows the store.
     *
     * @throws OmomiException as {@link #open(LiveModel, RequestLayout)} does; {@link Code#INVALID_ARGUMENT} for a layout that is
     *     not {@linkplain RequestLayout#prepared of prepared candidates}, or of another schema than the set's
     */
    public static LiveScorer open(LiveModel live, RequestLayout layout, CandidateSet set) {
        return open(live, layout, set, true);
    }

    private static LiveScorer open(LiveModel live, RequestLayout layout, CandidateSet set, boolean needsSet) {
        if (live == null) {
            throw OmomiException.nullArgument("live");
        }
        if (layout == null) {
            throw OmomiException.nullArgument("layout");
        }
        if (needsSet && set == null) {
            throw OmomiException.nullArgument("set");
        }
        Request request = new Request(layout, "scorer");
        long address = set == null ? live.openScorer(layout, 0, request) : set.openLiveScorer(live, layout, request);
        return new LiveScorer(request, address);
    }

    /**
     * Scores the first {@code candidateCount} candidates of the request, in place, and says whether it did. After anything but
     * {@link ServingState#SERVING} there are no answers, and the server answers by its own logic: that is no failure, costs less
     * than an answer, and allocates as little. A candidate that cannot be read costs itself only: see {@link #status}.
     *
     * @throws OmomiException with {@link Code#CONTEXT_MALFORMED} or {@link Code#TOO_MANY_CANDIDATES}, and then there are no
     *     answers; {@link Code#SCORER_BUSY} if another thread is in a call; {@link Code#CLOSED}
     */
    public ServingState predict(int candidateCount) {
        return state(score(candidateCount, NO_BUDGET));
    }

    /**
     * The same within {@code budgetNanos} nanoseconds: see {@link Scorer#predictWithin}.
     *
     * @throws OmomiException as {@link #predict} does
     */
    public ServingState predictWithin(int candidateCount, long budgetNanos) {
        return state(score(candidateCount, Math.max(0, budgetNanos)));
    }

    /**
     * The name of the serving logic of the generation that gave the last answers, to be logged with each score. Allocates only
     * when that is another one than when it was asked for last.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} before the first answers, and for a generation that many have
     *     replaced since
     */
    @Override
    public String logicId() {
        long generation = generation();
        if (logicId == null || generation != knownGeneration) {
            request.enter();
            try {
                logicId = Native.liveLogicId(address, generation);
                knownGeneration = generation;
            } finally {
                request.leave();
            }
        }
        return logicId;
    }

    private static ServingState state(int code) {
        if (code == 0) {
            return ServingState.SERVING;
        }
        return code == NO_MODEL ? ServingState.NO_MODEL : ServingState.OFF;
    }
}
