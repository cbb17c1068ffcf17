package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Closing, replacing and forgetting, at any time and on any thread. */
final class LifecycleTest {
    @TestFactory
    Stream<DynamicTest> after_close_every_method_of_a_scorer_throws() {
        Scorer scorer;
        Request request;
        Row context;
        Row candidate;
        try (Model model = Fixture.model()) {
            scorer = Scorer.open(model, Fixture.LAYOUT);
            request = scorer.request();
            context = request.context();
            candidate = request.candidate(0);
            scorer.predict(1);
        }
        scorer.close();
        scorer.close();
        return Stream.of(
                        call("request", scorer::request),
                        call("predict", () -> scorer.predict(1)),
                        call("probability", () -> scorer.probability(0)),
                        call("logit", () -> scorer.logit(0)),
                        call("status", () -> scorer.status(0)),
                        call("answeredCount", scorer::answeredCount),
                        call("scoredCount", scorer::scoredCount),
                        call("refusedCount", scorer::refusedCount),
                        call("unseenCount", scorer::unseenCount),
                        call("missingCount", scorer::missingCount),
                        call("invalidNumberCount", scorer::invalidNumberCount),
                        call("generation", scorer::generation),
                        call("logicId", scorer::logicId),
                        call("explain", () -> scorer.explain(0)),
                        call("clear", request::clear),
                        call("context", request::context),
                        call("candidate", () -> request.candidate(0)),
                        call("tailUsedBytes", request::tailUsedBytes),
                        call("setId", () -> context.setId(Fixture.MEDIA_ID, 1)),
                        call("setText", () -> context.setText(Fixture.REGION, "x")),
                        call("setTextValue", () -> candidate.setTextValue(Fixture.CATEGORY, 1)),
                        call("setNumber", () -> candidate.setNumber(Fixture.CREATIVE_AGE, 1)),
                        call("setIds", () -> context.setIds(Fixture.SEGMENT_ID, new long[1], 1)),
                        call("setTexts", () -> context.setTexts(Fixture.INTEREST, List.of("x"))),
                        call("setTextValues", () -> context.setTextValues(Fixture.INTEREST, new long[1], 1)),
                        call("unset", () -> context.unset(Fixture.MEDIA_ID)))
                .map(LifecycleTest::throwsClosed);
    }

    @TestFactory
    Stream<DynamicTest> after_close_every_method_of_a_model_throws() {
        Model model = Fixture.model();
        model.close();
        model.close();
        return Stream.of(
                        call("path", model::path),
                        call("generation", model::generation),
                        call("logicId", model::logicId),
                        call("weightCount", model::weightCount),
                        call("lenBytes", model::lenBytes),
                        call("contract", model::contract),
                        call("Scorer.open", () -> Scorer.open(model, Fixture.LAYOUT)))
                .map(LifecycleTest::throwsClosed);
    }

    @TestFactory
    Stream<DynamicTest> after_close_every_method_of_a_live_model_throws(@TempDir Path folder) throws IOException {
        LiveModel live = new Store(folder).open();
        live.close();
        live.close();
        return Stream.of(
                        call("lookNow", live::lookNow),
                        call("state", live::state),
                        call("status", live::status),
                        call("metrics", live::metrics),
                        call("writePrometheus", () -> live.writePrometheus(java.nio.ByteBuffer.allocateDirect(8))),
                        call("isLive", live::isLive),
                        call("isReady", live::isReady),
                        call("LiveScorer.open", () -> LiveScorer.open(live, Fixture.LAYOUT)))
                .map(LifecycleTest::throwsClosed);
    }

    @TestFactory
    Stream<DynamicTest> after_close_every_method_of_a_live_scorer_throws(@TempDir Path folder) throws IOException {
        Store store = new Store(folder);
        store.publish(1);
        LiveScorer scorer;
        try (LiveModel live = store.open()) {
            scorer = LiveScorer.open(live, Fixture.LAYOUT);
            assertEquals(ServingState.SERVING, scorer.predict(1));
        }
        scorer.close();
        scorer.close();
        return Stream.of(
                        call("request", scorer::request),
                        call("predict", () -> scorer.predict(1)),
                        call("predictWithin", () -> scorer.predictWithin(1, 1_000)),
                        call("probability", () -> scorer.probability(0)),
                        call("generation", scorer::generation),
                        call("logicId", scorer::logicId),
                        call("explain", () -> scorer.explain(0)))
                .map(LifecycleTest::throwsClosed);
    }

    @Test
    void live_models_and_scorers_leave_no_handle_thread_or_mapping_behind(@TempDir Path folder) throws IOException {
        int open = Handle.openCount();
        int threads = LiveChaosTest.liveThreads();
        Store store = new Store(folder);
        for (long generation = 1; generation <= 20; generation++) {
            store.publish(generation);
            LiveScorer scorer;
            try (LiveModel live = store.open(Store.options().loadMode(LoadMode.MAP).build())) {
                scorer = LiveScorer.open(live, Fixture.LAYOUT);
                assertTrue(mapped(store.path(generation).toString()) > 0, "the live model maps the file");
            }
            assertEquals(ServingState.SERVING, scorer.predict(1));
            assertTrue(mapped(store.path(generation).toString()) > 0, "the scorer holds the mapping");
            scorer.close();
            assertEquals(0, mapped(store.path(generation).toString()));
        }
        assertEquals(open, Handle.openCount());
        assertEquals(threads, LiveChaosTest.liveThreads());
    }

    @Test
    void a_close_of_a_live_model_waits_for_the_calls_of_other_threads(@TempDir Path folder) throws Exception {
        Store store = new Store(folder);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        for (int round = 0; round < 20; round++) {
            store.publish(round + 1);
            LiveModel live = store.open();
            List<Thread> threads = new ArrayList<>();
            for (Executable body : List.<Executable>of(live::lookNow, live::status, () -> LiveScorer.open(live, Fixture.LAYOUT).close())) {
                Thread thread = new Thread(() -> {
                    try {
                        while (true) {
                            body.execute();
                        }
                    } catch (OmomiException closed) {
                        if (closed.code() != Code.CLOSED) {
                            failure.set(closed);
                        }
                    } catch (Throwable thrown) {
                        failure.set(thrown);
                    }
                });
                thread.start();
                threads.add(thread);
            }
            Thread.sleep(10);
            live.close();
            for (Thread thread : threads) {
                thread.join();
            }
        }
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
    }

    @Test
    void a_forgotten_live_model_is_closed_when_the_next_one_is_opened(@TempDir Path folder) throws Exception {
        int open = Handle.openCount();
        int threads = LiveChaosTest.liveThreads();
        Store store = new Store(folder);
        store.publish(1);
        forgetLive(store);
        for (int attempt = 0; attempt < 100 && Handle.openCount() > open; attempt++) {
            System.gc();
            Thread.sleep(20);
            store.open().close();
        }
        assertEquals(open, Handle.openCount());
        assertEquals(threads, LiveChaosTest.liveThreads());
    }

    private static void forgetLive(Store store) {
        LiveScorer.open(store.open(), Fixture.LAYOUT).predict(1);
    }

    @Test
    void a_scorer_outlives_its_model_and_the_mapping_ends_with_the_last_of_them() throws IOException {
        int mapped = mappedWeightFiles();
        Model model = Fixture.model();
        assertTrue(mappedWeightFiles() > mapped, "a model maps its file");
        Scorer scorer = Scorer.open(model, Fixture.LAYOUT);
        model.close();
        assertTrue(mappedWeightFiles() > mapped, "the scorer holds the mapping");
        scorer.request().candidate(0);
        scorer.predict(1);
        assertTrue(scorer.probability(0) > 0);
        scorer.close();
        assertEquals(mapped, mappedWeightFiles());
    }

    @Test
    void four_threads_score_while_models_are_replaced_and_scorers_are_closed() throws Exception {
        int open = Handle.openCount();
        int mapped = mappedWeightFiles();
        AtomicReference<Model> current = new AtomicReference<>(Fixture.model());
        AtomicReference<Throwable> failure = new AtomicReference<>();
        AtomicBoolean stop = new AtomicBoolean();
        AtomicLong predictions = new AtomicLong();
        AtomicReference<Scorer> victim = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            boolean isVictim = i == 0;
            threads.add(new Thread(() -> {
                try {
                    Fixture.Text text = new Fixture.Text();
                    while (!stop.get()) {
                        try (Scorer scorer = Scorer.open(current.get(), Fixture.LAYOUT)) {
                            if (isVictim) {
                                victim.set(scorer);
                            }
                            for (int request = 0; request < 20 && !stop.get(); request++) {
                                Fixture.fill(scorer.request(), 50, text);
                                scorer.predict(50);
                                assertTrue(scorer.probability(49) > 0);
                                predictions.incrementAndGet();
                            }
                        } catch (OmomiException closed) {
                            // The model was closed between `get` and `open`, or the scorer was closed from outside:
                            // both report CLOSED.
                            assertEquals(Code.CLOSED, closed.code());
                        }
                    }
                } catch (Throwable thrown) {
                    failure.compareAndSet(null, thrown);
                }
            }));
        }
        threads.forEach(Thread::start);
        for (int replacement = 0; replacement < 40; replacement++) {
            current.getAndSet(Fixture.model()).close();
            Scorer scorer = victim.get();
            if (scorer != null) {
                scorer.close();
            }
            Thread.sleep(5);
        }
        stop.set(true);
        for (Thread thread : threads) {
            thread.join();
        }
        current.get().close();
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
        assertTrue(predictions.get() > 0);
        assertEquals(open, Handle.openCount());
        assertEquals(mapped, mappedWeightFiles());
    }

    @Test
    void forgotten_models_are_freed_when_the_next_one_is_opened() throws Exception {
        int open = Handle.openCount();
        int mapped = mappedWeightFiles();
        forget();
        for (int attempt = 0; attempt < 100 && Handle.openCount() > open; attempt++) {
            System.gc();
            Thread.sleep(20);
            Fixture.model().close();
        }
        assertEquals(open, Handle.openCount());
        assertEquals(mapped, mappedWeightFiles());
    }

    private static void forget() {
        Model model = Fixture.model();
        Scorer.open(model, Fixture.LAYOUT).predict(1);
    }

    @Test
    void a_second_thread_on_one_scorer_gets_scorer_busy_and_its_close_waits() throws Exception {
        RequestLayout large = RequestLayout.of(Fixture.SCHEMA, 65_536, 1024);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        try (Model model = Fixture.model()) {
            Scorer scorer = Scorer.open(model, large);
            CountDownLatch isOwned = new CountDownLatch(1);
            Thread first = new Thread(() -> {
                try {
                    while (true) {
                        scorer.predict(65_536);
                        isOwned.countDown();
                    }
                } catch (OmomiException closed) {
                    if (closed.code() != Code.CLOSED && closed.code() != Code.SCORER_BUSY) {
                        failure.set(closed);
                    }
                } catch (Throwable thrown) {
                    failure.set(thrown);
                }
            });
            first.start();
            isOwned.await();
            for (Executable call : new Executable[] {
                () -> scorer.request().clear(),
                () -> scorer.request().context(),
                () -> scorer.request().candidate(0),
                scorer::predict,
                scorer::answeredCount,
                scorer::generation,
                scorer::handOver,
                () -> scorer.explain(0)
            }) {
                OmomiException refused = assertThrows(OmomiException.class, call);
                assertEquals(Code.SCORER_BUSY, refused.code());
                assertTrue(refused.getMessage().contains(first.getName()), refused.getMessage());
            }
            scorer.close();
            first.join();
        }
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
    }

    @Test
    void a_scorer_belongs_to_one_thread_until_it_is_handed_over_or_the_thread_ends() throws Exception {
        try (Model model = Fixture.model();
                Scorer scorer = Scorer.open(model, Fixture.LAYOUT)) {
            // Rows of the context may be kept before the first use, as the Scala API does.
            Row context = scorer.request().context();
            onOtherThread(() -> scorer.request().clear());
            context.setId(Fixture.MEDIA_ID, 3);
            scorer.request().candidate(0);
            scorer.predict();
            OmomiException refused = assertThrows(
                    OmomiException.class, () -> onOtherThread(() -> scorer.request().clear()));
            assertEquals(Code.SCORER_BUSY, refused.code());
            scorer.handOver();
            scorer.handOver();
            onOtherThread(() -> {
                scorer.predict();
                assertTrue(scorer.probability(0) > 0);
            });
            // That thread has ended.
            assertTrue(scorer.probability(0) > 0);
        }
    }

    private static void onOtherThread(Executable body) throws Exception {
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Thread thread = new Thread(() -> {
            try {
                body.execute();
            } catch (Throwable thrown) {
                failure.set(thrown);
            }
        });
        thread.start();
        thread.join();
        if (failure.get() instanceof OmomiException refused) {
            throw refused;
        }
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
    }

    private static int mappedWeightFiles() throws IOException {
        return mapped(Fixture.weightFile().getFileName().toString());
    }

    private static int mapped(String name) throws IOException {
        int count = 0;
        for (String line : Files.readAllLines(Path.of("/proc/self/maps"), java.nio.charset.StandardCharsets.ISO_8859_1)) {
            count += line.endsWith(name) ? 1 : 0;
        }
        return count;
    }

    private record Call(String name, Executable body) {}

    private static Call call(String name, Executable body) {
        return new Call(name, body);
    }

    private static DynamicTest throwsClosed(Call call) {
        return DynamicTest.dynamicTest(call.name, () -> {
            OmomiException thrown = assertThrows(OmomiException.class, call.body);
            assertEquals(Code.CLOSED, thrown.code());
            assertEquals(Owner.DELIVERY, thrown.owner());
        });
    }
}
