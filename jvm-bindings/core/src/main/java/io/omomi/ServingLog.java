package io.omomi;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;

/**
 * Writes what a server served to a folder, so that the next model learns from it, and every logged answer can be
 * computed again. A thread of the native library writes; request threads record through a {@link LogRing} each and
 * never wait for it. Any number of threads may use one log, and several processes may share a folder.
 *
 * <pre>{@code
 * LogOptions options = LogOptions.builder().name("ad-server-1").build();
 * ServingLog log = ServingLog.open(Paths.get("/var/log/omomi"), options); // once
 * LogRing ring = log.ring(scorer);                                        // for each scorer
 *
 * scorer.predict(candidateCount);                                         // for each request
 * ring.served().clear().requestId(id).position(0);
 * ring.record(best);
 * }</pre>
 *
 * <p>Problems that arise later (a full disk, a folder that vanishes) fail no call: records are dropped, and {@link
 * #metrics} counts them by reason.
 */
public final class ServingLog implements AutoCloseable {
    private final Path folder;
    private final SharedHandle handle;

    private ServingLog(Path folder, long address) {
        this.folder = folder;
        this.handle = new SharedHandle(address, Native::closeServingLog, "serving log");
    }

    /**
     * Opens a log in {@code folder}, which is created if only its last part does not exist. Starts one thread. Also
     * seals what a killed process left there.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} for options that can never work, and for a folder of
     *     another file system than the default one; {@link Code#FILE} if the folder cannot be created
     */
    public static ServingLog open(Path folder, LogOptions options) {
        if (folder == null) {
            throw OmomiException.nullArgument("folder");
        }
        if (options == null) {
            throw OmomiException.nullArgument("options");
        }
        NativeLibrary.load();
        return new ServingLog(folder, Native.openServingLog(PathBytes.of(folder, "folder"), options.encoded()));
    }

    /** Opens a log with the default options: see {@link #open(Path, LogOptions)}. */
    public static ServingLog open(Path folder) {
        return open(folder, LogOptions.defaults());
    }

    /** Returns the folder. */
    public Path folder() {
        return folder;
    }

    /**
     * Opens the ring of a scorer, for the thread that uses the scorer: before its first request, and off the request
     * path. Reads the weight files of its models once, to digest them. The ring of a {@link LiveScorer} or an {@link
     * ExperimentScorer} records every later generation, and the answers of the fallback file. That of an experiment
     * scorer also fills in experiment, arm and bucket, and records what shadows answered.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} for a scorer of {@link TestScorers}, which has no model
     *     to log; {@link Code#SCORER_BUSY} if the scorer is in use at this moment; {@link Code#OUT_OF_MEMORY}; {@link
     *     Code#CLOSED}
     */
    public LogRing ring(AbstractScorer scorer) {
        if (scorer == null) {
            throw OmomiException.nullArgument("scorer");
        }
        if (scorer.address == 0) {
            throw OmomiException.invalidArgument(
                    "scorer", "its answers are given by a test, so there is no model to log");
        }
        long address = handle.begin();
        try {
            scorer.request.hold();
            try {
                return new LogRing(scorer.request, Native.openLogRing(address, scorer.address));
            } finally {
                scorer.request.leave();
            }
        } finally {
            handle.end();
        }
    }

    /**
     * Opens a ring for events, on a thread that scores nothing.
     *
     * @throws OmomiException with {@link Code#OUT_OF_MEMORY} or {@link Code#CLOSED}
     */
    public LogRing eventRing() {
        long address = handle.begin();
        try {
            return new LogRing(null, Native.openEventRing(address));
        } finally {
            handle.end();
        }
    }

    /**
     * Has everything written that was recorded before this call, and waits up to {@code timeout} for it. For tests, and
     * before a planned end.
     *
     * @return whether it is written, or counted as dropped
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public boolean flush(Duration timeout) {
        if (timeout == null) {
            throw OmomiException.nullArgument("timeout");
        }
        long address = handle.begin();
        try {
            return Native.flushServingLog(address, millis(timeout));
        } finally {
            handle.end();
        }
    }

    /**
     * Returns what was written and what was dropped. Never makes a request wait.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public LogMetrics metrics() {
        long address = handle.begin();
        try {
            return new LogMetrics(Native.servingLogMetrics(address));
        } finally {
            handle.end();
        }
    }

    /**
     * Writes the current metrics as Prometheus text ({@code text/plain; version=0.0.4}, UTF-8) at the position of a
     * direct buffer, and moves the position to the end of the text. Every series has the label {@code log}, the name of
     * the folder. No family has the name of one of {@link LiveModel#writePrometheus}, so one page can have both.
     *
     * @throws OmomiException with {@link Code#WRONG_SIZE} and the required length if the buffer has too little room
     *     (its position is unchanged); {@link Code#INVALID_ARGUMENT} for a buffer that is not direct or is read-only;
     *     {@link Code#CLOSED}
     */
    public void writePrometheus(ByteBuffer buffer) {
        PrometheusText.write(handle, buffer, Native::servingLogPrometheus);
    }

    /**
     * Returns the place of a request, from 0 to 999,999. The request is in every sample of more requests in a million
     * than its place, in every service and every language with that salt.
     *
     * @throws OmomiException with {@link Code#NOT_UTF8} for an unpaired surrogate
     */
    public static int samplePlace(long salt, CharSequence requestId) {
        if (requestId == null) {
            throw OmomiException.nullArgument("requestId");
        }
        NativeLibrary.load();
        return Native.samplePlace(salt, Utf8.strict(requestId, "requestId"));
    }

    /**
     * Closes the log after calls in progress: writes what was recorded, seals the last segment and ends the thread,
     * within 2 seconds even if a disk hangs. Rings that are still open drop what they are given from now on. May be
     * called twice.
     */
    @Override
    public void close() {
        handle.close();
    }

    private static long millis(Duration timeout) {
        try {
            return Math.max(0, timeout.toMillis());
        } catch (ArithmeticException beyond) {
            return timeout.isNegative() ? 0 : Long.MAX_VALUE;
        }
    }

    @Override
    public String toString() {
        return "ServingLog(" + folder + ")";
    }
}
