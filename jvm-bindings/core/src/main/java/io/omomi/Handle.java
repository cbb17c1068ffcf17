package io.omomi;

import java.lang.ref.PhantomReference;
import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongConsumer;

/**
 * A native object that is freed exactly once: by {@code close}, or, if its owner was forgotten, when the next one is
 * created. That is a safety net without threads and finalizers; a server that replaces models creates new handles all
 * the time.
 */
final class Handle extends PhantomReference<Object> {
    private static final ReferenceQueue<Object> FORGOTTEN = new ReferenceQueue<>();
    /** Keeps the references reachable until they are closed. */
    private static final Set<Handle> OPEN = ConcurrentHashMap.newKeySet();

    private final LongConsumer free;
    private long address;

    /** Creates a handle, or one of nothing for the address 0. {@code free} must not refer to {@code owner}. */
    Handle(Object owner, long address, LongConsumer free) {
        super(owner, FORGOTTEN);
        this.address = address;
        this.free = free;
        if (address != 0) {
            OPEN.add(this);
        }
        freeForgotten();
    }

    /** Returns the address of the native object, or 0 after it is closed. */
    long address() {
        return address;
    }

    /** Frees the native object. Later calls do nothing. Callers make sure that no native call is in progress. */
    synchronized void close() {
        if (address != 0) {
            OPEN.remove(this);
            free.accept(address);
            address = 0;
        }
    }

    /** Frees the native objects whose owners were collected without having been closed. */
    static void freeForgotten() {
        for (Reference<?> handle = FORGOTTEN.poll(); handle != null; handle = FORGOTTEN.poll()) {
            ((Handle) handle).close();
        }
    }

    /** Returns the number of native objects that are not freed yet. */
    static int openCount() {
        return OPEN.size();
    }
}
