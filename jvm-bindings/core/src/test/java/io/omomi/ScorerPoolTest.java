package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Many threads share few scorers, and each gets the answers to its own request. */
final class ScorerPoolTest {
    private static final int CAPACITY = 3;

    private final Model model = Fixture.model();
    private final AtomicInteger openings = new AtomicInteger();
    private final ScorerPool<Scorer> pool = ScorerPool.of(CAPACITY, () -> {
        openings.incrementAndGet();
        return Scorer.open(model, Fixture.LAYOUT);
    });

    @AfterEach
    void close() {
        pool.close();
        model.close();
    }

    @Test
    void two_thousand_threads_share_three_scorers_and_each_gets_its_own_answers() throws Exception {
        double[] expected = new double[20];
        try (Scorer scorer = Scorer.open(model, Fixture.LAYOUT)) {
            for (int i = 0; i < expected.length; i++) {
                expected[i] = logit(scorer, i);
            }
        }
        AtomicReference<Throwable> failure = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        for (int t = 0; t < 2_000; t++) {
            int i = t % expected.length;
            threads.add(started(() -> {
                try {
                    for (int round = 0; round < 5; round++) {
                        assertEquals(expected[i], pool.use(scorer -> logit(scorer, i)));
                    }
                } catch (Throwable thrown) {
                    failure.set(thrown);
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
        assertTrue(openings.get() <= CAPACITY, "opened " + openings.get());
        assertEquals(openings.get(), pool.openCount());
    }

    /** A virtual thread where the JDK has them. */
    private static Thread started(Runnable body) {
        try {
            return (Thread) Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, body);
        } catch (ReflectiveOperationException older) {
            Thread thread = new Thread(body);
            thread.start();
            return thread;
        }
    }

    private static double logit(Scorer scorer, int candidate) {
        Request request = scorer.request();
        request.clear();
        Fixture.fillContext(request, new Fixture.Text());
        Fixture.fillCandidate(request.candidate(0), candidate, new Fixture.Text());
        scorer.predict();
        return scorer.logit(0);
    }

    @Test
    void a_borrower_finds_no_fields_and_no_answers_of_the_one_before() throws Exception {
        Scorer first = pool.take(0);
        logit(first, 1);
        pool.giveBack(first);
        Scorer second = pool.take(0);
        assertSame(first, second);
        assertEquals(0, second.answeredCount());
        assertEquals(0, second.request().filledCount());
        pool.giveBack(second);
    }

    @Test
    void nobody_waits_longer_than_asked_for() throws Exception {
        List<Scorer> taken = new ArrayList<>();
        for (int i = 0; i < CAPACITY; i++) {
            taken.add(pool.take(0));
            assertNotNull(taken.get(i));
        }
        assertNull(pool.take(1_000_000));
        pool.giveBack(taken.get(0));
        assertSame(taken.get(0), pool.take(0));
        taken.forEach(pool::giveBack);
    }

    @Test
    void a_failing_body_or_opening_gives_its_place_back() {
        ScorerPool<Scorer> failing = ScorerPool.of(1, () -> {
            throw new IllegalStateException("no model yet");
        });
        for (int i = 0; i < 3; i++) {
            assertThrows(IllegalStateException.class, () -> failing.use(scorer -> 1));
            assertThrows(IndexOutOfBoundsException.class, () -> pool.use(scorer -> List.of().get(0)));
        }
        assertEquals(0, failing.openCount());
        assertEquals(1, pool.openCount());
    }

    @Test
    void a_scorer_that_a_borrower_closed_is_replaced() {
        pool.use(scorer -> {
            scorer.close();
            return 0;
        });
        assertEquals(0, pool.openCount());
        assertTrue(pool.use(scorer -> logit(scorer, 1)) < 10);
        assertEquals(2, openings.get());
    }

    @Test
    void careless_use_is_refused() throws Exception {
        assertRefused(Code.NULL_ARGUMENT, () -> ScorerPool.of(1, null));
        assertRefused(Code.INVALID_ARGUMENT, () -> ScorerPool.of(0, () -> Scorer.open(model, Fixture.LAYOUT)));
        assertRefused(Code.NULL_ARGUMENT, () -> pool.use(null));
        assertRefused(Code.NULL_ARGUMENT, () -> pool.giveBack(null));
        Scorer lent = pool.take(0);
        pool.giveBack(lent);
        assertRefused(Code.INVALID_ARGUMENT, () -> pool.giveBack(lent));
        try (Scorer stranger = Scorer.open(model, Fixture.LAYOUT)) {
            assertRefused(Code.INVALID_ARGUMENT, () -> pool.giveBack(stranger));
        }
        Scorer late = pool.take(0);
        pool.close();
        pool.close();
        assertRefused(Code.CLOSED, () -> pool.use(scorer -> 1));
        pool.giveBack(late);
        assertRefused(Code.CLOSED, () -> late.predict());
        assertEquals(0, pool.openCount());
    }

    private static void assertRefused(Code code, org.junit.jupiter.api.function.Executable call) {
        assertEquals(code, assertThrows(OmomiException.class, call).code());
    }
}
