package io.omomi;

/** Whether all candidates of a request share a field's value. */
public enum Side {
    /** One value a request. */
    CONTEXT("context"),
    /** One value a candidate. */
    CANDIDATE("candidate");

    private final String word;

    Side(String word) {
        this.word = word;
    }

    /** {@code context} or {@code candidate}, as in a contract. */
    public String word() {
        return word;
    }
}
