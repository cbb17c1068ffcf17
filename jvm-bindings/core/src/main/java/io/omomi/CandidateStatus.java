package io.omomi;

/** Whether a candidate was scored, or why not. With every status but {@link #SCORED}, logit and probability are NaN. */
public enum CandidateStatus {
    // The ordinal is the number in the answer. A test of the native library compares the order with its own.
    /** No predict has given an answer for it. */
    NOT_COMPUTED,
    /** It has a logit and a probability. */
    SCORED,
    /** A text or a list of values is outside the used part of the tail. */
    OUTSIDE_TAIL,
    /** A text is not UTF-8: its string has an unpaired surrogate. */
    NOT_UTF8,
    /** A list has more values than allowed. */
    TOO_MANY_VALUES,
    /** The candidate set has no candidate at that index. */
    NO_CANDIDATE,
    /** The request was not given the candidate since it was cleared. */
    NOT_FILLED,
    /** The time limit passed before the candidate was reached. */
    LATE;

    private static final CandidateStatus[] ALL = values();

    static CandidateStatus ofNumber(int number) {
        return ALL[number];
    }
}
