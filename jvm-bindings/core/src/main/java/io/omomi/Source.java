package io.omomi;

/**
 * Where a logged value is from: the model, or the server, because the model gave none. The server's value may be that
 * of a fallback file.
 */
public enum Source {
    // A test of the native library compares their order with its own numbers.
    /** The model. */
    MODEL,
    /** The server, or its fallback file: scoring is switched off. */
    OFF,
    /** The server, or its fallback file: there is no model. */
    NO_MODEL,
    /** The server: the candidate was not reached in time. */
    LATE,
    /** The server: the candidate, or the request, was refused. */
    REFUSED;

    int number() {
        return ordinal() + 1;
    }
}
