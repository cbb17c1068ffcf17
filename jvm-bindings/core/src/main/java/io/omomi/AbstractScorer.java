package io.omomi;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * The common part of {@link Scorer}, {@link LiveScorer} and {@link ExperimentScorer}: a request, its answers, and
 * {@link #close}. Use it for code that reads answers without depending on which model gives them. No other class can
 * extend it.
 */
public abstract class AbstractScorer implements AutoCloseable {
    static final long NO_BUDGET = -1;
    static final int NO_MODEL = Code.NO_MODEL.number();
    static final int SWITCHED_OFF = Code.SWITCHED_OFF.number();

    final Request request;
    final long address;
    private final Handle handle;
    private final int modelCount;
    private final int resultsOffset;
    private final int resultStride;
    private final Answers[] answers;

    AbstractScorer(Request request, long address) {
        this(request, address, request.layout.modelCount());
    }

    /** Creates a scorer that shows the answers of the first {@code modelCount} models of the layout. */
    AbstractScorer(Request request, long address, int modelCount) {
        this.request = request;
        this.handle = new Handle(this, address, Native::closeScorer);
        this.address = address;
        this.modelCount = modelCount;
        this.answers = new Answers[modelCount];
        Arrays.setAll(answers, model -> new Answers(this, model));
        this.resultsOffset = request.layout.resultsOffset;
        this.resultStride = request.layout.resultStride;
    }

    /** Returns the request to fill. It is always the same object. */
    public final Request request() {
        request.checkOpen();
        return request;
    }

    /**
     * Leaves the scorer to the next thread that uses it. A scorer belongs to the first thread that fills its request,
     * predicts or reads an answer; another thread gets {@link Code#SCORER_BUSY}, because the requests of two threads
     * would be mixed, and the answers would look right. A thread that has ended needs no such call. {@link ScorerPool}
     * makes it when a scorer comes back.
     *
     * @throws OmomiException with {@link Code#SCORER_BUSY} if the scorer belongs to another thread that is alive
     */
    public final void handOver() {
        request.handOver();
    }

    /**
     * Scores the request. Returns 0, or the number of {@link Code#NO_MODEL} or {@link Code#SWITCHED_OFF}: the server
     * then answers by its own logic, and an exception would cost too much. Throws for every other error.
     */
    final int score(int candidateCount, long budgetNanos) {
        request.enter();
        try {
            request.forgetAnswers();
            request.seal();
            int code = call(candidateCount, budgetNanos);
            if (code == 0) {
                request.answeredCount = candidateCount;
                request.isAnswered = true;
            } else if (code != NO_MODEL && code != SWITCHED_OFF) {
                Native.throwPredictError(address, code);
            }
            return code;
        } finally {
            request.leave();
        }
    }

    /**
     * Returns the click probability of a candidate, in (0, 1), or NaN unless its status is {@link
     * CandidateStatus#SCORED}. With several models, this method and the other accessors here are about the first: see
     * {@link #answers}.
     */
    public final float probability(int candidate) {
        return probability(0, candidate);
    }

    /**
     * Returns the click probability of a candidate by model {@code model}, counted from 0 in the order given to {@code
     * open}.
     */
    final float probability(int model, int candidate) {
        return request.block.getFloat(answer(model, candidate) + Block.ANSWER_PROBABILITY_OFFSET);
    }

    /**
     * Writes the probability of every answered candidate to {@code probabilities}, from index 0 on. Gives the same
     * values as {@link #probability(int)} one by one, in a fraction of the time.
     *
     * @return the number of answered candidates
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if the array is too short, {@link Code#CLOSED} or
     *     {@link Code#SCORER_BUSY}
     */
    public final int probabilities(float[] probabilities) {
        return probabilities(0, probabilities);
    }

    /**
     * Writes the probability by model {@code model} of every answered candidate to {@code probabilities}, from index 0
     * on, and returns their number. Throws like {@link #probabilities(float[])}.
     */
    final int probabilities(int model, float[] probabilities) {
        int offset = result(model) + Block.OUTCOME_LEN + Block.ANSWER_PROBABILITY_OFFSET;
        if (probabilities == null) {
            throw OmomiException.nullArgument("probabilities");
        }
        int count = request.answeredCount;
        if (count > probabilities.length) {
            throw OmomiException.invalidArgument(
                    "probabilities",
                    "expected room for the " + count + " answered candidates, found " + probabilities.length);
        }
        ByteBuffer block = request.block;
        for (int i = 0; i < count; i++) {
            probabilities[i] = block.getFloat(offset + i * Block.ANSWER_LEN);
        }
        return count;
    }

    /** Returns the logit of a candidate, or NaN unless its status is {@link CandidateStatus#SCORED}. */
    public final double logit(int candidate) {
        return logit(0, candidate);
    }

    /**
     * Returns the logit of a candidate by model {@code model}, or NaN unless its status is {@link
     * CandidateStatus#SCORED}.
     */
    final double logit(int model, int candidate) {
        return request.block.getDouble(answer(model, candidate) + Block.ANSWER_LOGIT_OFFSET);
    }

    /** Returns the status of a candidate: whether it was scored, or why not. */
    public final CandidateStatus status(int candidate) {
        return status(0, candidate);
    }

    /** Returns the status of a candidate with model {@code model}: whether it was scored, or why not. */
    final CandidateStatus status(int model, int candidate) {
        return CandidateStatus.ofNumber(request.block.getInt(answer(model, candidate) + Block.ANSWER_STATUS_OFFSET));
    }

    /**
     * Returns the answers of model {@code model}, counted from 0 in the order given to {@code open}. All calls return
     * the same object, which shows the last predict.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if there is no such model, {@link Code#CLOSED} or
     *     {@link Code#SCORER_BUSY}
     */
    public final Answers answers(int model) {
        result(model);
        return answers[model];
    }

    /** Returns the number of models that answer. */
    public final int modelCount() {
        request.checkOpen();
        return modelCount;
    }

    /** Returns the number of candidates of the last predict, or 0 before the first and after one that threw. */
    public final int answeredCount() {
        request.checkOwner();
        return request.answeredCount;
    }

    /** Returns the number of candidates with a probability in the last predict. */
    public final int scoredCount() {
        return scoredCount(0);
    }

    /** Returns the number of candidates with a probability by model {@code model} in the last predict. */
    final int scoredCount(int model) {
        return count(model, Block.SCORED_COUNT_OFFSET);
    }

    /** Returns the number of candidates that the last predict refused. Each has its status. */
    public final int refusedCount() {
        return refusedCount(0);
    }

    /** Returns the number of candidates that model {@code model} refused in the last predict. Each has its status. */
    final int refusedCount(int model) {
        return count(model, Block.REFUSED_COUNT_OFFSET);
    }

    /**
     * Returns the number of candidates that the last predict did not reach within its time limit, the same for all
     * models.
     */
    public final int lateCount() {
        return count(0, Block.LATE_COUNT_OFFSET);
    }

    /** Returns the number of categories without a weight. Those of the context count once. */
    public final long unseenCount() {
        return unseenCount(0);
    }

    /**
     * Returns the number of categories for which model {@code model} has no weight. Those of the context count once.
     */
    final long unseenCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.UNSEEN_COUNT_OFFSET));
    }

    /** Returns the number of fields that the model reads and that have no value. Those of the context count once. */
    public final long missingCount() {
        return missingCount(0);
    }

    /**
     * Returns the number of fields that model {@code model} reads and that have no value. Those of the context count
     * once.
     */
    final long missingCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.MISSING_COUNT_OFFSET));
    }

    /** Returns the number of values that are NaN or out of their field's range. They also count as missing. */
    public final long invalidNumberCount() {
        return invalidNumberCount(0);
    }

    /**
     * Returns the number of values that are NaN or out of their field's range, in fields that model {@code model}
     * reads.
     */
    final long invalidNumberCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.INVALID_NUMBER_COUNT_OFFSET));
    }

    /** Returns the generation of the model that gave the answers, or 0 if there are none. */
    public final long generation() {
        return generation(0);
    }

    /** Returns the generation of model {@code model}, or 0 if there are no answers. */
    final long generation(int model) {
        int result = result(model);
        return request.isAnswered ? request.block.getLong(result + Block.GENERATION_OFFSET) : 0;
    }

    /** Returns the logic id of the model, to be logged with each score. */
    public abstract String logicId();

    /**
     * Explains the logit that the first model gives to a candidate of the request. Allocates, so do not call it on the
     * request path.
     *
     * @throws OmomiException like {@code predict}, and if the candidate cannot be read
     */
    public final Explanation explain(int candidate) {
        request.enter();
        try {
            request.seal();
            return new Explanation(explanation(candidate), SetValues.of(request, candidate));
        } finally {
            request.leave();
        }
    }

    /** Returns the logic id of model {@code model}. */
    abstract String logicId(int model);

    /** Returns what this scores: for people. May be called at any time. */
    @Override
    public final String toString() {
        return getClass().getSimpleName() + "(" + request.layout + (request.isClosed() ? ", closed)" : ")");
    }

    /** Releases the references to models and candidate set, after a predict in progress. May be called twice. */
    @Override
    public final void close() {
        if (request.close()) {
            handle.close();
        }
    }

    private int answer(int model, int candidate) {
        int result = result(model);
        int answeredCount = request.answeredCount;
        if (candidate < 0 || candidate >= answeredCount) {
            throw OmomiException.invalidArgument(
                    "candidate", "expected one of the " + answeredCount + " answered candidates, found " + candidate);
        }
        return result + Block.OUTCOME_LEN + candidate * Block.ANSWER_LEN;
    }

    private int count(int model, int offset) {
        int result = result(model);
        return request.isAnswered ? request.block.getInt(result + offset) : 0;
    }

    /** The offset of a model's result. */
    final int result(int model) {
        request.checkOwner();
        if (model < 0 || model >= modelCount) {
            throw OmomiException.invalidArgument(
                    "model", "expected one of the " + modelCount + " models of this scorer, found " + model);
        }
        return resultsOffset + model * resultStride;
    }

    /** Scores the sealed block. The scorers of {@link TestScorers} do it otherwise. */
    int call(int candidateCount, long budgetNanos) {
        return predict0(address, candidateCount, budgetNanos);
    }

    Object[] explanation(int candidate) {
        return Native.explain(address, candidate);
    }

    /**
     * Scores the block whose address the native scorer learned at open. Returns 0 or the number of an error. A negative
     * budget means no time limit. Takes primitives only, no array and no callback, so it cannot stall a garbage
     * collection.
     */
    private native int predict0(long scorer, int candidateCount, long budgetNanos);
}
