package io.omomi;

import java.time.Duration;
import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * Metrics of a {@link ServingLog} at one moment. Immutable. Counts never decrease while the log is open, except for
 * {@link #writtenCount} when a segment vanishes: its records are then counted as dropped.
 */
public final class LogMetrics {
    private final long writtenCount;
    private final long sampledOutCount;
    private final Map<DropReason, Long> droppedCounts;
    private final long openRingCount;
    private final long writtenBytes;
    private final long sealedSegmentCount;
    private final long recoveredSegmentCount;
    private final long deletedSegmentCount;
    private final long deletedRecordCount;
    private final long folderLenBytes;
    private final OptionalLong oldestWaitingNanos;
    private final boolean isWriting;
    private final @Nullable String problem;
    private final @Nullable Duration problemAge;

    LogMetrics(byte[] bytes) {
        Encoded encoded = new Encoded(bytes);
        writtenCount = encoded.number();
        sampledOutCount = encoded.number();
        Map<DropReason, Long> dropped = new EnumMap<>(DropReason.class);
        long[] counts = encoded.numbers();
        for (int number = 0; number < counts.length; number++) {
            if (counts[number] != 0) {
                dropped.put(DropReason.ofNumber(number), counts[number]);
            }
        }
        droppedCounts = Collections.unmodifiableMap(dropped);
        openRingCount = encoded.number();
        writtenBytes = encoded.number();
        sealedSegmentCount = encoded.number();
        recoveredSegmentCount = encoded.number();
        deletedSegmentCount = encoded.number();
        deletedRecordCount = encoded.number();
        folderLenBytes = encoded.number();
        oldestWaitingNanos = encoded.optional();
        isWriting = encoded.flag();
        boolean hasProblem = encoded.flag();
        problem = hasProblem ? encoded.text() : null;
        problemAge = hasProblem ? Duration.ofNanos(encoded.number()) : null;
    }

    /** Returns the number of records written. */
    public long writtenCount() {
        return writtenCount;
    }

    /** Returns the number of records left out because their requests are outside the sample. */
    public long sampledOutCount() {
        return sampledOutCount;
    }

    /** Returns the number of records dropped, by reason. Reasons with a count of 0 are left out. */
    public Map<DropReason, Long> droppedCounts() {
        return droppedCounts;
    }

    /** Returns the number of records dropped for one reason. */
    public long droppedCount(DropReason reason) {
        if (reason == null) {
            throw OmomiException.nullArgument("reason");
        }
        return droppedCounts.getOrDefault(reason, 0L);
    }

    /** Returns the number of records dropped for all reasons together. */
    public long droppedCount() {
        return droppedCounts.values().stream().mapToLong(Long::longValue).sum();
    }

    /** Returns the number of rings that are open. */
    public long openRingCount() {
        return openRingCount;
    }

    /** Returns the number of bytes written to segments. */
    public long writtenBytes() {
        return writtenBytes;
    }

    /** Returns the number of segments sealed. */
    public long sealedSegmentCount() {
        return sealedSegmentCount;
    }

    /** Returns the number of segments of killed processes that were sealed. */
    public long recoveredSegmentCount() {
        return recoveredSegmentCount;
    }

    /** Returns the number of sealed segments that were deleted to keep the limit of the folder. */
    public long deletedSegmentCount() {
        return deletedSegmentCount;
    }

    /** Returns the number of records in the deleted segments. */
    public long deletedRecordCount() {
        return deletedRecordCount;
    }

    /** Returns the total length of the segments in the folder, when the current one was begun. */
    public long folderLenBytes() {
        return folderLenBytes;
    }

    /** Returns how long the oldest record has been waiting for the disk, in nanoseconds, if one is. */
    public OptionalLong oldestWaitingNanos() {
        return oldestWaitingNanos;
    }

    /** Returns whether the thread that writes runs. */
    public boolean isWriting() {
        return isWriting;
    }

    /** Returns the last problem, for people. */
    public Optional<String> problem() {
        return Optional.ofNullable(problem);
    }

    /** Returns how long ago the last problem arose. */
    public Optional<Duration> problemAge() {
        return Optional.ofNullable(problemAge);
    }

    /** Gives the most important numbers, for people. */
    @Override
    public String toString() {
        return "LogMetrics(" + writtenCount + " records written, " + sampledOutCount + " outside the sample, dropped "
                + droppedCounts + (problem == null ? ")" : ", last problem: " + problem + ")");
    }
}
