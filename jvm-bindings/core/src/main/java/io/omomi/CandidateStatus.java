package io.omomi;

/** What became of one candidate. Any status but {@link #SCORED} means that logit and probability are NaN. */
public enum CandidateStatus {
    // The ordinal is the number in the answer; a test of the native library holds the order against its own.
    /** It has a logit and a probability. */
    SCORED,
    /** A text or a list of values lies outside the part of the tail that is in use. */
    OUTSIDE_TAIL,
    /** A text is not UTF-8: its string has an unpaired surrogate. */
    NOT_UTF8,
    /** A list has more values than a row may have. */
    TOO_MANY_VALUES,
    /** The candidate set holds no candidate at that index. */
    NO_CANDIDATE,
    /** The time was up before it was reached. */
    LATE;

    private static final CandidateStatus[] ALL = values();

    static CandidateStatus ofNumber(int number) {
        return ALL[number];
    }
}
