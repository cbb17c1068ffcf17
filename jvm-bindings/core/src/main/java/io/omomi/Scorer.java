package io.omomi;

import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Scores requests with one model, or with several in one call. Open one for each thread, or lend them through a {@link
 * ScorerPool}: it owns its request and its answers. It belongs to the first thread that uses it, and another one gets
 * {@link Code#SCORER_BUSY}, until {@link #handOver}.
 *
 * <p>It holds its own reference to each model, so a model may be closed or replaced at any time. After {@link #close},
 * every method throws {@link Code#CLOSED}; a close that races with a predict waits for it.
 */
public class Scorer extends AbstractScorer {
    private final String[] logicIds;

    Scorer(Request request, long address, String[] logicIds) {
        super(request, address);
        this.logicIds = logicIds;
    }

    /**
     * Opens a scorer for {@code model}, with memory for requests of {@code layout}.
     *
     * @throws OmomiException with {@link Code#FIELD_MISSING} or {@link Code#FIELD_MISMATCH} if the model needs a field
     *     that the layout's schema does not declare, or declares with another side, type, unit or range; {@link
     *     Code#CLOSED} if the model is closed
     */
    public static Scorer open(Model model, RequestLayout layout) {
        return open(Collections.singletonList(model), layout);
    }

    /**
     * Opens a scorer for requests that name candidates of {@code set}: see {@link #open(List, RequestLayout,
     * CandidateSet)}.
     */
    public static Scorer open(Model model, RequestLayout layout, CandidateSet set) {
        return open(Collections.singletonList(model), layout, set);
    }

    /**
     * Opens a scorer for several models, whose layout was created {@linkplain RequestLayout#forModels for that many}.
     * One call then scores a request with all of them (the arms of a test, a shadow), which costs less than one call
     * for each. Each model gives the same answers as alone, but a context that one of them cannot read fails the call.
     *
     * @throws OmomiException like {@link #open(Model, RequestLayout)}, and with {@link Code#INVALID_ARGUMENT} if the
     *     layout is for another number of models, or for prepared candidates
     */
    public static Scorer open(List<Model> models, RequestLayout layout) {
        return open(models, layout, null, false);
    }

    /**
     * Opens a scorer for requests that name candidates of {@code set} by index. The candidates are prepared now for
     * each model that is new to the set, which takes a few look-ups per candidate.
     *
     * @throws OmomiException like {@link #open(Model, RequestLayout)}, and with {@link Code#INVALID_ARGUMENT} if the
     *     layout is for another number of models, is not {@linkplain RequestLayout#prepared for prepared candidates},
     *     or belongs to another schema than the set
     */
    public static Scorer open(List<Model> models, RequestLayout layout, CandidateSet set) {
        return open(models, layout, set, true);
    }

    private static Scorer open(List<Model> models, RequestLayout layout, @Nullable CandidateSet set, boolean needsSet) {
        if (models == null) {
            throw OmomiException.nullArgument("models");
        }
        for (Model model : models) {
            if (model == null) {
                throw OmomiException.nullArgument("model");
            }
        }
        if (layout == null) {
            throw OmomiException.nullArgument("layout");
        }
        if (needsSet && set == null) {
            throw OmomiException.nullArgument("set");
        }
        String[] logicIds = new String[models.size()];
        long[] shares = new long[models.size()];
        // The scorer takes its own references from these, so no two models have to be locked together.
        try {
            for (int i = 0; i < shares.length; i++) {
                shares[i] = models.get(i).share();
                logicIds[i] = models.get(i).logicId();
            }
            Request request = new Request(layout);
            long address = set == null
                    ? Native.openScorer(shares, layout.encoded(), 0, request.block)
                    : set.openScorer(shares, layout, request);
            return new Scorer(request, address, logicIds);
        } finally {
            for (long share : shares) {
                Native.closeModel(share);
            }
        }
    }

    /**
     * Scores the candidates that the request was given since it was cleared, up to the last one: see {@link
     * #predict(int)}.
     *
     * @throws OmomiException like {@link #predict(int)}
     */
    public void predict() {
        score(request.filledCount(), NO_BUDGET);
    }

    /**
     * Scores the first {@code candidateCount} candidates of the request in place. A candidate that cannot be read, or
     * that was not filled, fails alone: see {@link #status}. The request is not changed.
     *
     * @throws OmomiException with {@link Code#CONTEXT_MALFORMED} or {@link Code#TOO_MANY_CANDIDATES}, and then there
     *     are no answers; {@link Code#SCORER_BUSY} if the scorer belongs to another thread; {@link Code#CLOSED}
     */
    public final void predict(int candidateCount) {
        score(candidateCount, NO_BUDGET);
    }

    /**
     * Scores the request like {@link #predict(int)}, within a time limit: starts no further chunk of up to 256
     * candidates once {@code budgetNanos} nanoseconds have passed since the call. 0 or less leaves no time at all.
     * Candidates that were not reached have the status {@link CandidateStatus#LATE} and no probability, and {@link
     * #lateCount} counts them; with several models, they are the same for all. Reaching the limit is not an error.
     *
     * @throws OmomiException like {@link #predict(int)}
     */
    public final void predictWithin(int candidateCount, long budgetNanos) {
        score(candidateCount, Math.max(0, budgetNanos));
    }

    @Override
    public final String logicId() {
        return logicId(0);
    }

    @Override
    String logicId(int model) {
        result(model);
        return logicIds[model];
    }
}
