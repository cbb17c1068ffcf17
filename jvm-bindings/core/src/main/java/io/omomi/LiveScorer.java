package io.omomi;

import org.jspecify.annotations.Nullable;

/**
 * Scores requests with the generation that a {@link LiveModel} serves. One generation scores the whole request; the
 * first request after a swap is scored by the new one. Open one for each thread, once, or lend them through a {@link
 * ScorerPool}: it serves every later generation. It belongs to the first thread that uses it, until {@link #handOver}.
 *
 * <p>When its live model is closed, the scorer continues with the generation that it has. After its own {@link #close},
 * every method throws {@link Code#CLOSED}; a close that races with a predict waits for it.
 *
 * <pre>{@code
 * if (scorer.predict(candidateCount) == ServingState.SERVING) {
 *     rank(scorer);
 * } else {
 *     rankWithoutModel();
 * }
 * }</pre>
 */
public class LiveScorer extends AbstractScorer {
    /** In place of a time limit: the fallback file is asked. */
    static final long FALLBACK = Long.MIN_VALUE;

    /** The generation to which the known {@link #logicId} belongs. */
    private long knownGeneration;
    private @Nullable String logicId;
    private @Nullable String fallbackLogicId;

    LiveScorer(Request request, long address) {
        super(request, address);
    }

    /**
     * Opens a scorer for the generations that {@code live} serves, with memory for requests of {@code layout}. Having
     * no model yet is not an error.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if the layout belongs to another schema than the live
     *     model, is for several models, or is for prepared candidates; {@link Code#CLOSED} if the live model is closed
     */
    public static LiveScorer open(LiveModel live, RequestLayout layout) {
        return open(live, layout, null, false);
    }

    /**
     * Opens a scorer for requests that name candidates of {@code set} by index. The thread that follows the store
     * prepares the candidates for a later generation before it is swapped in.
     *
     * @throws OmomiException like {@link #open(LiveModel, RequestLayout)}, and with {@link Code#INVALID_ARGUMENT} if
     *     the layout is not {@linkplain RequestLayout#prepared for prepared candidates}, or belongs to another schema
     *     than the set
     */
    public static LiveScorer open(LiveModel live, RequestLayout layout, CandidateSet set) {
        return open(live, layout, set, true);
    }

    private static LiveScorer open(LiveModel live, RequestLayout layout, @Nullable CandidateSet set, boolean needsSet) {
        if (live == null) {
            throw OmomiException.nullArgument("live");
        }
        if (layout == null) {
            throw OmomiException.nullArgument("layout");
        }
        if (needsSet && set == null) {
            throw OmomiException.nullArgument("set");
        }
        Request request = new Request(layout);
        long address = set == null ? live.openScorer(layout, 0, request) : set.openLiveScorer(live, layout, request);
        return new LiveScorer(request, address);
    }

    /**
     * Scores the candidates that the request was given since it was cleared, up to the last one: see {@link
     * #predict(int)}.
     *
     * @throws OmomiException like {@link #predict(int)}
     */
    public ServingState predict() {
        return state(score(request.filledCount(), NO_BUDGET));
    }

    /**
     * Scores the first {@code candidateCount} candidates of the request in place, and returns whether it did. After
     * anything but {@link ServingState#SERVING} there are no answers, and the server answers by its own logic. That is
     * not a failure, costs less than an answer, and allocates nothing either. A candidate that cannot be read fails
     * alone: see {@link #status}.
     *
     * @throws OmomiException with {@link Code#CONTEXT_MALFORMED} or {@link Code#TOO_MANY_CANDIDATES}, and then there
     *     are no answers; {@link Code#SCORER_BUSY} if the scorer belongs to another thread; {@link Code#CLOSED}
     */
    public final ServingState predict(int candidateCount) {
        return state(score(candidateCount, NO_BUDGET));
    }

    /**
     * Scores the request like {@link #predict(int)}, within {@code budgetNanos} nanoseconds: see {@link
     * Scorer#predictWithin}.
     *
     * @throws OmomiException like {@link #predict(int)}
     */
    public final ServingState predictWithin(int candidateCount, long budgetNanos) {
        return state(score(candidateCount, Math.max(0, budgetNanos)));
    }

    /**
     * Scores the candidates that the request was given since it was cleared with the fallback file: see {@link
     * #predictFallback(int)}.
     *
     * @throws OmomiException like {@link #predict(int)}
     */
    public final ServingState predictFallback() {
        return predictFallback(request.filledCount());
    }

    /**
     * Scores the first {@code candidateCount} candidates of the request with the {@linkplain
     * LiveOptions.Builder#fallbackFile fallback file}: a second call, for a server that got {@link ServingState#OFF} or
     * {@link ServingState#NO_MODEL} from {@code predict} and has no answer of its own. {@link #generation} and {@link
     * #logicId} are then those of the fallback file. Answers whatever the store and its orders say. Allocates nothing.
     *
     * <pre>{@code
     * ServingState state = scorer.predict(candidateCount);
     * if (state != ServingState.SERVING) {
     *     scorer.predictFallback(candidateCount);
     * }
     * }</pre>
     *
     * @return {@link ServingState#SERVING}, or {@link ServingState#NO_MODEL} if the options have no fallback file
     * @throws OmomiException like {@link #predict(int)}
     */
    public final ServingState predictFallback(int candidateCount) {
        int code = score(candidateCount, FALLBACK);
        request.isFallback = code == 0;
        return state(code);
    }

    @Override
    int call(int candidateCount, long budgetNanos) {
        return budgetNanos == FALLBACK
                ? predictFallback0(address, candidateCount)
                : super.call(candidateCount, budgetNanos);
    }

    /**
     * Returns the logic id of the generation that gave the last answers, to be logged with each score. Allocates only
     * if that generation has changed since the last call.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} before the first answers, and for a generation that
     *     many have replaced since
     */
    @Override
    public String logicId() {
        long generation = generation();
        if (request.isFallback) {
            return fallbackLogicId();
        }
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

    @Override
    String logicId(int model) {
        result(model);
        return logicId();
    }

    private String fallbackLogicId() {
        if (fallbackLogicId == null) {
            request.enter();
            try {
                fallbackLogicId = Native.fallbackLogicId(address);
            } finally {
                request.leave();
            }
        }
        return fallbackLogicId;
    }

    /**
     * Scores the block with the fallback file, like {@code predict0}. Takes primitives only, so it cannot stall a
     * garbage collection.
     */
    private native int predictFallback0(long scorer, int candidateCount);

    static ServingState state(int code) {
        if (code == 0) {
            return ServingState.SERVING;
        }
        return code == NO_MODEL ? ServingState.NO_MODEL : ServingState.OFF;
    }
}
