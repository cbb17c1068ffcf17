package io.omomi;

/** The side of a request that a field belongs to. */
public enum Side {
    /** One value per request, shared by all candidates. */
    CONTEXT("context"),
    /** One value per candidate. */
    CANDIDATE("candidate");

    private final String word;

    Side(String word) {
        this.word = word;
    }

    /** Returns {@code context} or {@code candidate}, as in a contract. */
    public String word() {
        return word;
    }
}
