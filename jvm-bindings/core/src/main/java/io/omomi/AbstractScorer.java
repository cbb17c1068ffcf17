package io.omomi;

import java.nio.ByteBuffer;

/**
 * What a {@link Scorer} and a {@link LiveScorer} have in common: a request, its answers, and an end. For code that reads answers
 * whoever says which model gives them; there are no other scorers.
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
    /** Candidates of the last predict that succeeded: only they have answers. */
    private int answeredCount;

    AbstractScorer(Request request, long address) {
        this.request = request;
        this.handle = new Handle(this, address, Native::closeScorer);
        this.address = address;
        this.modelCount = request.layout.modelCount();
        this.resultsOffset = request.layout.resultsOffset;
        this.resultStride = request.layout.resultStride;
    }

    /** The request to fill; always the same object. */
    public final Request request() {
        request.checkIdle();
        return request;
    }

    /**
     * Scores, and returns 0, or the number of {@link Code#NO_MODEL} or {@link Code#SWITCHED_OFF}: a server answers by its own
     * logic then, and an exception would be too dear for it. Everything else that is refused throws.
     */
    final int score(int candidateCount, long budgetNanos) {
        request.enter();
        try {
            answeredCount = 0;
            request.seal(candidateCount);
            int code = predict0(address, candidateCount, budgetNanos);
            if (code == 0) {
                answeredCount = candidateCount;
            } else if (code != NO_MODEL && code != SWITCHED_OFF) {
                Native.throwPredictError(address, code);
            }
            return code;
        } finally {
            request.leave();
        }
    }

    /**
     * The click probability of a candidate, in (0, 1), or NaN unless its status is {@link CandidateStatus#SCORED}. Of
     * several models it is the first that is asked here and in the other methods without a model.
     */
    public final float probability(int candidate) {
        return probability(0, candidate);
    }

    /** The click probability of a candidate by model {@code model}, counted from 0 in the order given to {@code open}. */
    public final float probability(int model, int candidate) {
        return request.block.getFloat(answer(model, candidate) + Block.ANSWER_PROBABILITY_OFFSET);
    }

    /**
     * Writes the probability of every candidate that was answered to {@code probabilities}, from place 0 on: the same as {@link
     * #probability(int)} one by one, for a fraction of the time.
     *
     * @return how many they are
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if the array is too short, {@link Code#CLOSED} or {@link
     *     Code#SCORER_BUSY}
     */
    public final int probabilities(float[] probabilities) {
        return probabilities(0, probabilities);
    }

    /** The same by model {@code model}. */
    public final int probabilities(int model, float[] probabilities) {
        int offset = result(model) + Block.OUTCOME_LEN + Block.ANSWER_PROBABILITY_OFFSET;
        if (probabilities == null) {
            throw OmomiException.nullArgument("probabilities");
        }
        int count = answeredCount;
        if (count > probabilities.length) {
            throw OmomiException.invalidArgument(
                    "probabilities", "expected room for the " + count + " that were answered, found " + probabilities.length);
        }
        ByteBuffer block = request.block;
        for (int i = 0; i < count; i++) {
            probabilities[i] = block.getFloat(offset + i * Block.ANSWER_LEN);
        }
        return count;
    }

    /** The logit of a candidate, or NaN unless its status is {@link CandidateStatus#SCORED}. */
    public final double logit(int candidate) {
        return logit(0, candidate);
    }

    /** The logit of a candidate by model {@code model}. */
    public final double logit(int model, int candidate) {
        return request.block.getDouble(answer(model, candidate) + Block.ANSWER_LOGIT_OFFSET);
    }

    /** What became of a candidate. */
    public final CandidateStatus status(int candidate) {
        return status(0, candidate);
    }

    /** What became of a candidate with model {@code model}. */
    public final CandidateStatus status(int model, int candidate) {
        return CandidateStatus.ofNumber(request.block.getInt(answer(model, candidate) + Block.ANSWER_STATUS_OFFSET));
    }

    /** Models that answer. */
    public final int modelCount() {
        request.checkIdle();
        return modelCount;
    }

    /** Candidates of the last predict, 0 before the first and after one that threw. */
    public final int answeredCount() {
        request.checkIdle();
        return answeredCount;
    }

    /** Candidates with a probability in the last predict. */
    public final int scoredCount() {
        return scoredCount(0);
    }

    /** Candidates with a probability by model {@code model} in the last predict. */
    public final int scoredCount(int model) {
        return count(model, Block.SCORED_COUNT_OFFSET);
    }

    /** Candidates that were refused in the last predict, each with its status. */
    public final int refusedCount() {
        return refusedCount(0);
    }

    /** Candidates that model {@code model} refused in the last predict, each with its status. */
    public final int refusedCount(int model) {
        return count(model, Block.REFUSED_COUNT_OFFSET);
    }

    /** Candidates that the last predict did not reach before its time was up, the same for all models. */
    public final int lateCount() {
        return count(0, Block.LATE_COUNT_OFFSET);
    }

    /** Categories for which the model has no weight; the context's count once. */
    public final long unseenCount() {
        return unseenCount(0);
    }

    /** Categories for which model {@code model} has no weight; the context's count once. */
    public final long unseenCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.UNSEEN_COUNT_OFFSET));
    }

    /** Fields that the model reads and a row left empty; the context's count once. */
    public final long missingCount() {
        return missingCount(0);
    }

    /** Fields that model {@code model} reads and a row left empty; the context's count once. */
    public final long missingCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.MISSING_COUNT_OFFSET));
    }

    /** Numbers out of their field's range, or NaN; they are counted as missing too. */
    public final long invalidNumberCount() {
        return invalidNumberCount(0);
    }

    /** Numbers out of their field's range, or NaN, in fields that model {@code model} reads. */
    public final long invalidNumberCount(int model) {
        return Integer.toUnsignedLong(count(model, Block.INVALID_NUMBER_COUNT_OFFSET));
    }

    /** The generation of the model that gave the answers, 0 before the first. */
    public final long generation() {
        return generation(0);
    }

    /** The generation of model {@code model}, 0 before the first predict. */
    public final long generation(int model) {
        return request.block.getLong(result(model) + Block.GENERATION_OFFSET);
    }

    /** The name of the serving logic, to be logged with each score. */
    public abstract String logicId();

    /**
     * Why a candidate of the request has the logit it has by the first model. Allocates; not for the request path.
     *
     * @throws OmomiException as {@link #predict} does, and if the candidate cannot be read
     */
    public final Explanation explain(int candidate) {
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
    public final void close() {
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
    final int result(int model) {
        request.checkIdle();
        if (model < 0 || model >= modelCount) {
            throw OmomiException.invalidArgument(
                    "model", "expected one of the " + modelCount + " of this scorer, found " + model);
        }
        return resultsOffset + model * resultStride;
    }

    /**
     * Scores the block whose address the native scorer learned at open, and returns 0 or an error's number. Below 0 the
     * budget is none. Primitives only, no array, no callback: nothing here can stall a garbage collection.
     */
    private native int predict0(long scorer, int candidateCount, long budgetNanos);
}
