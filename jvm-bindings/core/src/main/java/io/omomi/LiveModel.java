package io.omomi;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Serves the model that a store names as current, and every later one. A thread of the native library follows the
 * store, verifies each generation before it answers, and frees what is no longer used. Open one for each store, and a
 * {@link LiveScorer} for each thread. Any number of threads may use one live model.
 *
 * <p>Opening never fails because of the contents of the store. If no new generation is good, the last good one is
 * served, or none; {@link #status} gives the reasons.
 *
 * <p>If native code forks the JVM's process, calls in the fork throw {@link Code#FORKED}: the thread is not there.
 *
 * <pre>{@code
 * LiveOptions options = LiveOptions.builder().name("ad-server-1").build();
 * LiveModel live = LiveModel.open(Paths.get("/srv/feed-ctr"), schema, options);
 * LiveScorer scorer = LiveScorer.open(live, layout);
 * }</pre>
 */
public final class LiveModel implements AutoCloseable {
    private final Path dir;
    private final SharedHandle handle;

    private LiveModel(Path dir, long address) {
        this.dir = dir;
        this.handle = new SharedHandle(address, Native::closeLiveModel, "live model");
    }

    /**
     * Opens the store in {@code dir} for a server that declares {@code schema}. Returns after the first look at the
     * store, so a good generation, if there is one, already answers.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} for options that can never work, and for a directory of
     *     another file system than the default one. If the fallback file is not good, with the code that says why.
     */
    public static LiveModel open(Path dir, Schema schema, LiveOptions options) {
        if (dir == null) {
            throw OmomiException.nullArgument("dir");
        }
        if (schema == null) {
            throw OmomiException.nullArgument("schema");
        }
        if (options == null) {
            throw OmomiException.nullArgument("options");
        }
        NativeLibrary.load();
        byte[] path = PathBytes.of(dir, "dir");
        return new LiveModel(dir, Native.openLiveModel(path, schema.encoded(), options.encoded()));
    }

    /** Opens the store in {@code dir} with the default options: see {@link #open(Path, Schema, LiveOptions)}. */
    public static LiveModel open(Path dir, Schema schema) {
        return open(dir, schema, LiveOptions.defaults());
    }

    /** Returns the directory of the store. */
    public Path dir() {
        return dir;
    }

    /**
     * Looks at the store now instead of at the next poll, and returns after that look. Takes seconds if there is a
     * large file to load. Finding no good generation is not an error: see {@link #status}.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public void lookNow() {
        long address = handle.begin();
        try {
            Native.lookNow(address);
        } finally {
            handle.end();
        }
    }

    /**
     * Returns whether requests got answers at the last look.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public ServingState state() {
        long address = handle.begin();
        try {
            return ServingState.ofNumber(Native.servingState(address));
        } finally {
            handle.end();
        }
    }

    /**
     * Returns what is served, and what is wrong, at the last look.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public LiveStatus status() {
        long address = handle.begin();
        try {
            return new LiveStatus(Native.liveStatus(address));
        } finally {
            handle.end();
        }
    }

    /**
     * Returns whether the thread that follows the store looked at it recently, or is loading a generation. If not,
     * requests are still answered, but no publication and no {@code off} reaches them: restart the process.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public boolean isLive() {
        return (health() & 1) != 0;
    }

    /**
     * Returns whether requests may be sent here: a generation answers, or the server answers by its own logic, because
     * scoring is switched off, or because there is no model and {@link LiveOptions.Builder#hasFallback} or {@link
     * LiveOptions.Builder#fallbackFile} is set.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public boolean isReady() {
        return (health() & 2) != 0;
    }

    private int health() {
        long address = handle.begin();
        try {
            return Native.liveHealth(address);
        } finally {
            handle.end();
        }
    }

    /**
     * Returns the logic id of the {@linkplain LiveOptions.Builder#fallbackFile fallback file}, if there is one.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public Optional<String> fallbackLogicId() {
        long address = handle.begin();
        try {
            return Optional.ofNullable(Native.liveFallbackLogicId(address));
        } finally {
            handle.end();
        }
    }

    /**
     * Takes a snapshot of all metrics. Never makes a request wait.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public LiveMetrics metrics() {
        long address = handle.begin();
        try {
            return new LiveMetrics(Native.liveMetrics(address));
        } finally {
            handle.end();
        }
    }

    /**
     * Writes the current metrics as Prometheus text ({@code text/plain; version=0.0.4}, UTF-8) at the position of a
     * direct buffer, and moves the position to the end of the text. Every series has the labels {@code store} and
     * {@code logic_id}. Allocates nothing.
     *
     * @throws OmomiException with {@link Code#WRONG_SIZE} and the required length if the buffer has too little room
     *     (its position is unchanged, the bytes after it are not); {@link Code#INVALID_ARGUMENT} for a buffer that is
     *     not direct or is read-only; {@link Code#CLOSED}
     */
    public void writePrometheus(ByteBuffer buffer) {
        PrometheusText.write(handle, buffer, Native::livePrometheus);
    }

    /**
     * Closes the live model: ends the thread that follows the store, after calls in progress. Live scorers continue
     * with the generation that they have. May be called twice.
     */
    @Override
    public void close() {
        handle.close();
    }

    /** Opens a native scorer over the block of {@code request}. The set is 0 for none. */
    long openScorer(RequestLayout layout, long set, Request request) {
        long address = handle.begin();
        try {
            return Native.openLiveScorer(address, layout.encoded(), set, request.block);
        } finally {
            handle.end();
        }
    }

    @Override
    public String toString() {
        return "LiveModel(" + dir + ")";
    }
}
