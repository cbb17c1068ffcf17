package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Two threads check known answers without a pause, while a third publishes, damages, pins, freezes and switches off.
 * The property {@code omomi.test.chaos.seconds} is the duration.
 */
final class LiveChaosTest {
    private static final RequestLayout LAYOUT = RequestLayout.of(Fixture.SCHEMA, Store.CANDIDATES, 16 << 10);
    private static final int DEFAULT_SECONDS = 3;
    /** Memory that the JVM itself may take or release meanwhile. */
    private static final long RESIDENT_SLACK_BYTES = 96 << 20;

    @TempDir
    Path folder;

    private final Random random = new Random(20_261_125);
    private final AtomicReference<LiveModel> live = new AtomicReference<>();
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private final AtomicLong answers = new AtomicLong();
    private final AtomicLong swapsSeen = new AtomicLong();
    private final AtomicLong otherStates = new AtomicLong();
    private volatile boolean isOver;

    private Store store;
    private LiveScorer witness;
    private int storeCount;
    /** The last published generation; then the good ones. */
    private long published;
    private final List<Long> good = new ArrayList<>();

    @Test
    void each_answer_belongs_to_one_good_generation_and_memory_is_freed_no_matter_what_happens_to_the_store() throws Exception {
        for (long generation = 1; generation <= Store.GENERATION_COUNT; generation++) {
            Store.logits(generation);
        }
        int open = Handle.openCount();
        int threads = liveThreads();
        begin();
        Thread[] scoring = {new Thread(this::score), new Thread(this::score)};
        for (Thread thread : scoring) {
            thread.start();
        }
        long seconds = Long.getLong("omomi.test.chaos.seconds", DEFAULT_SECONDS);
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        // After a quarter of the time, everything that is allocated once has been allocated.
        long quarter = end - TimeUnit.SECONDS.toNanos(seconds) * 3 / 4;
        long resident = 0;
        long direct = 0;
        long actions = 0;
        // A busy machine gets more time for the same number of swaps.
        long latest = end + TimeUnit.SECONDS.toNanos(60);
        while ((System.nanoTime() < end || (swapsSeen.get() <= 10 && System.nanoTime() < latest)) && failure.get() == null) {
            act();
            actions++;
            if (resident == 0 && System.nanoTime() > quarter) {
                resident = residentBytes();
                direct = directBuffers();
            }
        }
        long residentNow = residentBytes();
        store.follow();
        publishGood();
        // It is on trial until the next look. Its predecessor stays in memory while a request of it is in progress,
        // which may get no processor on a busy machine.
        long patience = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        do {
            live.get().lookNow();
            Thread.sleep(5);
        } while (live.get().status().retiredCount() > 0 && System.nanoTime() < patience);
        LiveStatus status = live.get().status();
        isOver = true;
        for (Thread thread : scoring) {
            thread.join();
        }
        if (failure.get() != null) {
            throw new AssertionError("after " + actions + " actions", failure.get());
        }
        assertEquals(0, status.retiredCount(), status::json);
        assertEquals(Store.bytes(published).length, status.mappedBytes(), status::json);
        witness.close();
        live.get().close();
        assertEquals(open, Handle.openCount());
        assertEquals(threads, liveThreads());
        String seen = actions + " actions, " + storeCount + " stores, " + answers + " answers, " + swapsSeen + " swaps seen, "
                + otherStates + " without an answer; resident set " + (resident >> 20) + " MiB, then " + (residentNow >> 20) + " MiB";
        System.out.println("chaos: " + seen);
        assertTrue(answers.get() > 100 && swapsSeen.get() > 10 && otherStates.get() > 0, seen);
        assertTrue(residentNow < resident + RESIDENT_SLACK_BYTES, seen);
        long directNow = directBuffers();
        assertTrue(directNow <= direct, direct + " direct buffers, then " + directNow);
    }

    /**
     * Creates a new store and a server that starts on it. The old server ends while others score with its last
     * generation.
     */
    private void begin() throws IOException {
        storeCount++;
        store = new Store(folder.resolve("store-" + storeCount));
        published = 0;
        good.clear();
        publishGood();
        LiveOptions options = Store.options().loadMode(LoadMode.COPY).pollInterval(java.time.Duration.ofMillis(5)).build();
        LiveModel before = live.getAndSet(store.open(options));
        if (witness != null) {
            witness.close();
            before.close();
            remove(folder.resolve("store-" + (storeCount - 1)));
        }
        witness = LiveScorer.open(live.get(), LAYOUT);
    }

    private void act() throws IOException {
        // An action publishes up to two generations, and one more is published at the end.
        if (published + 3 > Store.GENERATION_COUNT) {
            begin();
        }
        switch (random.nextInt(8)) {
            case 0, 1 -> {
                store.follow();
                publishGood();
                expect(published);
            }
            case 2 -> {
                // A bad one is never served, and the next good one is.
                store.publish(++published, damaged(Store.bytes(published)));
                look();
                store.follow();
                publishGood();
                expect(published);
            }
            case 3 -> {
                long any = anyGood();
                byte[] bytes = Store.bytes(any);
                damageInPlace(any, bytes);
                look();
                Files.deleteIfExists(store.path(any));
                store.overwrite(any, bytes);
            }
            case 4, 5 -> {
                long any = anyGood();
                store.order(String.format("on pin %06d", any));
                expect(any);
            }
            case 6 -> {
                store.order("off");
                live.get().lookNow();
                assertEquals(ServingState.OFF, witness.predict(Store.CANDIDATES));
            }
            default -> {
                store.order("on freeze");
                look();
            }
        }
    }

    private void publishGood() throws IOException {
        store.publish(++published);
        good.add(published);
    }

    private long anyGood() {
        return good.get(random.nextInt(good.size()));
    }

    /** Requests a look, or leaves it to the poll. */
    private void look() {
        if (random.nextBoolean()) {
            live.get().lookNow();
        }
    }

    private void expect(long generation) {
        live.get().lookNow();
        assertEquals(ServingState.SERVING, witness.predict(Store.CANDIDATES));
        assertEquals(generation, witness.generation(), () -> live.get().status().json());
    }

    private byte[] damaged(byte[] bytes) {
        switch (random.nextInt(4)) {
            case 0:
                return new byte[bytes.length];
            case 1:
                return new byte[0];
            case 2:
                return Arrays.copyOf(bytes, bytes.length / 2);
            default:
                bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
                return bytes;
        }
    }

    private void damageInPlace(long generation, byte[] bytes) throws IOException {
        if (random.nextInt(4) == 0) {
            Files.delete(store.path(generation));
        } else {
            store.overwrite(generation, damaged(bytes.clone()));
        }
    }

    /** Scores without a pause with the current live model. */
    private void score() {
        Fixture.Text text = new Fixture.Text();
        try {
            while (!isOver && failure.get() == null) {
                LiveModel mine = live.get();
                try (LiveScorer scorer = LiveScorer.open(mine, LAYOUT)) {
                    long before = 0;
                    Fixture.fill(scorer.request(), Store.CANDIDATES, text);
                    while (live.get() == mine && !isOver) {
                        before = ask(scorer, before);
                    }
                } catch (OmomiException closed) {
                    // The live model was replaced in the meantime.
                    assertEquals(Code.CLOSED, closed.code(), closed::toString);
                }
            }
        } catch (Throwable thrown) {
            failure.compareAndSet(null, thrown);
        }
    }

    private long ask(LiveScorer scorer, long before) {
        if (scorer.predict(Store.CANDIDATES) != ServingState.SERVING) {
            otherStates.incrementAndGet();
            return before;
        }
        long generation = scorer.generation();
        double[] known = Store.logits(generation);
        for (int i = 0; i < Store.CANDIDATES; i++) {
            if (Double.doubleToRawLongBits(scorer.logit(i)) != Double.doubleToRawLongBits(known[i])) {
                throw new AssertionError("candidate " + i + " of generation " + generation + ": " + scorer.logit(i)
                        + " instead of " + known[i]);
            }
        }
        answers.incrementAndGet();
        if (before != generation) {
            swapsSeen.incrementAndGet();
            assertEquals("live-ロジック-" + generation, scorer.logicId());
        }
        return generation;
    }

    private static long residentBytes() throws IOException {
        System.gc();
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
            }
        }
        throw new AssertionError("the operating system does not report resident memory");
    }

    /** Returns the number of direct buffers. The JVM frees them some time after they become unreachable. */
    private static long directBuffers() throws InterruptedException {
        long min = Long.MAX_VALUE;
        for (int attempt = 0; attempt < 10; attempt++) {
            System.gc();
            Thread.sleep(20);
            long count = 0;
            for (BufferPoolMXBean pool : ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class)) {
                count += pool.getName().equals("direct") ? pool.getCount() : 0;
            }
            min = Math.min(min, count);
        }
        return min;
    }

    private static void remove(Path folder) throws IOException {
        try (Stream<Path> paths = Files.walk(folder)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }

    /** Returns the number of threads of the native library. */
    static int liveThreads() throws IOException {
        int count = 0;
        try (var tasks = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (Path task : tasks) {
                try {
                    count += Files.readString(task.resolve("comm")).equals("omomi-live\n") ? 1 : 0;
                } catch (IOException ended) {
                    // A thread that has ended is not counted.
                    continue;
                }
            }
        }
        return count;
    }
}
