package io.omomi;

import org.jspecify.annotations.Nullable;

/** What became of a record. The request goes on in any case. Later versions may have more values. */
public enum Recorded {
    /** The writer will write it. */
    QUEUED(null),
    /** The request is outside the sample. */
    SAMPLED_OUT(null),
    /** Dropped and counted: the ring had no room, because the writer, or its disk, is too slow. */
    DROPPED_RING_FULL(DropReason.RING_FULL),
    /** Dropped and counted: it is larger than half of the ring, or than a frame. */
    DROPPED_TOO_LARGE(DropReason.TOO_LARGE),
    /** Dropped and counted: there were more records with another source than the model than are allowed per second. */
    DROPPED_RATE_LIMITED(DropReason.RATE_LIMITED),
    /** No call returns this: what cannot be recorded is an exception with {@link Code#RECORD_INVALID}. */
    DROPPED_INVALID(DropReason.INVALID),
    /** No call returns this: it happens later, and is in the metrics. */
    DROPPED_DISK_FULL(DropReason.DISK_FULL),
    /** No call returns this: it happens later, and is in the metrics. */
    DROPPED_DISK_FAILED(DropReason.DISK_FAILED),
    /** No call returns this: it happens later, and is in the metrics. */
    DROPPED_FOLDER_GONE(DropReason.FOLDER_GONE),
    /** No call returns this: it happens later, and is in the metrics. */
    DROPPED_MODEL_GONE(DropReason.MODEL_GONE),
    /** Dropped and counted: the log is closed, or the process is a fork of the one that opened it. */
    DROPPED_CLOSED(DropReason.CLOSED),
    /** No call returns this: it happens later, and is in the metrics. */
    DROPPED_DEFECT(DropReason.DEFECT);

    /** The number of the first reason, as the native library returns it. */
    private static final int FIRST_DROPPED = 16;

    private static final Recorded[] ALL = values();

    private final @Nullable DropReason reason;

    Recorded(@Nullable DropReason reason) {
        this.reason = reason;
    }

    /** Returns why the record was dropped, or null if it was not. */
    public @Nullable DropReason dropReason() {
        return reason;
    }

    /** Returns whether the record was dropped. */
    public boolean isDropped() {
        return reason != null;
    }

    /** Returns the value of a number that the native library returned. */
    static Recorded ofNumber(int number) {
        if (number == 0) {
            return QUEUED;
        }
        return number < FIRST_DROPPED ? SAMPLED_OUT : ALL[number - FIRST_DROPPED + DROPPED_RING_FULL.ordinal()];
    }
}
