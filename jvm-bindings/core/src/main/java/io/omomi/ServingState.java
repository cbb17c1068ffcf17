package io.omomi;

/** Whether requests get answers. None of these is a failure: a server answers by its own logic where this one does not. */
public enum ServingState {
    /** A generation answers. */
    SERVING,
    /** There is none that could be served yet. */
    NO_MODEL,
    /** People switched scoring off. */
    OFF;

    private static final ServingState[] ALL = values();

    /** The state of a number that the native library gave, whose table is held against this one by a test. */
    static ServingState ofNumber(int number) {
        return ALL[number];
    }
}
