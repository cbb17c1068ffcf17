package io.omomi;

/**
 * Scores requests with one model. Make one for each thread: it owns its request and its answers, and a second thread that
 * calls it at the same time meets {@link Code#SCORER_BUSY}. Handing it from thread to thread is allowed.
 *
 * <p>It holds its own reference to the model, so that the model may be closed or replaced at any time. After {@link #close}
 * every method throws {@link Code#CLOSED}; a close that races with a predict waits for it.
 */
public final class Scorer implements AutoCloseable {
    private final Request request;
    private final Handle handle;
    private final long address;
    private final String logicId;
    private final int resultOffset;
    /** Candidates of the last predict that succeeded: only they have answers. */
    private int answeredCount;

    private Scorer(Request request, long address, String logicId) {
        this.request = request;
        this.handle = new Handle(this, address, Native::closeScorer);
        this.address = address;
        this.logicId = logicId;
        this.resultOffset = request.layout.resultsOffset;
    }

    /**
     * A scorer for {@code model}, with memory for requests of {@code layout}.
     *
     * @throws OmomiException with {@link Code#FIELD_MISSING} or {@link Code#FIELD_MISMATCH} if the model needs a field that
     *     the layout's schema does not declare, or declares with another side, type, unit or range; {@link Code#CLOSED} if
     *     the model is closed
     */
    public static Scorer open(Model model, RequestLayout layout) {
        if (model == null) {
            throw OmomiException.nullArgument("model");
        }
        if (layout == null) {
            throw OmomiException.nullArgument("layout");
        }
        String logicId = model.logicId();
        Request request = new Request(layout);
        return new Scorer(request, model.openScorer(layout, request), logicId);
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
        request.enter();
        try {
            answeredCount = 0;
            request.seal(candidateCount);
            int code = predict0(address, candidateCount);
            if (code != 0) {
                Native.throwPredictError(address, code);
            }
            answeredCount = candidateCount;
        } finally {
            request.leave();
        }
    }

    /** The click probability of a candidate, in (0, 1), or NaN unless its status is {@link CandidateStatus#SCORED}. */
    public float probability(int candidate) {
        return request.block.getFloat(answer(candidate) + Block.ANSWER_PROBABILITY_OFFSET);
    }

    /** The logit of a candidate, or NaN unless its status is {@link CandidateStatus#SCORED}. */
    public double logit(int candidate) {
        return request.block.getDouble(answer(candidate) + Block.ANSWER_LOGIT_OFFSET);
    }

    /** What became of a candidate. */
    public CandidateStatus status(int candidate) {
        return CandidateStatus.ofNumber(request.block.getInt(answer(candidate) + Block.ANSWER_STATUS_OFFSET));
    }

    /** Candidates of the last predict, 0 before the first and after one that threw. */
    public int answeredCount() {
        request.checkIdle();
        return answeredCount;
    }

    /** Candidates with a probability in the last predict. */
    public int scoredCount() {
        return count(Block.SCORED_COUNT_OFFSET);
    }

    /** Candidates without one in the last predict, each with its status. */
    public int refusedCount() {
        return count(Block.REFUSED_COUNT_OFFSET);
    }

    /** Categories for which the model has no weight; the context's count once. */
    public long unseenCount() {
        return Integer.toUnsignedLong(count(Block.UNSEEN_COUNT_OFFSET));
    }

    /** Fields that the model reads and a row left empty; the context's count once. */
    public long missingCount() {
        return Integer.toUnsignedLong(count(Block.MISSING_COUNT_OFFSET));
    }

    /** Numbers out of their field's range, or NaN; they are counted as missing too. */
    public long invalidNumberCount() {
        return Integer.toUnsignedLong(count(Block.INVALID_NUMBER_COUNT_OFFSET));
    }

    /** The generation of the model that gave the answers, 0 before the first. */
    public long generation() {
        request.checkIdle();
        return request.block.getLong(resultOffset + Block.GENERATION_OFFSET);
    }

    /** The name of the serving logic, to be logged with each score. */
    public String logicId() {
        request.checkIdle();
        return logicId;
    }

    /**
     * Why a candidate of the request has the logit it has. Allocates; not for the request path.
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

    /** Gives up the reference to the model, after a predict that is under way. May be called twice. */
    @Override
    public void close() {
        if (request.close()) {
            handle.close();
        }
    }

    private int answer(int candidate) {
        request.checkIdle();
        if (candidate < 0 || candidate >= answeredCount) {
            throw OmomiException.invalidArgument(
                    "candidate", "expected one of the " + answeredCount + " that were answered, found " + candidate);
        }
        return resultOffset + Block.OUTCOME_LEN + candidate * Block.ANSWER_LEN;
    }

    private int count(int offset) {
        request.checkIdle();
        return request.block.getInt(resultOffset + offset);
    }

    /**
     * Scores the block whose address the native scorer learned at open, and returns 0 or an error's number. Primitives
     * only, no array, no callback: nothing here can stall a garbage collection.
     */
    private native int predict0(long scorer, int candidateCount);
}
