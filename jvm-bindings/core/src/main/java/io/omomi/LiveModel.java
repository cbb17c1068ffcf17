package io.omomi;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/**
 * The model that a store says is to be served, now and later: a thread of the native library follows the store, verifies each
 * generation before it answers, and takes away what is no longer used. Make one for each store, and a {@link LiveScorer} for each
 * thread. Any number of threads may use one.
 *
 * <p>Opening never fails because of what is in the store: the last good generation is served, or none yet, and {@link #status}
 * says why.
 *
 * <pre>{@code
 * LiveModel live = LiveModel.open(Paths.get("/srv/feed-ctr"), schema, LiveOptions.builder().name("ad-server-1").build());
 * LiveScorer scorer = LiveScorer.open(live, layout);
 * }</pre>
 */
public final class LiveModel implements AutoCloseable {
    private final Path dir;
    private final Handle handle;
    /** Native calls that are under way: a close waits for them. */
    private int callCount;
    private boolean isClosed;

    private LiveModel(Path dir, long address) {
        this.dir = dir;
        this.handle = new Handle(this, address, Native::closeLiveModel);
    }

    /**
     * Follows the store in {@code dir} for a server that declares {@code schema}, and returns when it has been looked at once:
     * then a good generation is served already, if there is one.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} for options that would never work
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
        byte[] path = Utf8.strict(dir.toString(), "the directory");
        return new LiveModel(dir, Native.openLiveModel(path, schema.encoded(), options.encoded()));
    }

    /** The same with the default options. */
    public static LiveModel open(Path dir, Schema schema) {
        return open(dir, schema, LiveOptions.defaults());
    }

    /** The directory of the store. */
    public Path dir() {
        return dir;
    }

    /**
     * Looks at the store now instead of at the next poll, and returns when that is done: seconds, if there is a large file to
     * load. That nothing good was found is no failure: see {@link #status}.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public void lookNow() {
        long address = begin();
        try {
            Native.lookNow(address);
        } finally {
            end();
        }
    }

    /**
     * Whether requests got answers at the last look.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public ServingState state() {
        long address = begin();
        try {
            return ServingState.ofNumber(Native.servingState(address));
        } finally {
            end();
        }
    }

    /**
     * What is served and why, and what is not as it should be, as it was at the last look.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public LiveStatus status() {
        long address = begin();
        try {
            return new LiveStatus(Native.liveStatus(address));
        } finally {
            end();
        }
    }

    /**
     * Whether the thread that follows the store has looked at it lately, or is loading a generation. Requests are answered without
     * it, too, but no publication and no {@code off} reaches them: a reason to restart the process.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public boolean isLive() {
        return (health() & 1) != 0;
    }

    /**
     * Whether requests may be sent here: a generation answers, or the server answers by its own logic, because scoring was
     * switched off or because {@link LiveOptions.Builder#hasFallback} says that it does without a model.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public boolean isReady() {
        return (health() & 2) != 0;
    }

    private int health() {
        long address = begin();
        try {
            return Native.liveHealth(address);
        } finally {
            end();
        }
    }

    /**
     * The numbers of this moment. No request waits for it.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public LiveMetrics metrics() {
        long address = begin();
        try {
            return new LiveMetrics(Native.liveMetrics(address));
        } finally {
            end();
        }
    }

    /**
     * Writes the numbers of this moment as Prometheus text ({@code text/plain; version=0.0.4}, UTF-8) at the position of a direct
     * buffer, and moves that behind it. Every series has the labels {@code store} and {@code logic_id}. Allocates nothing.
     *
     * @throws OmomiException with {@link Code#WRONG_SIZE}, which says how much is needed, if the buffer has too little room, and
     *     is as it was but for the bytes behind its position; {@link Code#INVALID_ARGUMENT} for a buffer that is not direct or
     *     is read-only; {@link Code#CLOSED}
     */
    public void writePrometheus(ByteBuffer buffer) {
        if (buffer == null) {
            throw OmomiException.nullArgument("buffer");
        }
        if (!buffer.isDirect() || buffer.isReadOnly()) {
            throw OmomiException.invalidArgument("buffer", "expected a direct buffer that can be written, found another one");
        }
        long address = begin();
        try {
            long len = Native.livePrometheus(address, buffer, buffer.position(), buffer.limit());
            if (len > buffer.remaining()) {
                throw new OmomiException(
                        Code.WRONG_SIZE,
                        "the buffer has the wrong size: expected " + len + " bytes of room, found " + buffer.remaining());
            }
            // As a Buffer, whose method older JDKs have, too.
            ((Buffer) buffer).position(buffer.position() + (int) len);
        } finally {
            end();
        }
    }

    /**
     * Ends the thread that follows the store, after calls that are under way. Live scorers go on with the generation that they
     * have. May be called twice.
     */
    @Override
    public synchronized void close() {
        isClosed = true;
        boolean wasInterrupted = false;
        while (callCount > 0) {
            try {
                wait();
            } catch (InterruptedException interrupted) {
                wasInterrupted = true;
            }
        }
        handle.close();
        if (wasInterrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** A native scorer over the block of {@code request}; the set is 0 for none. */
    long openScorer(RequestLayout layout, long set, Request request) {
        long address = begin();
        try {
            return Native.openLiveScorer(address, layout.encoded(), set, request.block);
        } finally {
            end();
        }
    }

    private synchronized long begin() {
        if (isClosed) {
            throw OmomiException.closed("live model");
        }
        callCount++;
        return handle.address();
    }

    /** Also keeps this object reachable until the native call is over, and with it the handle open. */
    private synchronized void end() {
        callCount--;
        notifyAll();
    }

    @Override
    public String toString() {
        return "LiveModel(" + dir + ")";
    }
}
