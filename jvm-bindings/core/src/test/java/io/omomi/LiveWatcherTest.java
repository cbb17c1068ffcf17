package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A listener is told each change once, on the thread that runs the watcher. */
final class LiveWatcherTest {
    /** Notes what it is told. */
    private static final class Notes implements LiveListener {
        private final List<String> notes = new ArrayList<>();

        @Override
        public void onSwap(LiveStatus.Served served) {
            notes.add("swap " + served.generation());
        }

        @Override
        public void onState(ServingState state) {
            notes.add("state " + state);
        }

        @Override
        public void onReason(LiveStatus.Reason reason) {
            notes.add("reason " + reason.code());
        }

        @Override
        public void onReasonGone(LiveStatus.Reason reason) {
            notes.add("gone " + reason.code());
        }

        List<String> take() {
            List<String> taken = List.copyOf(notes);
            notes.clear();
            return taken;
        }
    }

    @Test
    void each_change_is_told_once(@TempDir Path folder) throws Exception {
        Store store = new Store(folder.resolve("feed"));
        Notes notes = new Notes();
        LiveModel live = store.open();
        LiveWatcher watcher = new LiveWatcher(live, notes);
        watcher.run();
        List<String> first = notes.take();
        assertEquals("state NO_MODEL", first.get(0));
        assertEquals(1, first.stream().filter(note -> note.startsWith("reason ")).count(), first.toString());
        watcher.run();
        assertEquals(List.of(), notes.take());

        store.publish(1);
        live.lookNow();
        watcher.run();
        assertEquals(List.of("swap 1", "state SERVING", first.get(1).replace("reason", "gone")), notes.take());
        store.publish(2);
        live.lookNow();
        live.lookNow();
        watcher.run();
        watcher.run();
        assertEquals(List.of("swap 2"), notes.take());

        live.close();
        watcher.run();
        assertEquals(List.of(), notes.take());
    }

    @Test
    void what_a_listener_throws_is_thrown_after_the_other_changes_are_told(@TempDir Path folder) throws Exception {
        Store store = new Store(folder.resolve("feed"));
        store.publish(1);
        Notes notes = new Notes();
        try (LiveModel live = store.open()) {
            LiveWatcher watcher = new LiveWatcher(live, new LiveListener() {
                @Override
                public void onSwap(LiveStatus.Served served) {
                    notes.onSwap(served);
                    if (served.generation() == 1) {
                        throw new IllegalStateException("the listener's own fault");
                    }
                }

                @Override
                public void onState(ServingState state) {
                    notes.onState(state);
                }
            });
            assertThrows(IllegalStateException.class, watcher::run);
            watcher.run();
            store.publish(2);
            live.lookNow();
            watcher.run();
            assertEquals(List.of("swap 1", "state SERVING", "swap 2"), notes.take());
        }
    }

    @Test
    void a_watcher_needs_a_live_model_and_a_listener(@TempDir Path folder) throws Exception {
        try (LiveModel live = new Store(folder.resolve("feed")).open()) {
            for (Runnable careless : new Runnable[] {
                () -> new LiveWatcher(null, new Notes()), () -> new LiveWatcher(live, null)
            }) {
                assertEquals(Code.NULL_ARGUMENT, assertThrows(OmomiException.class, careless::run).code());
            }
        }
    }
}
