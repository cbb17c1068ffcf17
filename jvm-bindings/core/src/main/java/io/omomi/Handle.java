package io.omomi;

import java.lang.ref.PhantomReference;
import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongConsumer;

/**
 * A native object, freed once: by {@code close}, or, if its owner was forgotten, when the next one is made. That is a
 * safety net without a thread and without finalizers; a server that replaces models makes new handles all the time.
 */
final class Handle extends PhantomReference<Object> {
    private static final ReferenceQueue<Object> FORGOTTEN = new ReferenceQueue<>();
    /** Keeps the references reachable until they are closed. */
    private static final Set<Handle> OPEN = ConcurrentHashMap.newKeySet();

    private final LongConsumer free;
    private long address;

    /** {@code free} must not refer to {@code owner}. */
    Handle(Object owner, long address, LongConsumer free) {
        super(owner, FORGOTTEN);
        this.address = address;
        this.free = free;
        OPEN.add(this);
        freeForgotten();
    }

    /** The native object's address, 0 once it is closed. */
    long address() {
        return address;
    }

    /** Frees the native object. Only the first call does something; callers see to it that no native call is under way. */
    synchronized void close() {
        if (address != 0) {
            OPEN.remove(this);
            free.accept(address);
            address = 0;
        }
    }

    /** Frees the native objects whose owners are gone without having been closed. */
    static void freeForgotten() {
        for (Reference<?> handle = FORGOTTEN.poll(); handle != null; handle = FORGOTTEN.poll()) {
            ((Handle) handle).close();
        }
    }

    /** Native objects that are not freed yet. */
    static int openCount() {
        return OPEN.size();
    }
}
