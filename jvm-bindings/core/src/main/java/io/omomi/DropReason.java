package io.omomi;

import java.util.Locale;

/** Why a record of a {@link ServingLog} was dropped. Every dropped record is counted by its reason. */
public enum DropReason {
    // A test of the native library compares their order with its own numbers.
    /** The ring had no room: the writer, or its disk, is too slow. */
    RING_FULL,
    /** The record is larger than half of the ring, or than a frame. */
    TOO_LARGE,
    /** More records with another source than the model than are allowed per second. */
    RATE_LIMITED,
    /** The caller passed something that cannot be recorded. */
    INVALID,
    /** The disk, or the quota, was full. */
    DISK_FULL,
    /** The system refused to write, for another reason. */
    DISK_FAILED,
    /** The folder or the segment vanished. */
    FOLDER_GONE,
    /** The model of a detail record was no longer in memory. */
    MODEL_GONE,
    /** The log was closed, or the process is a fork of the one that opened it. */
    CLOSED,
    /** A defect in the library; it was caught. */
    DEFECT;

    private static final DropReason[] ALL = values();

    private final String word = name().toLowerCase(Locale.ROOT);

    /** Returns the name in snake case, which is the same in every language and in metrics. */
    public String word() {
        return word;
    }

    int number() {
        return ordinal();
    }

    static DropReason ofNumber(int number) {
        return number < ALL.length ? ALL[number] : DEFECT;
    }
}
