package io.omomi;

/** Who must act on an error. */
public enum Owner {
    /** The team that trains and packs. */
    ML("ml"),
    /** The team that runs the server. */
    DELIVERY("delivery"),
    /** The team that runs machines, disks and copies. */
    INFRA("infra");

    private final String word;

    Owner(String word) {
        this.word = word;
    }

    /** Returns {@code ml}, {@code delivery} or {@code infra}, which is the same word in every language. */
    public String word() {
        return word;
    }
}
