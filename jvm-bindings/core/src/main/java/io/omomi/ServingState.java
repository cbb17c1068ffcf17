package io.omomi;

/**
 * Whether requests get answers. No state is a failure: if there are no answers, the server answers by its own logic.
 */
public enum ServingState {
    /** A generation answers. */
    SERVING,
    /** No generation has been served yet. */
    NO_MODEL,
    /** Scoring is switched off. */
    OFF;

    private static final ServingState[] ALL = values();

    /** Returns the state with that number of the native library. A test compares the two tables. */
    static ServingState ofNumber(int number) {
        return ALL[number];
    }
}
