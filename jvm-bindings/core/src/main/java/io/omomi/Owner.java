package io.omomi;

/** Who must act on an error. */
public enum Owner {
    /** The team that trains and packs. */
    ML("ml"),
    /** The team that runs the server. */
    DELIVERY("delivery"),
    /** Whoever keeps machines, disks and copies. */
    INFRA("infra");

    private final String word;

    Owner(String word) {
        this.word = word;
    }

    /** {@code ml}, {@code delivery} or {@code infra}, the same word in every language. */
    public String word() {
        return word;
    }
}
