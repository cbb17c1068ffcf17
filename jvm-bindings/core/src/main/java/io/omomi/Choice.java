package io.omomi;

/**
 * The candidate that the policy of an experiment has chosen: see {@link ExperimentScorer#choose}. A scorer always
 * returns the same object, which shows the last choice. For the thread that uses the scorer.
 */
public final class Choice {
    private final ExperimentScorer scorer;
    int candidate = -1;
    double propensity = Double.NaN;
    boolean isExploring;

    Choice(ExperimentScorer scorer) {
        this.scorer = scorer;
    }

    /** Returns whether a candidate was eligible. */
    public boolean hasCandidate() {
        scorer.request.checkOwner();
        return candidate >= 0;
    }

    /** Returns the index of the chosen candidate, or -1 if none was eligible. */
    public int candidate() {
        scorer.request.checkOwner();
        return candidate;
    }

    /**
     * Returns whether the choice has a propensity. A server that always takes the best candidate has none: exploration
     * is then off in the experiment file.
     */
    public boolean hasPropensity() {
        return !Double.isNaN(propensity());
    }

    /**
     * Returns the probability with which the whole policy chooses this candidate for such a request, in (0, 1], or NaN
     * if there is none: see {@link #hasPropensity}. {@link Served#choice} records it.
     */
    public double propensity() {
        scorer.request.checkOwner();
        return propensity;
    }

    /** Returns whether the request is one of those that explore. */
    public boolean isExploring() {
        scorer.request.checkOwner();
        return isExploring;
    }

    /** Describes the choice, for people. */
    @Override
    public String toString() {
        if (candidate < 0) {
            return "Choice(no candidate)";
        }
        return "Choice(candidate " + candidate + (Double.isNaN(propensity) ? ")" : ", propensity " + propensity + ")");
    }
}
