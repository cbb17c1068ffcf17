package io.omomi;

import java.util.function.LongConsumer;

/** A native object that any number of threads use at the same time. A close waits for calls in progress. */
final class SharedHandle {
    private final Handle handle;
    /** What a call after close says is closed. */
    private final String what;
    /** Number of native calls in progress. */
    private int callCount;
    private boolean isClosed;

    /**
     * Creates a handle. It is the owner of the native object, and so belongs into one field alone: then that object is
     * freed if what has the field is forgotten. {@code free} must not refer to either.
     */
    SharedHandle(long address, LongConsumer free, String what) {
        this.handle = new Handle(this, address, free);
        this.what = what;
    }

    /**
     * Begins a native call, and returns the address of the native object.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    synchronized long begin() {
        if (isClosed) {
            throw OmomiException.closed(what);
        }
        callCount++;
        return handle.address();
    }

    /** Ends a native call. Also keeps this object, and so its handle, open until then. */
    synchronized void end() {
        callCount--;
        notifyAll();
    }

    /** Frees the native object, after calls in progress. May be called twice. */
    synchronized void close() {
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
}
