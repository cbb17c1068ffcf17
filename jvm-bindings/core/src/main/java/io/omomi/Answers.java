package io.omomi;

/**
 * What one of several models answered in the last predict of a scorer: see {@link AbstractScorer#answers}. For the
 * thread that uses the scorer. Every method throws {@link OmomiException} like the scorer's own: with {@link
 * Code#INVALID_ARGUMENT} for a candidate without an answer, {@link Code#CLOSED} or {@link Code#SCORER_BUSY}.
 */
public final class Answers {
    private final AbstractScorer scorer;
    private final int model;

    Answers(AbstractScorer scorer, int model) {
        this.scorer = scorer;
        this.model = model;
    }

    /** Returns the number of the model, counted from 0. */
    public int model() {
        return model;
    }

    /**
     * Returns the click probability of a candidate, in (0, 1), or NaN unless its status is {@link
     * CandidateStatus#SCORED}.
     */
    public float probability(int candidate) {
        return scorer.probability(model, candidate);
    }

    /**
     * Writes the probability of every answered candidate to {@code probabilities}, from index 0 on, and returns their
     * number. Gives the same values as {@link #probability} one by one, in a fraction of the time.
     */
    public int probabilities(float[] probabilities) {
        return scorer.probabilities(model, probabilities);
    }

    /** Returns the logit of a candidate, or NaN unless its status is {@link CandidateStatus#SCORED}. */
    public double logit(int candidate) {
        return scorer.logit(model, candidate);
    }

    /** Returns the status of a candidate: whether it was scored, or why not. */
    public CandidateStatus status(int candidate) {
        return scorer.status(model, candidate);
    }

    /** Returns the number of candidates with a probability. */
    public int scoredCount() {
        return scorer.scoredCount(model);
    }

    /** Returns the number of candidates that the model refused. Each has its status. */
    public int refusedCount() {
        return scorer.refusedCount(model);
    }

    /** Returns the number of categories for which the model has no weight. Those of the context count once. */
    public long unseenCount() {
        return scorer.unseenCount(model);
    }

    /** Returns the number of fields that the model reads and that have no value. Those of the context count once. */
    public long missingCount() {
        return scorer.missingCount(model);
    }

    /** Returns the number of values that are NaN or out of range, in fields that the model reads. */
    public long invalidNumberCount() {
        return scorer.invalidNumberCount(model);
    }

    /** Returns the generation of the model, or 0 before the first predict. */
    public long generation() {
        return scorer.generation(model);
    }

    /** Returns the logic id of the model, to be logged with each score. */
    public String logicId() {
        return scorer.logicId(model);
    }

    @Override
    public String toString() {
        return "Answers(model " + model + " of " + scorer + ")";
    }
}
