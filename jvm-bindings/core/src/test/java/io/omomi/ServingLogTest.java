package io.omomi;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** What is recorded is read back by a reader that shares no code with the library, and what is not is counted. */
// A log is read after it is closed, and so before its block ends.
@SuppressWarnings("try")
final class ServingLogTest {
    private static final int CANDIDATES = Store.CANDIDATES;
    private static final RequestLayout LAYOUT = RequestLayout.of(Fixture.SCHEMA, CANDIDATES, 16 << 10);
    private static final Duration PATIENCE = Duration.ofMinutes(1);
    private static final String UNPAIRED = "東\ud83d京";

    private final Fixture.Text text = new Fixture.Text();
    private Path folder;
    private Path storeFolder;

    @BeforeEach
    void setUp(@TempDir Path folder) {
        this.folder = folder.resolve("served-ログ");
        this.storeFolder = folder.resolve("store");
    }

    private ServingLog open(LogOptions.Builder options) {
        return ServingLog.open(folder, options.build());
    }

    private static LogOptions.Builder options() {
        return LogOptions.builder().name("jvm-テスト").detailsPerMillion(0).ringLenBytes(16L << 20);
    }

    private void fill(AbstractScorer scorer) {
        Fixture.fill(scorer.request(), CANDIDATES, text);
    }

    private static void assertRefused(Code code, String part, Executable call) {
        OmomiException refused = assertThrows(OmomiException.class, call);
        assertEquals(code, refused.code(), refused.toString());
        assertTrue(refused.getMessage().contains(part), refused.toString());
    }

    @Test
    void what_was_served_is_read_back_bit_for_bit_and_can_be_computed_again() throws Exception {
        try (Model model = Fixture.model();
                Scorer scorer = Scorer.open(model, LAYOUT);
                ServingLog log = open(options());
                LogRing ring = log.ring(scorer)) {
            fill(scorer);
            scorer.predict();
            Served served = ring.served();
            assertSame(served, ring.served());
            served.clear().requestId("リクエスト-1").impression("imp-2").experiment("bids").arm("新").bucket(3);
            served.atUnixMillis(1_700_000_000_000L).latencyNanos(12_345).propensity(0.25);
            served.bid(-1_500_000, "JPY", Basis.THOUSAND_IMPRESSIONS);
            for (int i = 0; i < CANDIDATES; i++) {
                assertSame(served, served.position(i));
                assertEquals(Recorded.QUEUED, ring.record(i));
            }
            // Nothing but the request id, for another request.
            served.clear().requestId("2");
            assertEquals(Recorded.QUEUED, ring.record(7));

            ring.close();
            log.close();
            LogReader read = LogReader.read(folder, Fixture.weightFile());
            assertEquals(CANDIDATES + 1, read.predictions.size());
            assertEquals(CANDIDATES + 1, read.equalCount);
            for (int i = 0; i < CANDIDATES; i++) {
                Map<String, Object> found = read.predictions.get(i);
                LogReader.assertBits(scorer.logit(i), found);
                LogReader.assertBits(scorer.probability(i), found);
                assertEquals(PredictionId.of("リクエスト-1", "imp-2", i).toString(), found.get("id"));
                assertEquals("リクエスト-1", found.get("request"));
                assertEquals("imp-2", found.get("impression"));
                assertEquals("bids", found.get("experiment"));
                assertEquals("新", found.get("arm"));
                assertEquals(3L, found.get("bucket"));
                assertEquals((long) i, found.get("position"));
                assertEquals((long) i, found.get("candidate"));
                assertEquals((long) CANDIDATES, found.get("candidates"));
                assertEquals(1_700_000_000_000L, found.get("at"));
                assertEquals(12_345L, found.get("latency_ns"));
                assertEquals("3fd0000000000000", found.get("propensity"));
                assertEquals(List.of(-1_500_000L, "JPY", "thousand_impressions"), found.get("bid"));
                assertEquals("model", found.get("source"));
                assertEquals("here", found.get("row_state"));
                assertTrue(((String) found.get("model")).startsWith("jvm-test-ロジック 42 "), found.toString());
            }
            Map<String, Object> last = read.predictions.get(CANDIDATES);
            LogReader.assertBits(scorer.logit(7), last);
            List<String> texts = List.of("request", "impression", "experiment", "arm");
            assertEquals(List.of("2", "", "", ""), texts.stream().map(last::get).toList());
            assertNull(last.get("position"));
            assertNull(last.get("bucket"));
            assertNull(last.get("bid"));
            assertEquals(0L, last.get("latency_ns"));
            long now = System.currentTimeMillis();
            assertTrue(now - (Long) last.get("at") < 600_000 && (Long) last.get("at") <= now + 1, last.toString());
        }
    }

    /** The fallback file has the generation number of a published file, which must not confuse them. */
    @Test
    void a_live_scorer_logs_each_generation_and_the_answers_of_its_fallback_file() throws Exception {
        Store store = new Store(storeFolder);
        LiveOptions fallback = Store.options().fallbackFile(Fixture.weightFile()).build();
        try (LiveModel live = store.open(fallback);
                LiveScorer scorer = LiveScorer.open(live, LAYOUT);
                ServingLog log = open(options().detailsPerMillion(1_000_000));
                LogRing ring = log.ring(scorer)) {
            assertEquals(Optional.of("jvm-test-ロジック"), live.fallbackLogicId());
            assertTrue(live.isReady());
            List<Double> logits = new ArrayList<>();
            fill(scorer);
            assertEquals(ServingState.NO_MODEL, scorer.predict());
            assertEquals(ServingState.SERVING, scorer.predictFallback());
            assertEquals(42, scorer.generation());
            assertEquals("jvm-test-ロジック", scorer.logicId());
            ring.served().clear().requestId("no-model").source(Source.NO_MODEL);
            assertEquals(Recorded.QUEUED, ring.record(1));
            logits.add(scorer.logit(1));
            ring.served().source(Source.MODEL);
            String refused = "the source off or no_model for an answer of the fallback file";
            assertRefused(Code.RECORD_INVALID, refused, () -> ring.record(1));

            store.publish(42);
            live.lookNow();
            fill(scorer);
            assertEquals(ServingState.SERVING, scorer.predict());
            assertEquals("live-ロジック-42", scorer.logicId());
            ring.served().clear().requestId("served");
            assertEquals(Recorded.QUEUED, ring.record(2));
            logits.add(scorer.logit(2));
            ring.served().source(Source.OFF);
            assertRefused(Code.RECORD_INVALID, "the model as the source", () -> ring.record(2));
            assertTrue(log.flush(PATIENCE));

            store.order("off");
            live.lookNow();
            assertEquals(ServingState.OFF, scorer.predict(CANDIDATES));
            assertEquals(ServingState.SERVING, scorer.predictFallback(CANDIDATES));
            assertEquals("jvm-test-ロジック", scorer.logicId());
            ring.served().clear().requestId("off").source(Source.OFF);
            assertEquals(Recorded.QUEUED, ring.record(3));
            logits.add(scorer.logit(3));
            assertTrue(logits.get(0) != 0 && Store.logits(42)[2] == logits.get(1));

            assertEquals(OptionalLong.of(2), live.metrics().fallbackCount());
            assertEquals(1, live.metrics().predictionCount());
            ByteBuffer page = ByteBuffer.allocateDirect(1 << 20);
            live.writePrometheus(page);
            log.writePrometheus(page);
            page.flip();
            String series = StandardCharsets.UTF_8.decode(page).toString();
            for (String line : List.of(
                    "omomi_fallback_predictions_total{store=\"store\",logic_id=\"live-ロジック-42\"} 2\n",
                    "omomi_log_dropped_records_total{log=\"served-ログ\",reason=\"invalid\"} 2\n")) {
                assertTrue(series.contains(line), series);
            }

            log.close();
            LogReader read = LogReader.read(folder, Fixture.weightFile());
            List<String> models = List.of("jvm-test-ロジック 42 ", "live-ロジック-42 42 ", "jvm-test-ロジック 42 ");
            for (int i = 0; i < models.size(); i++) {
                Map<String, Object> found = read.predictions.get(i);
                assertEquals(List.of("no_model", "model", "off").get(i), found.get("source"));
                LogReader.assertBits(logits.get(i), found);
                assertEquals("here", found.get("row_state"));
                for (Map<String, Object> record : List.of(found, read.details.get(i))) {
                    assertTrue(((String) record.get("model")).startsWith(models.get(i)), record.toString());
                }
                // Features and weights are those of the model that answered.
                assertEquals(CANDIDATES, Json.list(read.details.get(i).get("candidates")).size());
                List<Object> answer = Json.list(Json.list(read.details.get(i).get("candidates")).get(i + 1));
                assertEquals(found.get("logit"), answer.get(0));
                assertFalse(Json.list(answer.get(3)).isEmpty());
            }
            assertEquals(2, read.equalCount);
        }
        try (LiveModel live = new Store(storeFolder.resolve("other")).open();
                LiveScorer scorer = LiveScorer.open(live, LAYOUT)) {
            fill(scorer);
            assertEquals(ServingState.NO_MODEL, scorer.predictFallback());
            assertEquals(0, scorer.answeredCount());
            assertEquals(Optional.empty(), live.fallbackLogicId());
            assertEquals(OptionalLong.empty(), live.metrics().fallbackCount());
        }
    }

    @Test
    void a_fallback_file_that_is_not_good_fails_the_opening() throws IOException {
        Store store = new Store(storeFolder);
        LiveOptions.Builder options = Store.options();
        LiveOptions absent = options.fallbackFile(Path.of("absent.omomi")).build();
        assertRefused(Code.FILE, "absent.omomi", () -> store.open(absent));
        Path damaged = storeFolder.resolve("damaged.omomi");
        byte[] bytes = Files.readAllBytes(Fixture.weightFile());
        bytes[bytes.length / 2] ^= 1;
        Files.write(damaged, bytes);
        assertRefused(Code.DAMAGED, "damaged", () -> store.open(options.fallbackFile(damaged).build()));
        assertRefused(Code.NULL_ARGUMENT, "fallbackFile", () -> options.fallbackFile(null));
    }

    @Test
    void a_value_of_the_servers_own_says_why_there_was_none_of_the_model() throws Exception {
        Store store = new Store(storeFolder);
        store.publish(1);
        try (LiveModel live = store.open();
                LiveScorer scorer = LiveScorer.open(live, LAYOUT);
                ServingLog log = open(options().fallbacksPerSecond(2));
                LogRing ring = log.ring(scorer)) {
            fill(scorer);
            scorer.predictWithin(CANDIDATES, 0);
            assertEquals(CandidateStatus.LATE, scorer.status(4));
            ring.served().clear().requestId("late").source(Source.LATE).ownProbability(0.125f);
            assertEquals(Recorded.QUEUED, ring.record(4));
            store.order("off");
            live.lookNow();
            assertEquals(ServingState.OFF, scorer.predict());
            ring.served().clear().requestId("off").source(Source.OFF).ownProbability(0.5f);
            assertEquals(Recorded.QUEUED, ring.record(19));
            Recorded third = ring.record(19);
            assertEquals(Recorded.DROPPED_RATE_LIMITED, third);
            assertEquals(DropReason.RATE_LIMITED, third.dropReason());
            assertTrue(third.isDropped() && !Recorded.SAMPLED_OUT.isDropped());
            log.close();
            LogReader read = LogReader.read(folder);
            assertEquals(2, read.predictions.size());
            assertEquals(List.of("late", "off"), read.predictions.stream().map(it -> it.get("source")).toList());
            LogReader.assertBits(0.125f, read.predictions.get(0));
            LogReader.assertBits(0.5f, read.predictions.get(1));
            assertEquals(1, read.dropped(DropReason.RATE_LIMITED));
        }
    }

    @Test
    void samples_follow_the_request_id_and_details_have_every_candidate() throws Exception {
        try (Model model = Fixture.model();
                Scorer scorer = Scorer.open(model, LAYOUT);
                ServingLog log = open(options().predictionsPerMillion(500_000).detailsPerMillion(250_000).salt(-7));
                LogRing ring = log.ring(scorer)) {
            Set<String> expected = new HashSet<>();
            Set<String> detailed = new HashSet<>();
            fill(scorer);
            scorer.predict();
            for (int i = 0; i < 200; i++) {
                String id = "request-" + i;
                int place = ServingLog.samplePlace(-7, id);
                ring.served().clear().requestId(id);
                assertEquals(place < 500_000 ? Recorded.QUEUED : Recorded.SAMPLED_OUT, ring.record(0));
                assertEquals(place < 500_000 ? Recorded.QUEUED : Recorded.SAMPLED_OUT, ring.record(1));
                if (place < 500_000) {
                    expected.add(id);
                }
                if (place < 250_000) {
                    detailed.add(id);
                }
            }
            assertTrue(log.flush(PATIENCE));
            LogMetrics metrics = log.metrics();
            assertEquals(2 * expected.size() + detailed.size(), metrics.writtenCount());
            assertEquals(2 * (200 - expected.size()), metrics.sampledOutCount());
            log.close();
            LogReader read = LogReader.read(folder);
            assertEquals(expected, new HashSet<>(read.predictions.stream().map(it -> it.get("request")).toList()));
            assertEquals(detailed, new HashSet<>(read.details.stream().map(it -> it.get("request")).toList()));
            assertTrue(detailed.size() > 20 && expected.size() > 70 && expected.containsAll(detailed));
        }
    }

    @Test
    void prepared_candidates_and_several_models_are_logged() throws Exception {
        RequestLayout layout = RequestLayout.prepared(Fixture.SCHEMA, CANDIDATES, 4096).forModels(2);
        try (Model model = Fixture.model();
                Model other = Model.open(Fixture.path("omomi.test.generations").resolve("000007.omomi"));
                CandidateSet set = Fixture.candidateSet(CANDIDATES, text);
                Scorer scorer = Scorer.open(Arrays.asList(model, other), layout, set);
                ServingLog log = open(options());
                LogRing ring = log.ring(scorer)) {
            Fixture.fillContext(scorer.request(), text);
            for (int i = 0; i < CANDIDATES; i++) {
                scorer.request().setCandidate(i, i);
            }
            scorer.predict();
            ring.served().clear().requestId("1");
            ring.record(3);
            ring.served().model(1);
            ring.record(3);
            ring.served().model(2);
            assertRefused(Code.RECORD_INVALID, "one of the models", () -> ring.record(3));
            log.close();
            List<Map<String, Object>> found = LogReader.read(folder, Fixture.weightFile()).predictions;
            LogReader.assertBits(scorer.logit(3), found.get(0));
            LogReader.assertBits(scorer.answers(1).logit(3), found.get(1));
            assertTrue(((String) found.get(1).get("model")).startsWith("live-ロジック-7 7 "));
            assertEquals(List.of("here", "here"), found.stream().map(it -> it.get("row_state")).toList());
        }
    }

    @Test
    void events_are_read_back_with_what_was_paid() throws Exception {
        PredictionId id = PredictionId.of("request", "", 3);
        try (ServingLog log = open(options()); LogRing ring = log.eventRing()) {
            assertEquals(Recorded.QUEUED, ring.win(id, 1_200_000, "USD", Basis.IMPRESSION));
            assertEquals(Recorded.QUEUED, ring.impression(id));
            assertEquals(Recorded.QUEUED, ring.click(id));
            assertEquals(Recorded.QUEUED, ring.conversion(id));
            long least = Long.MIN_VALUE;
            assertEquals(Recorded.QUEUED, ring.event(EventKind.CONVERSION, id, 17, least, "JPY", Basis.CONVERSION));
            assertRefused(Code.RECORD_INVALID, "the ring of a scorer", () -> ring.record(0));
            assertRefused(Code.RECORD_INVALID, "the ring of a scorer", ring::served);
            assertRefused(Code.RECORD_INVALID, "currency", () -> ring.win(id, 1, "usd", Basis.CLICK));
            assertRefused(Code.NULL_ARGUMENT, "id", () -> ring.click(null));
            assertRefused(Code.NULL_ARGUMENT, "kind", () -> ring.event(null, id, 0));
            assertRefused(Code.NULL_ARGUMENT, "currency", () -> ring.win(id, 1, null, Basis.CLICK));
            assertRefused(Code.NULL_ARGUMENT, "basis", () -> ring.win(id, 1, "USD", null));
            log.close();
            LogReader read = LogReader.read(folder);
            List<Object> kinds = new ArrayList<>(read.events.stream().map(it -> it.get("event")).toList());
            assertEquals(List.of("win", "impression", "click", "conversion", "conversion"), kinds);
            assertTrue(read.events.stream().allMatch(it -> id.toString().equals(it.get("id"))));
            assertEquals(List.of(1_200_000L, "USD", "impression"), read.events.get(0).get("money"));
            assertNull(read.events.get(2).get("money"));
            assertEquals(List.of(least, "JPY", "conversion"), read.events.get(4).get("money"));
            assertEquals(17L, read.events.get(4).get("at"));
            assertEquals(1, read.dropped(DropReason.INVALID));
        }
    }

    @Test
    void records_beyond_the_ring_are_dropped_and_every_one_is_accounted_for() throws Exception {
        int count = 5_000;
        try (Model model = Fixture.model();
                Scorer scorer = Scorer.open(model, LAYOUT);
                ServingLog log = open(options().ringLenBytes(4096).flushInterval(Duration.ofSeconds(10)));
                LogRing ring = log.ring(scorer)) {
            fill(scorer);
            scorer.predict();
            ring.served().clear().requestId("1");
            long queued = 0;
            long dropped = 0;
            for (int i = 0; i < count; i++) {
                Recorded recorded = ring.record(i % CANDIDATES);
                if (recorded == Recorded.QUEUED) {
                    queued++;
                } else {
                    assertEquals(Recorded.DROPPED_RING_FULL, recorded);
                    dropped++;
                }
            }
            assertTrue(dropped > 0 && queued > 0, queued + " " + dropped);
            assertTrue(log.flush(PATIENCE));
            LogMetrics metrics = log.metrics();
            assertEquals(Map.of(DropReason.RING_FULL, dropped), metrics.droppedCounts());
            assertEquals(dropped, metrics.droppedCount());
            assertEquals(dropped, metrics.droppedCount(DropReason.RING_FULL));
            assertEquals(queued, metrics.writtenCount());
            assertEquals(1, metrics.openRingCount());
            assertTrue(metrics.isWriting() && metrics.writtenBytes() > queued && metrics.problem().isEmpty());
            assertEquals(OptionalLong.empty(), metrics.oldestWaitingNanos());
            log.close();
            LogReader read = LogReader.read(folder);
            assertEquals(queued, read.predictions.size());
            assertEquals(dropped, read.dropped(DropReason.RING_FULL));
        }
    }

    @Test
    void a_folder_that_vanishes_is_counted_and_no_request_notices() throws Exception {
        try (Model model = Fixture.model();
                Scorer scorer = Scorer.open(model, LAYOUT);
                ServingLog log = open(options());
                LogRing ring = log.ring(scorer)) {
            fill(scorer);
            scorer.predict();
            ring.served().clear().requestId("1");
            ring.record(0);
            assertTrue(log.flush(PATIENCE));
            try (var files = Files.list(folder)) {
                for (Path file : files.toList()) {
                    Files.delete(file);
                }
            }
            Files.delete(folder);
            assertEquals(Recorded.QUEUED, ring.record(1));
            log.flush(PATIENCE);
            LogMetrics metrics = log.metrics();
            assertEquals(0, metrics.writtenCount(), metrics.toString());
            assertEquals(2, metrics.droppedCount(DropReason.FOLDER_GONE), metrics.toString());
            assertTrue(metrics.problem().isPresent() && metrics.problemAge().isPresent(), metrics.toString());
        }
    }

    @Test
    void each_careless_call_is_refused_with_a_reason_counted_and_survived() throws Exception {
        try (Model model = Fixture.model();
                Scorer scorer = Scorer.open(model, LAYOUT);
                ServingLog log = open(options());
                LogRing ring = log.ring(scorer)) {
            Served served = ring.served();
            String message = "a candidate that the model scored";
            served.clear().requestId("1");
            assertRefused(Code.RECORD_INVALID, "a candidate of the request", () -> ring.record(0));
            fill(scorer);
            assertRefused(Code.RECORD_INVALID, message, () -> ring.record(0));
            scorer.predict(CANDIDATES - 1);
            assertRefused(Code.RECORD_INVALID, "a candidate of the request", () -> ring.record(CANDIDATES - 1));
            assertRefused(Code.RECORD_INVALID, "a candidate of the request", () -> ring.record(-1));
            assertRefused(Code.RECORD_INVALID, "a candidate of the request", () -> ring.record(Integer.MIN_VALUE));
            List<Executable> refused = List.of(
                    () -> served.clear(),
                    () -> served.requestId(""),
                    () -> served.requestId("x".repeat(129)),
                    () -> served.requestId("x".repeat(1_000_000)),
                    () -> served.requestId("東".repeat(43)),
                    () -> served.impression("x".repeat(65)),
                    () -> served.arm("東".repeat(22)),
                    () -> served.experiment("x".repeat(65)),
                    () -> served.propensity(0),
                    () -> served.propensity(-0.0),
                    () -> served.propensity(1.5),
                    () -> served.propensity(Double.NaN),
                    () -> served.ownProbability(0.5f),
                    () -> served.source(Source.OFF).ownProbability(0),
                    () -> served.source(Source.OFF).ownProbability(1),
                    () -> served.source(Source.LATE),
                    () -> served.source(Source.REFUSED),
                    () -> served.model(1),
                    () -> served.bid(1, "yen", Basis.CLICK),
                    () -> served.bid(1, "JPYX", Basis.CLICK),
                    () -> served.bid(1, "JP", Basis.CLICK),
                    () -> served.bid(1, "", Basis.CLICK));
            for (int i = 0; i < refused.size(); i++) {
                served.clear().requestId("1");
                try {
                    refused.get(i).execute();
                } catch (Throwable unexpected) {
                    throw new AssertionError("call " + i, unexpected);
                }
                assertRefused(Code.RECORD_INVALID, "expected", () -> ring.record(0));
            }
            served.clear().requestId(UNPAIRED);
            assertRefused(Code.NOT_UTF8, "requestId", () -> ring.record(0));
            byte[] id = new byte[16];
            assertRefused(Code.NOT_UTF8, "requestId", () -> served.putPredictionId(0, id, 0));
            served.clear();
            String noId = "a request id of 1 to 128 bytes";
            assertRefused(Code.RECORD_INVALID, noId, () -> served.putPredictionId(0, id, 0));
            served.requestId("1");
            assertRefused(Code.RECORD_INVALID, "candidate", () -> served.putPredictionId(-1, id, 0));
            assertRefused(Code.INVALID_ARGUMENT, "first", () -> served.putPredictionId(0, id, 1));
            assertRefused(Code.INVALID_ARGUMENT, "first", () -> served.putPredictionId(0, id, -1));
            assertRefused(Code.NULL_ARGUMENT, "into", () -> served.putPredictionId(0, null, 0));
            assertArrayEquals(new byte[16], id);
            for (Executable call : List.<Executable>of(
                    () -> served.requestId(null),
                    () -> served.impression(null),
                    () -> served.experiment(null),
                    () -> served.arm(null),
                    () -> served.source(null),
                    () -> served.bid(1, null, Basis.CLICK),
                    () -> served.bid(1, "JPY", null),
                    () -> log.ring(null),
                    () -> log.flush(null),
                    () -> log.writePrometheus(null),
                    () -> log.metrics().droppedCount(null),
                    () -> ServingLog.open(null),
                    () -> ServingLog.open(folder, null),
                    () -> ServingLog.samplePlace(0, null),
                    () -> LogOptions.builder().name(null),
                    () -> LogOptions.builder().maxSegmentAge(null),
                    () -> LogOptions.builder().flushInterval(null),
                    () -> PredictionId.of(null, "", 0),
                    () -> PredictionId.of("1", null, 0),
                    () -> PredictionId.parse(null),
                    () -> PredictionId.ofBytes(null))) {
                assertRefused(Code.NULL_ARGUMENT, " is null", call);
            }
            for (Executable call : List.<Executable>of(
                    () -> served.position(-1),
                    () -> served.bucket(-1),
                    () -> served.model(-1),
                    () -> log.writePrometheus(ByteBuffer.allocate(9_999)),
                    () -> log.ring(TestScorers.scorer(LAYOUT, "test", (candidate, values) -> 0.5)),
                    () -> ServingLog.open(folder, options().detailsPerMillion(1_000_001).build()),
                    () -> ServingLog.open(folder, options().predictionsPerMillion(-1).build()),
                    () -> ServingLog.open(folder, options().ringLenBytes(4095).build()),
                    () -> ServingLog.open(folder, options().ringLenBytes(Long.MAX_VALUE).build()),
                    () -> ServingLog.open(folder, options().maxSegmentAge(Duration.ZERO).build()),
                    () -> ServingLog.open(folder, options().maxSegmentAge(Duration.ofSeconds(-1)).build()),
                    () -> ServingLog.open(folder, options().maxTotalLenBytes(1 << 20).build()),
                    () -> ServingLog.open(folder, options().name("x".repeat(65)).build()),
                    () -> PredictionId.parse("x"),
                    () -> PredictionId.parse("0123456789ABCDEF0123456789abcdef"),
                    () -> PredictionId.ofBytes(new byte[15]))) {
                assertRefused(Code.INVALID_ARGUMENT, "", call);
            }
            ByteBuffer small = ByteBuffer.allocateDirect(9);
            assertRefused(Code.WRONG_SIZE, "expected room for", () -> log.writePrometheus(small));
            assertRefused(Code.FILE, "no", () -> ServingLog.open(folder.resolve("no/such/folder")));
            assertRefused(Code.FILE, "000042", () -> ServingLog.open(Fixture.weightFile()));
            assertRefused(Code.NOT_UTF8, "", () -> options().name(UNPAIRED).build());

            // A record of the right kind still works, and every refused one was counted.
            served.clear().requestId("東".repeat(42)).impression("東".repeat(21)).bid(0, "JPY", Basis.CLICK);
            assertEquals(Recorded.QUEUED, ring.record(0));
            assertTrue(log.flush(PATIENCE));
            assertEquals(5 + refused.size() + 1, log.metrics().droppedCount(DropReason.INVALID));
            assertEquals(log.metrics().droppedCount(), log.metrics().droppedCount(DropReason.INVALID));
        }
    }

    @Test
    void another_thread_is_told_whose_the_ring_is_until_it_is_handed_over() throws Exception {
        try (Model model = Fixture.model();
                Scorer scorer = Scorer.open(model, LAYOUT);
                ServingLog log = open(options());
                LogRing ring = log.ring(scorer);
                LogRing events = log.eventRing()) {
            PredictionId id = PredictionId.of("1", "", 0);
            fill(scorer);
            scorer.predict();
            ring.served().clear().requestId("1");
            events.click(id);
            onAnotherThread(() -> {
                assertRefused(Code.SCORER_BUSY, "the thread `", () -> ring.record(0));
                assertRefused(Code.SCORER_BUSY, "the thread `", () -> ring.served().clear());
                assertRefused(Code.SCORER_BUSY, "the thread `", () -> ring.served().requestId("2"));
                assertRefused(Code.SCORER_BUSY, "the thread `", () -> ring.click(id));
                assertRefused(Code.SCORER_BUSY, "the log ring belongs to the thread `", () -> events.click(id));
                assertRefused(Code.SCORER_BUSY, "the thread `", events::handOver);
                return null;
            });
            ring.handOver();
            events.handOver();
            onAnotherThread(() -> {
                assertEquals(Recorded.QUEUED, ring.record(0));
                assertEquals(Recorded.QUEUED, events.click(id));
                return null;
            });
            // That thread has ended.
            assertEquals(Recorded.QUEUED, ring.record(1));
            assertEquals(Recorded.QUEUED, events.click(id));
            log.close();
            LogReader read = LogReader.read(folder);
            assertEquals(2, read.predictions.size());
            assertEquals(3, read.events.size());
        }
    }

    /** Returns when the other thread has ended, and not only its task. */
    private static void onAnotherThread(Callable<?> body) throws Exception {
        FutureTask<?> task = new FutureTask<>(body);
        Thread thread = new Thread(task, "another");
        thread.start();
        thread.join();
        task.get();
    }

    @Test
    void scorer_ring_and_log_are_closed_in_any_order_and_nothing_recorded_is_lost() throws Exception {
        int before = Handle.openCount();
        for (String order : List.of("SRL", "SLR", "RSL", "RLS", "LSR", "LRS")) {
            Path here = folder.resolveSibling(order);
            Model model = Fixture.model();
            Scorer scorer = Scorer.open(model, LAYOUT);
            ServingLog log = ServingLog.open(here, options().build());
            LogRing ring = log.ring(scorer);
            model.close();
            fill(scorer);
            scorer.predict();
            ring.served().clear().requestId(order);
            assertEquals(Recorded.QUEUED, ring.record(0));
            for (char which : order.toCharArray()) {
                switch (which) {
                    case 'S' -> {
                        scorer.close();
                        assertRefused(Code.CLOSED, "closed", () -> ring.record(1));
                        assertRefused(Code.CLOSED, "closed", () -> ring.served().clear());
                    }
                    case 'R' -> {
                        ring.close();
                        ring.close();
                        assertRefused(Code.CLOSED, "closed", () -> ring.record(1));
                        assertRefused(Code.CLOSED, "closed", () -> ring.click(PredictionId.of("1", "", 0)));
                        assertTrue(ring.toString().endsWith("closed)"));
                    }
                    default -> {
                        log.close();
                        log.close();
                        assertRefused(Code.CLOSED, "serving log", log::metrics);
                        assertRefused(Code.CLOSED, "serving log", () -> log.ring(scorer));
                        assertRefused(Code.CLOSED, "serving log", log::eventRing);
                        assertRefused(Code.CLOSED, "serving log", () -> log.flush(PATIENCE));
                        if (order.charAt(0) == 'L') {
                            assertEquals(Recorded.DROPPED_CLOSED, ring.record(1));
                            assertEquals(Recorded.DROPPED_CLOSED, ring.click(PredictionId.of("1", "", 0)));
                        }
                    }
                }
            }
            List<Map<String, Object>> found = LogReader.read(here).predictions;
            assertEquals(1, found.size());
            assertEquals(order, found.get(0).get("request"));
        }
        assertEquals(before, Handle.openCount());
    }

    @Test
    void a_closed_scorer_gets_no_ring_and_an_open_ring_leaves_the_scorer_to_any_thread() throws Exception {
        try (Model model = Fixture.model(); ServingLog log = open(options())) {
            Scorer scorer = Scorer.open(model, LAYOUT);
            LogRing ring = log.ring(scorer);
            // Opened here, used there.
            onAnotherThread(() -> {
                fill(scorer);
                scorer.predict();
                ring.served().clear().requestId("1");
                assertEquals(Recorded.QUEUED, ring.record(0));
                return null;
            });
            scorer.close();
            assertRefused(Code.CLOSED, "scorer", () -> log.ring(scorer));
            ring.close();
        }
    }

    @Test
    void many_threads_record_while_others_look_and_each_record_is_there_once() throws Exception {
        int threads = 6;
        int requests = 400;
        try (Model model = Fixture.model(); ServingLog log = open(options())) {
            ExecutorService pool = Executors.newFixedThreadPool(threads + 1);
            List<Future<?>> done = new ArrayList<>();
            for (int thread = 0; thread < threads; thread++) {
                int number = thread;
                done.add(pool.submit(() -> {
                    try (Scorer scorer = Scorer.open(model, LAYOUT); LogRing ring = log.ring(scorer)) {
                        Fixture.Text own = new Fixture.Text();
                        for (int i = 0; i < requests; i++) {
                            Fixture.fill(scorer.request(), CANDIDATES, own);
                            scorer.predict();
                            ring.served().clear().requestId(number + "-" + i);
                            assertEquals(Recorded.QUEUED, ring.record(i % CANDIDATES));
                            PredictionId id = PredictionId.of(number + "-" + i, "", i % CANDIDATES);
                            assertEquals(Recorded.QUEUED, ring.click(id));
                        }
                    }
                    return null;
                }));
            }
            Future<?> looking = pool.submit(() -> {
                ByteBuffer page = ByteBuffer.allocateDirect(1 << 16);
                while (!Thread.currentThread().isInterrupted() && done.stream().anyMatch(it -> !it.isDone())) {
                    assertTrue(log.metrics().openRingCount() <= threads);
                    page.clear();
                    log.writePrometheus(page);
                    log.flush(Duration.ofMillis(1));
                }
                return null;
            });
            for (Future<?> one : done) {
                one.get();
            }
            looking.get();
            pool.shutdown();
            log.close();
            LogReader read = LogReader.read(folder, Fixture.weightFile());
            assertEquals(threads * requests, read.equalCount);
            Set<Object> ids = new HashSet<>(read.predictions.stream().map(it -> it.get("id")).toList());
            assertEquals(threads * requests, ids.size());
            assertEquals(ids, new HashSet<>(read.events.stream().map(it -> it.get("id")).toList()));
            assertEquals(threads * requests, read.events.size());
        }
    }

    /** Records a request of 20 candidates in a folder, and ends without closing anything. */
    static final class Program {
        private Program() {}

        public static void main(String[] arguments) throws Exception {
            Scorer scorer = Scorer.open(Fixture.model(), LAYOUT);
            ServingLog log = ServingLog.open(Path.of(arguments[0]), options().build());
            LogRing ring = log.ring(scorer);
            Fixture.fill(scorer.request(), CANDIDATES, new Fixture.Text());
            scorer.predict();
            ring.served().clear().requestId(arguments[1]);
            for (int i = 0; i < CANDIDATES; i++) {
                ring.record(i);
            }
            switch (arguments[1]) {
                case "return" -> {}
                case "exit" -> System.exit(0);
                default -> {
                    if (log.flush(PATIENCE)) {
                        String process = Long.toString(ProcessHandle.current().pid());
                        new ProcessBuilder("kill", "-9", process).start().waitFor();
                    }
                }
            }
        }
    }

    @Test
    void a_jvm_that_ends_or_is_killed_without_closing_its_log_loses_nothing_that_was_written() throws Exception {
        for (String end : List.of("return", "exit", "kill")) {
            Path here = folder.resolveSibling(end);
            String said = new ChildJvm().main(Program.class).run(here.toString(), end);
            assertEquals("", said);
            if (end.equals("kill")) {
                // The next log in the folder seals what the killed one left.
                try (ServingLog next = ServingLog.open(here)) {
                    assertTrue(next.flush(PATIENCE));
                    assertEquals(1, next.metrics().recoveredSegmentCount());
                }
            }
            LogReader read = LogReader.read(here, Fixture.weightFile());
            assertEquals(CANDIDATES, read.equalCount, end);
            assertTrue(read.predictions.stream().allMatch(found -> end.equals(found.get("request"))));
        }
    }

    /** Like a server with virtual threads: as many requests as tasks, and a ring beside each scorer of the pool. */
    @Test
    void the_scorers_of_a_pool_have_a_ring_each_and_any_thread_records() throws Exception {
        int requests = 200;
        Map<Scorer, LogRing> rings = new ConcurrentHashMap<>();
        try (Model model = Fixture.model(); ServingLog log = open(options())) {
            ScorerPool<Scorer> pool = ScorerPool.of(2, () -> {
                Scorer scorer = Scorer.open(model, LAYOUT);
                rings.put(scorer, log.ring(scorer));
                return scorer;
            });
            ExecutorService threads = Executors.newFixedThreadPool(6);
            List<Future<Recorded>> done = new ArrayList<>();
            for (int i = 0; i < requests; i++) {
                String id = "request-" + i;
                done.add(threads.submit(() -> pool.use(scorer -> {
                    Fixture.fill(scorer.request(), CANDIDATES, new Fixture.Text());
                    scorer.predict();
                    LogRing ring = rings.get(scorer);
                    ring.served().clear().requestId(id);
                    return ring.record(3);
                })));
            }
            for (Future<Recorded> one : done) {
                assertEquals(Recorded.QUEUED, one.get());
            }
            threads.shutdown();
            assertTrue(rings.size() <= 2);
            rings.values().forEach(LogRing::close);
            pool.close();
            log.close();
            LogReader read = LogReader.read(folder, Fixture.weightFile());
            assertEquals(requests, read.equalCount);
            assertEquals(requests, read.predictions.stream().map(found -> found.get("request")).distinct().count());
        }
    }

    /** A thread that closes what another one uses once got SCORER_BUSY into the other one's requests. */
    @Test
    void a_close_on_another_thread_ends_the_records_and_disturbs_no_request() throws Exception {
        for (int round = 0; round < 30; round++) {
            try (Model model = Fixture.model();
                    Scorer scorer = Scorer.open(model, LAYOUT);
                    ServingLog log = ServingLog.open(folder.resolveSibling("round-" + round), options().build());
                    LogRing ring = log.ring(scorer)) {
                fill(scorer);
                scorer.predict();
                ring.served().clear().requestId("1");
                boolean closesRing = round % 2 == 0;
                Thread closer = new Thread(closesRing ? ring::close : log::close);
                closer.start();
                for (int i = 0; i < 2_000; i++) {
                    scorer.predict(2);
                    try {
                        Recorded recorded = ring.record(i % 2);
                        assertTrue(recorded == Recorded.QUEUED || recorded == Recorded.DROPPED_CLOSED, recorded.name());
                    } catch (OmomiException refused) {
                        assertTrue(closesRing && refused.code() == Code.CLOSED, refused.toString());
                        assertTrue(refused.getMessage().contains("log ring"), refused.toString());
                    }
                }
                closer.join();
            }
        }
    }
}
