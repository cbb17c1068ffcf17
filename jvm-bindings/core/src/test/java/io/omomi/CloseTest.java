package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** What a close does with the memory of a request, and with threads that do not know of it yet. */
final class CloseTest {
    private static final int ROUNDS = 200;
    private static final RequestLayout LARGE = RequestLayout.of(Fixture.SCHEMA, 500, 6 << 20);
    private static final int CANDIDATES = 50;
    private static final Set<Code> REFUSALS = EnumSet.of(Code.CLOSED, Code.SCORER_BUSY, Code.TAIL_FULL);

    /** Opens, fills and closes scorers of 6 MiB, and sets of 1 MiB. Prints by how many KiB the process has grown. */
    static final class Rounds {
        private Rounds() {}

        public static void main(String[] arguments) throws IOException {
            Fixture.Text text = new Fixture.Text();
            try (Model model = Fixture.model()) {
                long first = 0;
                for (int round = 0; round < ROUNDS; round++) {
                    if (round == ROUNDS / 10) {
                        first = residentKib();
                    }
                    try (Scorer scorer = Scorer.open(model, LARGE); CandidateSet set = Fixture.candidateSet(3, text)) {
                        Fixture.fill(scorer.request(), 500, text);
                        scorer.predict();
                        set.remove(0);
                    }
                }
                long collections = 0;
                for (GarbageCollectorMXBean collector : ManagementFactory.getGarbageCollectorMXBeans()) {
                    collections += Math.max(0, collector.getCollectionCount());
                }
                System.out.println((residentKib() - first) + " " + collections);
            }
        }

        private static long residentKib() throws IOException {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmRSS:")) {
                    return Long.parseLong(line.replaceAll("[^0-9]", ""));
                }
            }
            throw new IOException("no VmRSS");
        }
    }

    @Test
    void two_hundred_rounds_of_a_large_scorer_take_the_memory_of_a_few_without_a_collection() throws Exception {
        ChildJvm jvm = new ChildJvm().main(Rounds.class).option("-XX:MaxDirectMemorySize=4g").option("-Xms256m");
        String[] output = jvm.run().strip().split(" ");
        assertEquals("0", output[output.length - 1], () -> "collections: " + String.join(" ", output));
        long grownKib = Long.parseLong(output[0]);
        // All rounds together have 1,400 MiB.
        assertTrue(grownKib < 24 << 10, () -> grownKib + " KiB");
    }

    /** The JVM counts a closed block until it collects it, and collects when its limit is reached. */
    @Test
    void rounds_beyond_the_limit_of_direct_memory_go_on() throws Exception {
        String output = new ChildJvm().main(Rounds.class).option("-XX:MaxDirectMemorySize=64m").run();
        assertTrue(output.matches("-?\\d+ [1-9]\\d*\\s*"), output);
    }

    static final class NoMemory {
        private NoMemory() {}

        public static void main(String[] arguments) {
            try (Model model = Fixture.model()) {
                Scorer.open(model, LARGE);
            } catch (OmomiException refused) {
                System.out.println(refused);
            }
        }
    }

    @Test
    void no_memory_for_a_block_is_a_refusal_that_names_the_limit() throws Exception {
        String output = new ChildJvm().main(NoMemory.class).option("-XX:MaxDirectMemorySize=1m").run();
        assertTrue(output.contains("out_of_memory (infra): no memory outside the heap"), output);
        assertTrue(output.contains("-XX:MaxDirectMemorySize"), output);
    }

    /**
     * In every round, one scorer is closed while two threads set fields through rows that they kept, and another one is
     * opened, filled and scored at once. If a late setter reached the memory of the new one, its answers would differ.
     */
    @Test
    void late_setters_of_a_closed_scorer_reach_no_other_scorer() throws Exception {
        Fixture.Text text = new Fixture.Text();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        try (Model model = Fixture.model()) {
            double[] expected = logits(model, text);
            for (int round = 0; round < 150; round++) {
                boolean isOwnedByThisThread = round % 3 == 0;
                Scorer scorer = Scorer.open(model, Fixture.LAYOUT);
                Row context = scorer.request().context();
                Row candidate = scorer.request().candidate(0);
                if (!isOwnedByThisThread) {
                    scorer.handOver();
                }
                CountDownLatch started = new CountDownLatch(2);
                AtomicBoolean stop = new AtomicBoolean();
                List<Thread> late = new ArrayList<>();
                for (int number = 0; number < 2; number++) {
                    Thread thread = new Thread(() -> {
                        try {
                            setUntilClosed(context, candidate, started, stop);
                        } catch (Throwable thrown) {
                            failure.set(thrown);
                            started.countDown();
                        }
                    });
                    thread.start();
                    late.add(thread);
                }
                started.await();
                scorer.close();
                for (int next = 0; next < 3; next++) {
                    assertEquals(List.of(), differences(expected, logits(model, text)));
                }
                stop.set(true);
                for (Thread thread : late) {
                    thread.join();
                }
            }
        }
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
    }

    private static void setUntilClosed(Row context, Row candidate, CountDownLatch started, AtomicBoolean stop) {
        boolean isRunning = false;
        while (!stop.get()) {
            try {
                context.setId(Fixture.MEDIA_ID, -1).setText(Fixture.REGION, "遅い").setTextValue(Fixture.REGION, -1);
                context.setTexts(Fixture.INTEREST, List.of("遅", "い")).setNumber(Fixture.FLOOR_PRICE, 1).clear();
                candidate.setId(Fixture.CREATIVE_ID, -1).setText(Fixture.CATEGORY, "遅い").unset(Fixture.CATEGORY);
            } catch (OmomiException refused) {
                assertTrue(REFUSALS.contains(refused.code()), refused.toString());
            }
            if (!isRunning) {
                isRunning = true;
                started.countDown();
            }
        }
    }

    private static double[] logits(Model model, Fixture.Text text) {
        double[] logits = new double[CANDIDATES];
        try (Scorer scorer = Scorer.open(model, Fixture.LAYOUT)) {
            Fixture.fill(scorer.request(), CANDIDATES, text);
            scorer.predict();
            for (int i = 0; i < CANDIDATES; i++) {
                logits[i] = scorer.logit(i);
            }
        }
        return logits;
    }

    private static List<Integer> differences(double[] expected, double[] found) {
        List<Integer> differences = new ArrayList<>();
        for (int i = 0; i < expected.length; i++) {
            if (expected[i] != found[i]) {
                differences.add(i);
            }
        }
        return differences;
    }

    /** Zeros of memory that went back to the system would be probabilities of 0. */
    @Test
    void a_thread_that_reads_answers_during_a_close_finds_them_or_an_exception() throws Exception {
        Fixture.Text text = new Fixture.Text();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        try (Model model = Fixture.model()) {
            for (int round = 0; round < 100; round++) {
                Scorer scorer = Scorer.open(model, Fixture.LAYOUT);
                CountDownLatch started = new CountDownLatch(1);
                Thread reader = new Thread(() -> {
                    float[] probabilities = new float[500];
                    try {
                        Fixture.fill(scorer.request(), 500, text);
                        scorer.predict();
                        started.countDown();
                        while (true) {
                            scorer.predict();
                            assertEquals(500, scorer.probabilities(probabilities));
                            for (int i = 0; i < 500; i++) {
                                assertTrue(probabilities[i] > 0 && scorer.probability(i) > 0, "candidate " + i);
                                assertEquals(CandidateStatus.SCORED, scorer.status(i));
                            }
                        }
                    } catch (OmomiException closed) {
                        if (closed.code() != Code.CLOSED) {
                            failure.set(closed);
                        }
                    } catch (Throwable thrown) {
                        failure.set(thrown);
                    }
                });
                reader.start();
                started.await();
                scorer.close();
                reader.join();
            }
        }
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
    }

    @Test
    void a_close_from_within_a_setter_or_a_fill_harms_nothing() {
        Fixture.Text text = new Fixture.Text();
        try (Model model = Fixture.model()) {
            double[] expected = logits(model, text);
            Scorer scorer = Scorer.open(model, Fixture.LAYOUT);
            List<String> closing = new AbstractList<>() {
                @Override
                public String get(int index) {
                    scorer.close();
                    return "旅行";
                }

                @Override
                public int size() {
                    return 3;
                }
            };
            scorer.request().context().setTexts(Fixture.INTEREST, closing);
            assertRefused(Code.CLOSED, () -> scorer.predict());
            CandidateSet set = CandidateSet.open(Fixture.SCHEMA, 3, 1);
            assertRefused(Code.CLOSED, () -> set.add(row -> set.close()));
            CandidateSet other = CandidateSet.open(Fixture.SCHEMA, 3, 1);
            assertRefused(Code.CLOSED, () -> other.add(row -> {
                other.close();
                row.setId(Fixture.CREATIVE_ID, 1);
            }));
            assertEquals(List.of(), differences(expected, logits(model, text)));
        }
    }

    private static void assertRefused(Code code, org.junit.jupiter.api.function.Executable call) {
        assertEquals(code, assertThrows(OmomiException.class, call).code());
    }
}
