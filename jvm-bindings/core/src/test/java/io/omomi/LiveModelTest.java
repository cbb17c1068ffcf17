package io.omomi;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Serving while the store changes. */
final class LiveModelTest {
    private static final RequestLayout LAYOUT = RequestLayout.of(Fixture.SCHEMA, Store.CANDIDATES, 16 << 10);

    @TempDir
    Path folder;

    private final Fixture.Text text = new Fixture.Text();
    private Store store;

    @BeforeEach
    void makeStore() throws IOException {
        store = new Store(folder.resolve("feed-ctr"));
    }

    /** Returns the generation that answers, after comparing its answers with the known ones. */
    private long ask(LiveScorer scorer) {
        Fixture.fill(scorer.request(), Store.CANDIDATES, text);
        assertEquals(ServingState.SERVING, scorer.predict(Store.CANDIDATES));
        long generation = scorer.generation();
        assertArrayEquals(Store.logits(generation), Store.logits(scorer), () -> "generation " + generation);
        assertEquals(Store.CANDIDATES, scorer.answeredCount());
        return generation;
    }

    private static List<Code> codes(LiveModel live) {
        return live.status().reasons().stream().map(LiveStatus.Reason::code).toList();
    }

    @Test
    void a_missing_store_means_no_model_yet_and_the_first_publication_is_served() throws IOException {
        Path absent = folder.resolve("none");
        try (LiveModel live = LiveModel.open(absent, Fixture.SCHEMA, Store.options().build());
                LiveScorer scorer = LiveScorer.open(live, LAYOUT)) {
            assertEquals(ServingState.NO_MODEL, live.state());
            assertEquals(List.of(Code.STORE_MISSING), codes(live));
            assertFalse(Files.exists(absent));
            assertEquals(ServingState.NO_MODEL, scorer.predict(Store.CANDIDATES));
            assertEquals(0, scorer.answeredCount());
            OmomiException none = assertThrows(OmomiException.class, () -> scorer.probability(0));
            assertEquals(Code.INVALID_ARGUMENT, none.code());
            new Store(absent).publish(1);
            live.lookNow();
            assertEquals(ServingState.SERVING, live.state());
            assertEquals(1, ask(scorer));
            assertEquals(List.of(), codes(live));
        }
    }

    @Test
    void the_next_request_after_a_publication_is_answered_by_the_new_generation_with_its_logic_id() throws IOException {
        store.publish(1);
        try (LiveModel live = store.open(); LiveScorer scorer = LiveScorer.open(live, LAYOUT)) {
            for (long generation = 1; generation < 6; generation++) {
                store.publish(generation);
                live.lookNow();
                assertEquals(generation, ask(scorer));
                assertEquals("live-ロジック-" + generation, scorer.logicId());
            }
        }
    }

    @Test
    void a_bad_file_is_refused_with_its_owner_and_the_last_good_one_continues() throws IOException {
        store.publish(1);
        try (LiveModel live = store.open(); LiveScorer scorer = LiveScorer.open(live, LAYOUT)) {
            byte[] damaged = Store.bytes(2);
            damaged[damaged.length / 2] ^= 1;
            store.publish(2, damaged);
            live.lookNow();
            assertEquals(1, ask(scorer));
            LiveStatus status = live.status();
            LiveStatus.Reason reason = status.reasons().get(0);
            assertEquals(Owner.INFRA, reason.owner());
            assertFalse(reason.text().isEmpty());
            assertTrue(reason.toString().contains(reason.code().codeName() + " (infra): "), reason::toString);
            assertEquals(1, status.quarantinedCount());
            store.publish(3, Arrays.copyOf(Store.bytes(3), damaged.length / 2));
            live.lookNow();
            assertEquals(1, ask(scorer));
            assertEquals(List.of(Code.TRUNCATED), codes(live));
            store.publish(4);
            live.lookNow();
            assertEquals(4, ask(scorer));
        }
    }

    @Test
    void freeze_off_and_pin_are_obeyed_and_predict_returns_off_without_an_exception() throws IOException {
        store.publish(1);
        try (LiveModel live = store.open(); LiveScorer scorer = LiveScorer.open(live, LAYOUT)) {
            store.order("freeze");
            store.publish(2);
            live.lookNow();
            assertEquals(1, ask(scorer));
            store.order("off");
            live.lookNow();
            assertEquals(ServingState.OFF, live.state());
            assertEquals(ServingState.OFF, scorer.predict(Store.CANDIDATES));
            assertEquals(ServingState.OFF, scorer.predictWithin(Store.CANDIDATES, 1_000_000));
            assertEquals(0, scorer.answeredCount());
            store.order("pin 000001");
            live.lookNow();
            assertEquals("off pin 000001", live.status().control());
            assertEquals(ServingState.OFF, scorer.predict(Store.CANDIDATES));
            store.order("on");
            live.lookNow();
            assertEquals("on pin 000001", live.status().control());
            assertEquals(1, ask(scorer));
            store.follow();
            live.lookNow();
            assertEquals(2, ask(scorer));
        }
    }

    @Test
    void the_status_names_the_served_generation_and_json_agrees() throws IOException {
        Instant before = Instant.now().minusSeconds(1);
        store.publish(7);
        try (LiveModel live = store.open(Store.options().loadMode(LoadMode.COPY).build())) {
            LiveStatus status = live.status();
            assertEquals(ServingState.SERVING, status.state());
            assertEquals("on follow", status.control());
            LiveStatus.Served served = status.served().orElseThrow();
            assertEquals(7, served.generation());
            assertEquals("live-ロジック-7", served.logicId());
            assertEquals(64, served.digest().length());
            assertTrue(served.contractFingerprint() != 0 && served.weightCount() > 10);
            assertEquals(Store.bytes(7).length, served.fileLenBytes());
            assertEquals(LoadMode.COPY, served.loadMode());
            assertTrue(served.since().isAfter(before) && status.heartbeat().isAfter(before));
            assertTrue(served.trainingEnd().isEmpty());
            assertEquals(served.fileLenBytes(), status.mappedBytes());
            assertTrue(status.residentBytes().isEmpty() || status.residentBytes().getAsLong() > 0);
            assertEquals(0, status.retiredCount());
            Map<String, Object> json = Json.map(Json.parse(status.json()));
            assertEquals("serving", json.get("state"));
            assertEquals(served.logicId(), Json.map(json.get("served")).get("logic_id"));
            assertEquals(served.digest(), Json.map(json.get("served")).get("digest"));
        }
    }

    @Test
    void a_file_refused_by_one_servers_limits_is_served_by_another() throws IOException {
        store.publish(1);
        long len = Store.bytes(1).length;
        Map<Code, LiveOptions.Builder> limits = Map.of(
                Code.FILE_TOO_LARGE, Store.options().maxFileLenBytes(len - 1),
                Code.MEMORY_BUDGET, Store.options().memoryBudgetBytes(len - 1),
                Code.GENERATION_BEHIND, Store.options().minGeneration(2),
                Code.CONTRACT_NOT_EXPECTED, Store.options().contractFingerprints(1, -2));
        for (Map.Entry<Code, LiveOptions.Builder> limit : limits.entrySet()) {
            try (LiveModel live = store.open(limit.getValue().build())) {
                assertEquals(List.of(limit.getKey()), codes(live));
                assertEquals(ServingState.NO_MODEL, live.state());
            }
        }
        Files.setPosixFilePermissions(
                store.path(1), java.nio.file.attribute.PosixFilePermissions.fromString("rw-rw-r--"));
        try (LiveModel live = store.open()) {
            assertEquals(List.of(Code.WRITABLE_BY_OTHERS), codes(live));
        }
        try (LiveModel live = store.open(Store.options().allowWritableFiles(true).build())) {
            assertEquals(ServingState.SERVING, live.state());
        }
    }

    @Test
    void prepared_candidates_get_the_logits_of_rows_in_every_generation() throws IOException {
        RequestLayout prepared = RequestLayout.prepared(Fixture.SCHEMA, Store.CANDIDATES, 4096);
        store.publish(1);
        try (LiveModel live = store.open();
                CandidateSet set = Fixture.candidateSet(Store.CANDIDATES, text);
                LiveScorer scorer = LiveScorer.open(live, prepared, set)) {
            for (long generation = 1; generation < 4; generation++) {
                store.publish(generation);
                live.lookNow();
                Fixture.fillContext(scorer.request(), text);
                for (int i = 0; i < Store.CANDIDATES; i++) {
                    scorer.request().setCandidate(i, i);
                }
                assertEquals(ServingState.SERVING, scorer.predict(Store.CANDIDATES));
                assertEquals(generation, scorer.generation());
                assertArrayEquals(Store.logits(generation), Store.logits(scorer));
            }
        }
    }

    @Test
    void an_explanation_belongs_to_the_generation_that_answers() throws IOException {
        store.publish(1);
        try (LiveModel live = store.open(); LiveScorer scorer = LiveScorer.open(live, LAYOUT)) {
            ask(scorer);
            Explanation why = scorer.explain(3);
            assertEquals(scorer.logit(3), why.logit());
            double sum = why.parts().stream().mapToDouble(Explanation.Part::weight).sum() + why.bias();
            assertEquals(why.logit(), sum, 1e-6);
        }
    }

    @Test
    void a_live_scorer_outlives_its_live_model_and_keeps_its_generation() throws IOException {
        store.publish(1);
        LiveModel live = store.open();
        try (LiveScorer scorer = LiveScorer.open(live, LAYOUT)) {
            live.close();
            store.publish(2);
            assertEquals(1, ask(scorer));
            assertEquals("live-ロジック-1", scorer.logicId());
        }
    }

    @Test
    void two_processes_on_one_store_have_different_names_and_both_report() throws IOException {
        store.publish(1);
        try (LiveModel first = store.open();
                LiveModel second = store.open(Store.options().name("jvm-test-2").build())) {
            assertEquals(ServingState.SERVING, first.state());
            assertEquals(ServingState.SERVING, second.state());
        }
        try (Stream<Path> states = Files.list(store.dir.resolve("state"))) {
            assertEquals(List.of("jvm-test", "jvm-test-2"), states.map(path -> path.getFileName().toString()).sorted().toList());
        }
    }
}
