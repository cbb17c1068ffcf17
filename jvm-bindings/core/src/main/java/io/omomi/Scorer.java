package io.omomi;

import java.util.Collections;
import java.util.List;

/**
 * Scores requests with one model, or with several in one call. Make one for each thread: it owns its request and its answers, and a second thread that
 * calls it at the same time meets {@link Code#SCORER_BUSY}. Handing it from thread to thread is allowed.
 *
 * <p>It holds its own reference to each model, so that a model may be closed or replaced at any time. After {@link #close}
 * every method throws {@link Code#CLOSED}; a close that races with a predict waits for it.
 */
public final class Scorer implements AutoCloseable {
    private static final long NO_BUDGET = -1;

    private final Request request;
    private final Handle handle;
    private final long address;
    private final String[] logicIds;
    private final int resultsOffset;
    private final int resultStride;
    /** Candidates of the last predict that succeeded: only they have answers. */
    private int answeredCount;

    private Scorer(Request request, long address, String[] logicIds) {
        this.request = request;
        this.handle = new Handle(this, address, Native::closeScorer);
        this.address = address;
        this.logicIds = logicIds;
        this.resultsOffset = request.layout.resultsOffset;
        this.resultStride = request.layout.resultStride;
    }

    /**
     * A scorer for {@code model}, with memory for requests of {@code layout}.
     *
     * @throws OmomiException with {@link Code#FIELD_MISSING} or {@link Code#FIELD_MISMATCH} if the model needs a field that
     *     the layout's schema does not declare, or declares with another side, type, unit or range; {@link Code#CLOSED} if
     *     the model is closed
     */
    public static Scorer open(Model model, RequestLayout layout) {
        return open(Collections.singletonList(model), layout);
    }

    /** The same for requests that name candidates of {@code set}: see {@link #open(List, RequestLayout, CandidateSet)}. */
    public static Scorer open(Model model, RequestLayout layout, CandidateSet set) {
        return open(Collections.singletonList(model), layout, set);
    }

    /**
     * A scorer for several models, whose layout was made {@linkplain RequestLayout#forModels for as many}: one call then
     * scores a request for all of them (the arms of a test, a shadow), which costs less than a call for each. Each answers
     * as it would alone, but a context that one of them cannot read fails the call.
     *
     * @throws OmomiException as {@link #open(Model, RequestLayout)} does; {@link Code#INVALID_ARGUMENT} for a layout of
     *     another number of models, or of prepared candidates
     */
    public static Scorer open(List<Model> models, RequestLayout layout) {
        return open(models, layout, null, false);
    }

    /**
     * The same for requests that name candidates of {@code set} by index. A model that is new to the set is prepared now,
     * which takes the time of some look-ups for each candidate.
     *
     * @throws OmomiException as {@link #open(Model, RequestLayout)} does; {@link Code#INVALID_ARGUMENT} for a layout of
     *     another number of models, one that is not {@linkplain RequestLayout#prepared of prepared candidates}, or one of
     *     another schema than the set's
     */
    public static Scorer open(List<Model> models, RequestLayout layout, CandidateSet set) {
        return open(models, layout, set, true);
    }

    private static Scorer open(List<Model> models, RequestLayout layout, CandidateSet set, boolean needsSet) {
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
        // The scorer takes references of its own, from these: no two models have to be locked at once.
        try {
            for (int i = 0; i < shares.length; i++) {
                shares[i] = models.get(i).share();
                logicIds[i] = models.get(i).logicId();
            }
            Request request = new Request(layout, "scorer");
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

    /** The request to fill; always the same object. */
    public Request request() {
        request.checkIdle();
        return request;
    }

    /**
     * Scores the first {@code candidateCount} candidates of the request, in place. A candidate that cannot be read costs
     * itself only: see {@link #status}. The request stays as it is.
     *
     * @throws OmomiException with {@link Code#CONTEXT_MALFORMED} or {@link Code#TOO_MANY_CANDIDATES}, and then there are
     *     no answers; {@link Code#SCORER_BUSY} if another thread is in a call; {@link Code#CLOSED}
     */
    public void predict(int candidateCount) {
        score(candidateCount, NO_BUDGET);
    }

    /**
     * The same, but begins no further chunk of 128 candidates once {@code budgetNanos} nanoseconds have passed since the
     * call; 0 or less is no time at all. Candidates that were not reached have the status {@link CandidateStatus#LATE} and
     * no probability, and {@link #lateCount} says how many; for several models they are the same ones. That the time was up
     * is no error.
     *
     * @throws OmomiException as {@link #predict} does
     */
    public void predictWithin(int candidateCount, long budgetNanos) {
        score(candidateCount, Math.max(0, budgetNanos));
    }

    private void score(int candidateCount, long budgetNanos) {
        request.enter();
        try {
            answeredCount = 0;
            request.seal(candidateCount);
            int code = predict0(address, candidateCount, budgetNanos);
            if (code != 0) {
                Native.throwPredictError(address, code);
            }
            answeredCount = candidateCount;
        } finally {
            request.leave();
        }
    }

    /**
     * The click probability of a candidate, in (0, 1), or NaN unless its status is {@link CandidateStatus#SCORED}. Of
     * several models it is the first that is asked here and in the other methods without a model.
     */
    public float probability(int candidate) {
        return probability(0, candidate);
    }

    /** The click probability of a candidate by model {@code model}, counted from 0 in the order given to {@code open}. */
    public float probability(int model, int candidate) {
        return request.block.getFloat(answer(model, candidate) + Block.ANSWER_PROBABILITY_OFFSET);
    }

    /** The logit of a candidate, or NaN unless its status is {@link CandidateStatus#SCORED}. */
    public double logit(int candidate) {
        return logit(0, candidate);
    }

    /** The logit of a candidate by model {@code model}. */
    public double logit(int model, int candidate) {
        return request.block.getDouble(answer(model, candidate) + Block.ANSWER_LOGIT_OFFSET);
    }

    /** What became of a candidate. */
    public CandidateStatus status(int candidate) {
        return status(0, candidate);
    }

    /** What became of a candidate with model {@code model}. */
    public CandidateStatus status(int model, int candidate) {
        return CandidateStatus.ofNumber(request.block.getInt(answer(model, candidate) + Block.ANSWER_STATUS_OFFSET));
    }

    /** Models that answer. */
    public int modelCount() {
        request.checkIdle();
        return logicIds.length;
    }

    /** Candidates of the last predict, 0 before the first and after one that threw. */
    public int answeredCount() {
        request.checkIdle();
        return answeredCount;
    }

    /** Candidates with a probability in the last predict. */
    public int scoredCount() {
        return scoredCount(0);
    }

    /** Candidates with a probability by model {@code model} in the last predict. */
    public int scoredCount(int model) {
        return count(model, Block.SCORED_COUNT_OFFSET);
    }

    /** Candidates that were refused in the last predict, each with its status. */
    public int refusedCount() {
        return refusedCount(0);
    }

    /** Candidates that model {@code model} refused in the last predict, each with its status. */
    public int refusedCount(int model) {
        return count(model, Block.REFUSED_COUNT_OFFSET);
    }

    /** Candidates that the last predict did not reach before its time was up, the same for all models. */
    public int lateCount() {
        return count(0, Block.LATE_COUNT_OFFSET);
    }

    /** Categories for which the model has no weight; the context's count once. */
    public long unseenCount() {
        return unseenCount(0);
    }

    /** Categories for which model {@code model} has no weight; the context's count once. */
    public long unseenCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.UNSEEN_COUNT_OFFSET));
    }

    /** Fields that the model reads and a row left empty; the context's count once. */
    public long missingCount() {
        return missingCount(0);
    }

    /** Fields that model {@code model} reads and a row left empty; the context's count once. */
    public long missingCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.MISSING_COUNT_OFFSET));
    }

    /** Numbers out of their field's range, or NaN; they are counted as missing too. */
    public long invalidNumberCount() {
        return invalidNumberCount(0);
    }

    /** Numbers out of their field's range, or NaN, in fields that model {@code model} reads. */
    public long invalidNumberCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.INVALID_NUMBER_COUNT_OFFSET));
    }

    /** The generation of the model that gave the answers, 0 before the first. */
    public long generation() {
        return generation(0);
    }

    /** The generation of model {@code model}, 0 before the first predict. */
    public long generation(int model) {
        return request.block.getLong(result(model) + Block.GENERATION_OFFSET);
    }

    /** The name of the serving logic, to be logged with each score. */
    public String logicId() {
        return logicId(0);
    }

    /** The name of the serving logic of model {@code model}. */
    public String logicId(int model) {
        result(model);
        return logicIds[model];
    }

    /**
     * Why a candidate of the request has the logit it has by the first model. Allocates; not for the request path.
     *
     * @throws OmomiException as {@link #predict} does, and if the candidate cannot be read
     */
    public Explanation explain(int candidate) {
        request.enter();
        try {
            request.seal(candidate + 1);
            return new Explanation(Native.explain(address, candidate));
        } finally {
            request.leave();
        }
    }

    /** Gives up the references to models and candidate set, after a predict that is under way. May be called twice. */
    @Override
    public void close() {
        if (request.close()) {
            handle.close();
        }
    }

    private int answer(int model, int candidate) {
        int result = result(model);
        if (candidate < 0 || candidate >= answeredCount) {
            throw OmomiException.invalidArgument(
                    "candidate", "expected one of the " + answeredCount + " that were answered, found " + candidate);
        }
        return result + Block.OUTCOME_LEN + candidate * Block.ANSWER_LEN;
    }

    private int count(int model, int offset) {
        return request.block.getInt(result(model) + offset);
    }

    /** Where the result of a model begins. */
    private int result(int model) {
        request.checkIdle();
        if (model < 0 || model >= logicIds.length) {
            throw OmomiException.invalidArgument(
                    "model", "expected one of the " + logicIds.length + " of this scorer, found " + model);
        }
        return resultsOffset + model * resultStride;
    }

    /**
     * Scores the block whose address the native scorer learned at open, and returns 0 or an error's number. Below 0 the
     * budget is none. Primitives only, no array, no callback: nothing here can stall a garbage collection.
     */
    private native int predict0(long scorer, int candidateCount, long budgetNanos);
}
