package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.IntConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Filling, predicting and reading allocate no byte of heap. */
final class NoAllocationTest {
    private static final int CANDIDATES = 200;
    private static final int WARM_UP_REQUESTS = 2_000;
    private static final int REQUESTS = 200;
    private static final int ROUNDS = 5;

    private final float[] probabilities = new float[CANDIDATES];
    private final double[] utilities = new double[CANDIDATES];
    private final int[] names = new int[CANDIDATES];
    private final long[] ids = new long[CANDIDATES];
    private final IdFields together = IdFields.of(Fixture.CREATIVE_ID);
    private final String[] requestIds = {"リクエスト-1", "request-2", "request-3", "request-4", "request-5", "request-6"};
    private final byte[] idBytes = new byte[PredictionId.LEN_BYTES];
    private float sink;

    @Test
    void a_request_allocates_nothing_from_clear_to_the_last_answer() {
        try (Model model = Fixture.model(); Scorer scorer = Scorer.open(model, Fixture.LAYOUT)) {
            Fixture.Text text = new Fixture.Text();
            assertAllocatesNothing(requests -> run(scorer, text, requests));
        }
    }

    @Test
    void a_request_of_prepared_candidates_for_two_models_within_a_time_limit_allocates_nothing() {
        Fixture.Text text = new Fixture.Text();
        RequestLayout layout = RequestLayout.prepared(Fixture.SCHEMA, CANDIDATES, 4096).forModels(2);
        try (Model model = Fixture.model();
                CandidateSet set = Fixture.candidateSet(CANDIDATES - 1, text);
                Scorer scorer = Scorer.open(Arrays.asList(model, model), layout, set)) {
            assertAllocatesNothing(requests -> runPrepared(scorer, text, requests));
            assertEquals(CANDIDATES - 1, scorer.scoredCount(1));
            assertEquals(CandidateStatus.NO_CANDIDATE, scorer.status(1, CANDIDATES - 1));
        }
    }

    @Test
    void a_request_to_a_live_model_allocates_nothing_whether_it_serves_has_no_model_or_is_off(@TempDir Path folder) throws IOException {
        Fixture.Text text = new Fixture.Text();
        Store store = new Store(folder);
        try (LiveModel live = store.open(); LiveScorer scorer = LiveScorer.open(live, Fixture.LAYOUT)) {
            assertAllocatesNothing(requests -> runLive(scorer, text, ServingState.NO_MODEL, requests));
            store.publish(1);
            live.lookNow();
            assertAllocatesNothing(requests -> runLive(scorer, text, ServingState.SERVING, requests));
            store.order("off");
            live.lookNow();
            assertAllocatesNothing(requests -> runLive(scorer, text, ServingState.OFF, requests));
        }
    }

    @Test
    @SuppressWarnings("try")
    void recording_allocates_nothing_whatever_becomes_of_the_record(@TempDir Path folder) throws IOException {
        Fixture.Text text = new Fixture.Text();
        Store store = new Store(folder.resolve("store"));
        store.publish(1);
        LogOptions options = LogOptions.builder().ringLenBytes(64L << 10).detailsPerMillion(100_000).build();
        try (LiveModel live = store.open(Store.options().fallbackFile(Fixture.weightFile()).build());
                LiveScorer scorer = LiveScorer.open(live, Fixture.LAYOUT);
                ServingLog log = ServingLog.open(folder.resolve("served"), options);
                LogRing ring = log.ring(scorer)) {
            PredictionId id = PredictionId.of("request", "", 0);
            // The ring is too small for this thread, so some records are queued and others are dropped.
            assertAllocatesNothing(requests -> runLogged(scorer, ring, id, text, Source.MODEL, requests));
            store.order("off");
            live.lookNow();
            // More than the limit of such records.
            assertAllocatesNothing(requests -> runLogged(scorer, ring, id, text, Source.OFF, requests));
            LogMetrics metrics = log.metrics();
            assertTrue(metrics.droppedCount(DropReason.RING_FULL) > 0, metrics.toString());
            assertTrue(metrics.writtenCount() > 0, metrics.toString());
            assertTrue(metrics.droppedCount(DropReason.RATE_LIMITED) > 0, metrics.toString());
            assertEquals(0, metrics.droppedCount(DropReason.INVALID));
            log.close();
            assertAllocatesNothing(requests -> runLogged(scorer, ring, id, text, Source.OFF, requests));
        }
    }

    @Test
    @SuppressWarnings("try")
    void a_request_of_an_experiment_with_its_choice_and_its_record_allocates_nothing(@TempDir Path folder)
            throws IOException {
        Fixture.Text text = new Fixture.Text();
        ExperimentFile file = new ExperimentFile(folder);
        file.unit("\"request\"").shadowShare(5_000).exploration("{\"share\": 5000, \"epsilon\": 0.5}").write();
        LogOptions options = LogOptions.builder().ringLenBytes(64L << 10).build();
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, Fixture.LAYOUT.forModels(2));
                ServingLog log = ServingLog.open(folder.resolve("served"), options);
                LogRing ring = log.ring(scorer)) {
            assertAllocatesNothing(requests -> runExperiment(scorer, ring, text, requests));
            assertEquals(0, log.metrics().droppedCount(DropReason.INVALID));
        }
    }

    private void runExperiment(ExperimentScorer scorer, LogRing ring, Fixture.Text text, int requests) {
        for (int i = 0; i < requests; i++) {
            String requestId = requestIds[i % requestIds.length];
            Fixture.fill(scorer.request(), 10, text);
            if (scorer.predict(requestId) != ServingState.SERVING) {
                throw new AssertionError("not served");
            }
            for (int candidate = 0; candidate < scorer.answeredCount(); candidate++) {
                utilities[candidate] = scorer.probability(candidate) * (candidate + 1);
            }
            Choice choice = scorer.choose(requestId, utilities);
            ring.served().clear().requestId(requestId).choice(choice);
            sink += ring.record(choice.candidate()).ordinal() + (float) choice.propensity();
            sink += choice.isExploring() ? 1 : 0;
            sink += scorer.arm().length() + scorer.experiment().length() + scorer.logicId().length() + scorer.version();
            sink += scorer.bucket() + scorer.shadowCount() + (scorer.isControl() ? 1 : 0) + (scorer.fellBack() ? 1 : 0);
        }
    }

    private void runLogged(
            LiveScorer scorer, LogRing ring, PredictionId event, Fixture.Text text, Source source, int requests) {
        for (int i = 0; i < requests; i++) {
            Fixture.fill(scorer.request(), 10, text);
            if (scorer.predict() != ServingState.SERVING) {
                scorer.predictFallback();
            }
            Served served = ring.served().clear().requestId(requestIds[i % requestIds.length]).impression("imp-1");
            served.experiment("bids").arm("新").bucket(3).latencyNanos(1_000).propensity(0.5).source(source);
            served.bid(1_500_000, "JPY", Basis.THOUSAND_IMPRESSIONS).atUnixMillis(1_700_000_000_000L);
            for (int candidate = 0; candidate < 3; candidate++) {
                served.position(candidate);
                served.putPredictionId(candidate, idBytes, 0);
                sink += ring.record(candidate).ordinal() + idBytes[0];
            }
            sink += ring.click(event).ordinal() + ring.win(event, 1, "JPY", Basis.IMPRESSION).ordinal();
            sink += scorer.logicId().length();
        }
    }

    private static void assertAllocatesNothing(IntConsumer requests) {
        com.sun.management.ThreadMXBean threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
        long thread = Thread.currentThread().getId();
        // The first calls load classes and let the JVM compile.
        requests.accept(WARM_UP_REQUESTS);
        // The JVM itself sometimes allocates while it links or compiles, and charges the thread. A request's own cost
        // would appear in every round; the JVM's does not.
        long min = Long.MAX_VALUE;
        for (int round = 0; round < ROUNDS && min > 0; round++) {
            long before = threads.getThreadAllocatedBytes(thread);
            long meter = threads.getThreadAllocatedBytes(thread) - before;
            before = threads.getThreadAllocatedBytes(thread);
            requests.accept(REQUESTS);
            min = Math.min(min, threads.getThreadAllocatedBytes(thread) - before - meter);
        }
        assertEquals(0, min, "bytes in " + REQUESTS + " requests");
    }

    private void runPrepared(Scorer scorer, Fixture.Text text, int requests) {
        for (int i = 0; i < requests; i++) {
            Fixture.fillContext(scorer.request(), text);
            for (int candidate = 0; candidate < CANDIDATES; candidate++) {
                scorer.request().setCandidate(candidate, candidate);
                names[candidate] = candidate;
            }
            scorer.request().setCandidates(names, CANDIDATES);
            scorer.predictWithin(CANDIDATES, i % 2 == 0 ? 0 : Long.MAX_VALUE);
            for (int candidate = 0; candidate < CANDIDATES; candidate++) {
                if (scorer.status(1, candidate) == CandidateStatus.SCORED) {
                    sink += scorer.probability(1, candidate) + (float) scorer.logit(candidate);
                }
            }
            sink += scorer.probabilities(1, probabilities) + probabilities[0];
            sink += scorer.unseenCount(1) + scorer.lateCount() + scorer.generation(1);
        }
    }

    private void runLive(LiveScorer scorer, Fixture.Text text, ServingState expected, int requests) {
        for (int i = 0; i < requests; i++) {
            Fixture.fill(scorer.request(), CANDIDATES, text);
            if (scorer.predict(CANDIDATES) != expected) {
                throw new AssertionError("not " + expected);
            }
            for (int candidate = 0; candidate < scorer.answeredCount(); candidate++) {
                sink += scorer.probability(candidate);
            }
            if (expected == ServingState.SERVING) {
                sink += scorer.logicId().length() + scorer.generation();
            }
        }
    }

    private void run(Scorer scorer, Fixture.Text text, int requests) {
        for (int i = 0; i < requests; i++) {
            Fixture.fill(scorer.request(), CANDIDATES, text);
            for (int candidate = 0; candidate < CANDIDATES; candidate++) {
                scorer.request().candidate(candidate).setIdFields(together, ids, candidate);
            }
            scorer.predict(CANDIDATES);
            sink += scorer.probabilities(probabilities) + probabilities[0];
            for (int candidate = 0; candidate < CANDIDATES; candidate++) {
                if (scorer.status(candidate) == CandidateStatus.SCORED) {
                    sink += scorer.probability(candidate) + (float) scorer.logit(candidate);
                }
            }
            sink += scorer.unseenCount() + scorer.missingCount() + scorer.invalidNumberCount() + scorer.generation();
        }
    }
}
