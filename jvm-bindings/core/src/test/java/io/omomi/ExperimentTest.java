package io.omomi;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
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
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Requests of an experiment: which arm answers, what shadows do, and which candidate is chosen. */
final class ExperimentTest {
    private static final int CANDIDATES = Store.CANDIDATES;
    private static final RequestLayout LAYOUT = RequestLayout.of(Fixture.SCHEMA, CANDIDATES, 16 << 10);
    private static final Map<String, Long> GENERATIONS =
            Map.of("current", ExperimentFile.CURRENT, "wide", ExperimentFile.WIDE, "deep", ExperimentFile.DEEP);

    @TempDir
    Path folder;

    private final Fixture.Text text = new Fixture.Text();
    private ExperimentFile file;

    @BeforeEach
    void makeStores() throws IOException {
        file = new ExperimentFile(folder);
    }

    /** Returns the arm that answers, after comparing its answers with the known ones. */
    private String ask(ExperimentScorer scorer, String requestId) {
        Fixture.fill(scorer.request(), CANDIDATES, text);
        assertEquals(ServingState.SERVING, scorer.predict(CANDIDATES, requestId));
        assertEquals(GENERATIONS.get(scorer.arm()), scorer.generation());
        assertArrayEquals(Store.logits(scorer.generation()), Store.logits(scorer));
        assertEquals("live-ロジック-" + scorer.generation(), scorer.logicId());
        assertEquals("wide-model", scorer.experiment());
        assertEquals(scorer.arm().equals("current"), scorer.isControl());
        return scorer.arm();
    }

    /** Returns request ids of both arms, if the request id is the unit. */
    private Map<String, String> requestIds(ExperimentScorer scorer) {
        Map<String, String> ids = new HashMap<>();
        for (int i = 0; ids.size() < 2; i++) {
            ids.putIfAbsent(ask(scorer, "request-" + i), "request-" + i);
        }
        return ids;
    }

    private static List<String[]> vectors(String kind) throws IOException {
        try (var lines = Files.lines(Fixture.path("omomi.test.experiment.vectors"))) {
            List<String[]> vectors =
                    lines.map(line -> line.split("\t")).filter(vector -> vector[0].equals(kind)).toList();
            assertTrue(vectors.size() >= 20, kind);
            return vectors;
        }
    }

    private static String text(String hex) {
        return hex.equals("-") ? "" : new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
    }

    private void assertBucket(ExperimentScorer scorer, int bucket) {
        assertEquals(bucket, scorer.bucket());
        assertEquals(bucket < 5_000 ? "current" : "wide", scorer.arm());
        assertEquals(bucket < 5_000, scorer.isControl());
        assertFalse(scorer.fellBack());
        assertEquals(GENERATIONS.get(scorer.arm()), scorer.generation());
    }

    @Test
    void ids_get_the_arm_of_their_bucket() throws IOException {
        file.write();
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT)) {
            String salt = null;
            for (String[] vector : vectors("id")) {
                if (!vector[1].equals(salt)) {
                    salt = vector[1];
                    file.salt(Long.parseUnsignedLong(salt)).write();
                    experiment.lookNow();
                }
                scorer.request().clear();
                scorer.request().context().setId(Fixture.MEDIA_ID, Long.parseLong(vector[2]));
                assertEquals(ServingState.SERVING, scorer.predict(1, "r"));
                assertBucket(scorer, Integer.parseInt(vector[3]));
            }
            scorer.request().clear();
            assertEquals(ServingState.SERVING, scorer.predict(1, "r"));
            assertEquals(-1, scorer.bucket());
            assertTrue(scorer.isControl());
        }
    }

    @Test
    void texts_and_request_ids_get_the_arm_of_their_bucket() throws IOException {
        for (boolean isField : new boolean[] {true, false}) {
            file.unit(isField ? "{\"field\": \"region\"}" : "\"request\"").write();
            try (LiveExperiment experiment = file.open(Store.options().name("unit-" + isField).build());
                    ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT)) {
                String salt = null;
                for (String[] vector : vectors("text")) {
                    if (!vector[1].equals(salt)) {
                        salt = vector[1];
                        file.salt(Long.parseUnsignedLong(salt)).write();
                        experiment.lookNow();
                    }
                    String value = text(vector[2]);
                    if (value.isEmpty() && !isField) {
                        continue;
                    }
                    scorer.request().clear();
                    if (isField) {
                        scorer.request().context().setText(Fixture.REGION, value);
                    }
                    assertEquals(ServingState.SERVING, scorer.predict(1, isField ? "r" : value));
                    assertBucket(scorer, Integer.parseInt(vector[3]));
                }
            }
        }
    }

    @Test
    void an_arm_that_is_stopped_by_rename_answers_no_more_and_its_units_get_the_control_arm() throws IOException {
        long first = file.unit("\"request\"").write();
        LiveOptions options = Store.options().pollInterval(Duration.ofMillis(100)).build();
        try (LiveExperiment experiment = file.open(options);
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT)) {
            Map<String, String> ids = requestIds(scorer);
            assertEquals(first, scorer.version());
            long stopped = file.wideState("stopped").write();
            long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
            // Each request is answered, before and after, and by the arm that it says.
            while (ask(scorer, ids.get("wide")).equals("wide")) {
                assertTrue(System.nanoTime() < end, experiment::statusJson);
            }
            assertEquals(stopped, scorer.version());
            assertFalse(scorer.fellBack());
            assertEquals("current", ask(scorer, ids.get("current")));
            file.wideState("serve").write();
            experiment.lookNow();
            assertEquals("wide", ask(scorer, ids.get("wide")));
        }
    }

    @Test
    void an_arm_without_a_model_is_replaced_by_the_control_arm_and_the_status_says_so() throws IOException {
        file.unit("\"request\"").write();
        file.wide.order("off");
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT)) {
            int fellBack = 0;
            for (int i = 0; i < 20; i++) {
                assertEquals("current", ask(scorer, "request-" + i));
                assertEquals(scorer.bucket() >= 5_000, scorer.fellBack());
                fellBack += scorer.fellBack() ? 1 : 0;
            }
            assertTrue(fellBack > 0);
            Map<String, Object> status = Json.map(Json.parse(experiment.statusJson()));
            assertEquals("wide-model", status.get("experiment"));
            Map<String, Object> wide = Json.map(Json.list(status.get("arms")).get(1));
            assertEquals((long) fellBack, wide.get("fell_back_count"));
            assertStatus(experiment.status(), status);
            assertEquals(ArmState.SERVE, experiment.status().arm("wide").get().state());
            String page = page(experiment);
            String labels = "{experiment=\"wide-model\",arm=\"wide\"} ";
            assertTrue(page.contains("\nomomi_experiment_fell_back_requests_total" + labels + fellBack + "\n"), page);
            assertTrue(page.contains("\nomomi_experiment_arm_ready" + labels + "0\n"), page);
            refuses(Code.WRONG_SIZE, () -> experiment.writePrometheus(ByteBuffer.allocateDirect(9)));
            refuses(Code.INVALID_ARGUMENT, () -> experiment.writePrometheus(ByteBuffer.allocate(9)));
            file.current.order("off");
            experiment.lookNow();
            assertEquals(ServingState.OFF, scorer.predict(CANDIDATES, "r"));
            refuses(Code.INVALID_ARGUMENT, scorer::arm);
        }
    }

    /** Compares each value of a status with that of the JSON. */
    private static void assertStatus(ExperimentStatus status, Map<String, Object> json) {
        assertEquals(json.get("experiment"), status.experiment());
        assertEquals(json.get("version"), status.version());
        assertEquals(json.get("problem") != null, status.problem().isPresent());
        assertEquals(json.get("memory_problem") != null, status.memoryProblem().isPresent());
        assertEquals(json.get("without_unit_count"), status.withoutUnitCount());
        assertEquals(json.get("unready_count"), status.unreadyCount());
        List<Object> arms = Json.list(json.get("arms"));
        assertEquals(arms.size(), status.arms().size());
        for (int i = 0; i < arms.size(); i++) {
            Map<String, Object> expected = Json.map(arms.get(i));
            ExperimentStatus.Arm arm = status.arms().get(i);
            assertEquals(expected.get("name"), arm.name());
            assertEquals(expected.get("store"), arm.store());
            assertEquals(expected.get("state"), arm.state().name().toLowerCase(java.util.Locale.ROOT));
            assertEquals(expected.get("share"), (long) arm.share());
            assertEquals(expected.get("is_control"), arm.isControl());
            assertEquals(expected.get("is_ready"), arm.isReady());
            assertEquals(expected.get("generation") != null, arm.generation().isPresent());
            arm.generation().ifPresent(generation -> assertEquals(expected.get("generation"), generation));
            assertEquals(expected.get("logic_id"), arm.logicId().orElse(null));
            List<Object> reasons = Json.list(expected.get("reasons"));
            assertEquals(reasons.size(), arm.reasons().size());
            for (int k = 0; k < reasons.size(); k++) {
                assertEquals(Json.map(reasons.get(k)).get("text"), arm.reasons().get(k).text());
            }
            assertEquals(expected.get("answered_count"), arm.answeredCount());
            assertEquals(expected.get("fell_back_count"), arm.fellBackCount());
            assertEquals(expected.get("failed_count"), arm.failedCount());
            assertEquals(expected.get("guard_stop") != null, arm.guardStop().isPresent());
            assertEquals(expected.get("shadow_count"), arm.shadowCount());
            assertEquals(expected.get("shadow_skipped_count"), arm.shadowSkippedCount());
            assertEquals(expected.get("shadow_failed_count"), arm.shadowFailedCount());
        }
    }

    private static String page(LiveExperiment experiment) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(64 << 10);
        experiment.writePrometheus(buffer);
        byte[] bytes = new byte[buffer.position()];
        buffer.flip();
        buffer.get(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    @Test
    void a_shadow_is_never_returned_and_is_logged_with_the_answers_of_its_arm() throws Exception {
        file.unit("\"request\"").shadowShare(5_000).write();
        Set<String> shadowed = new TreeSet<>();
        Map<String, String> arms = new HashMap<>();
        Map<String, Integer> buckets = new HashMap<>();
        Path served = folder.resolve("served");
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT.forModels(2));
                ServingLog log = ServingLog.open(served, LogOptions.builder().detailsPerMillion(0).build());
                LogRing ring = log.ring(scorer)) {
            for (int i = 0; i < 40; i++) {
                String id = "request-" + i;
                arms.put(id, ask(scorer, id));
                buckets.put(id, scorer.bucket());
                if (scorer.shadowCount() == 1) {
                    shadowed.add(id);
                }
                assertEquals(1, scorer.modelCount());
                refuses(Code.INVALID_ARGUMENT, () -> scorer.answers(1));
                ring.served().clear().requestId(id).experiment("ignored").arm("ignored").bucket(1).position(0);
                assertEquals(Recorded.QUEUED, ring.record(i % CANDIDATES));
            }
            assertTrue(log.flush(Duration.ofMinutes(1)));
        }
        assertTrue(shadowed.size() > 5 && shadowed.size() < 35, shadowed::toString);
        assertEquals(2, Set.copyOf(arms.values()).size());
        LogReader reader = LogReader.read(served);
        assertEquals(40, reader.predictions.size());
        for (Map<String, Object> record : reader.predictions) {
            assertRecord(record, arms.get((String) record.get("request")), buckets);
        }
        Set<String> logged = new TreeSet<>();
        for (Map<String, Object> record : reader.shadows) {
            assertRecord(record, "deep", buckets);
            logged.add((String) record.get("request"));
        }
        assertEquals(shadowed, logged);
        assertEquals(shadowed.size(), reader.shadows.size());
    }

    private static void assertRecord(Map<String, Object> record, String arm, Map<String, Integer> buckets) {
        String request = (String) record.get("request");
        assertEquals("wide-model", record.get("experiment"));
        assertEquals(arm, record.get("arm"));
        assertEquals((long) buckets.get(request), record.get("bucket"));
        int candidate = Integer.parseInt(request.substring("request-".length())) % CANDIDATES;
        LogReader.assertBits(Store.logits(GENERATIONS.get(arm))[candidate], record);
    }

    @Test
    void a_request_without_a_unit_counts_for_no_arm_in_the_log() throws Exception {
        file.write();
        Path served = folder.resolve("served");
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT);
                ServingLog log = ServingLog.open(served);
                LogRing ring = log.ring(scorer)) {
            scorer.request().clear();
            scorer.request().candidate(0).setId(Fixture.CREATIVE_ID, 1);
            assertEquals(ServingState.SERVING, scorer.predict("r"));
            assertEquals(-1, scorer.bucket());
            ring.served().clear().requestId("r");
            assertEquals(Recorded.QUEUED, ring.record(0));
        }
        Map<String, Object> record = LogReader.read(served).predictions.get(0);
        assertEquals("", record.get("experiment"));
        assertEquals("", record.get("arm"));
        assertEquals(null, record.get("bucket"));
    }

    @Test
    void choices_and_propensities_are_those_of_the_vectors_and_the_log_has_them() throws Exception {
        file.unit("\"request\"");
        Map<List<String>, List<String[]>> policies = new LinkedHashMap<>();
        for (String[] vector : vectors("choice")) {
            policies.computeIfAbsent(Arrays.asList(vector).subList(1, 5), policy -> new ArrayList<>()).add(vector);
        }
        assertTrue(policies.size() > 3);
        file.write();
        Path served = folder.resolve("served");
        List<String> expected = new ArrayList<>();
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT);
                ServingLog log = ServingLog.open(served, LogOptions.builder().detailsPerMillion(0).build());
                LogRing ring = log.ring(scorer)) {
            for (Map.Entry<List<String>, List<String[]>> policy : policies.entrySet()) {
                List<String> named = policy.getKey();
                file.salt(Long.parseUnsignedLong(named.get(0)));
                file.exploration("{\"share\": " + named.get(1) + ", \"" + named.get(2) + "\": " + named.get(3) + "}");
                file.write();
                experiment.lookNow();
                for (String[] vector : policy.getValue()) {
                    String id = text(vector[5]);
                    double[] utilities = Arrays.stream(vector[6].split(","))
                            .mapToDouble(utility -> utility.equals("-") ? Double.NaN : Double.parseDouble(utility))
                            .toArray();
                    Fixture.fill(scorer.request(), CANDIDATES, text);
                    assertEquals(ServingState.SERVING, scorer.predict(utilities.length, id));
                    Choice choice = scorer.choose(id, utilities);
                    String what = String.join(" ", vector) + ": " + choice;
                    assertEquals(Integer.parseInt(vector[7]), choice.candidate(), what);
                    assertTrue(choice.hasCandidate() && choice.hasPropensity(), what);
                    assertEquals(Double.parseDouble(vector[8]), choice.propensity(), 1e-12, what);
                    assertEquals(vector[9].equals("1"), choice.isExploring(), what);
                    ring.served().clear().requestId(id).choice(choice);
                    assertEquals(Recorded.QUEUED, ring.record(choice.candidate()));
                    expected.add(String.format("%016x", Double.doubleToRawLongBits(choice.propensity())));
                }
            }
        }
        List<Object> logged = new ArrayList<>();
        LogReader.read(served).predictions.forEach(record -> logged.add(record.get("propensity")));
        assertEquals(expected, logged);
    }

    @Test
    void a_server_that_always_takes_the_best_has_no_propensity_in_the_log_either() throws Exception {
        file.write();
        Path served = folder.resolve("served");
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT);
                ServingLog log = ServingLog.open(served);
                LogRing ring = log.ring(scorer)) {
            ask(scorer, "r");
            double[] utilities = new double[CANDIDATES + 3];
            utilities[4] = 2;
            utilities[5] = Double.NaN;
            utilities[7] = 2;
            // Beyond the answered candidates.
            utilities[CANDIDATES] = 9;
            Choice choice = scorer.choose("r", utilities);
            assertEquals(4, choice.candidate());
            assertFalse(choice.hasPropensity() || choice.isExploring());
            assertEquals("Choice(candidate 4)", choice.toString());
            ring.served().clear().requestId("r").propensity(0.5).choice(choice);
            assertEquals(Recorded.QUEUED, ring.record(choice.candidate()));
            Arrays.fill(utilities, Double.NaN);
            assertSame(choice, scorer.choose("r", utilities));
            assertFalse(choice.hasCandidate());
            assertEquals(-1, choice.candidate());
        }
        // NaN: not given.
        assertEquals("7ff8000000000000", LogReader.read(served).predictions.get(0).get("propensity"));
    }

    @Test
    void prepared_candidates_explanations_time_limits_and_the_fallback_file_work_as_with_a_live_model()
            throws IOException {
        file.shadowShare(10_000).write();
        LiveOptions options = Store.options().fallbackFile(Fixture.weightFile()).build();
        RequestLayout prepared = RequestLayout.prepared(Fixture.SCHEMA, CANDIDATES, 4096).forModels(2);
        try (LiveExperiment experiment = file.open(options);
                CandidateSet set = Fixture.candidateSet(CANDIDATES, text);
                ExperimentScorer scorer = ExperimentScorer.open(experiment, prepared, set);
                ServingLog log = ServingLog.open(
                        folder.resolve("served"), LogOptions.builder().detailsPerMillion(0).build());
                LogRing ring = log.ring(scorer)) {
            Fixture.fillContext(scorer.request(), text);
            for (int i = 0; i < CANDIDATES; i++) {
                scorer.request().setCandidate(i, i);
            }
            assertEquals(ServingState.SERVING, scorer.predict("r"));
            assertEquals(1, scorer.shadowCount());
            assertArrayEquals(Store.logits(scorer.generation()), Store.logits(scorer));
            Explanation why = scorer.explain(3);
            assertEquals(scorer.logit(3), why.logit());
            assertEquals(ServingState.SERVING, scorer.predictWithin(CANDIDATES, "r", 0));
            assertEquals(CANDIDATES, scorer.lateCount());
            assertEquals(0, scorer.shadowCount());
            assertEquals(ServingState.SERVING, scorer.predictFallback());
            assertEquals(42, scorer.generation());
            assertEquals("jvm-test-ロジック", scorer.logicId());
            ring.served().clear().requestId("r").source(Source.OFF);
            assertEquals(Recorded.QUEUED, ring.record(3));
            assertTrue(log.flush(Duration.ofMinutes(1)));
            assertEquals(1, log.metrics().writtenCount(), log.metrics().toString());
            refuses(Code.INVALID_ARGUMENT, scorer::arm);
            refuses(Code.INVALID_ARGUMENT, () -> scorer.choose("r", new double[CANDIDATES]));
            refuses(Code.INVALID_ARGUMENT, () -> scorer.explain(3));
        }
    }

    @Test
    void careless_calls_are_refused_by_name_and_leave_no_answers() throws IOException {
        file.write();
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT)) {
            refuses(Code.INVALID_ARGUMENT, scorer::arm);
            refuses(Code.INVALID_ARGUMENT, scorer::logicId);
            refuses(Code.NULL_ARGUMENT, () -> LiveExperiment.open(null, Fixture.SCHEMA));
            refuses(Code.NULL_ARGUMENT, () -> LiveExperiment.open(file.path, null));
            refuses(Code.NULL_ARGUMENT, () -> LiveExperiment.open(file.path, Fixture.SCHEMA, null));
            refuses(Code.INVALID_ARGUMENT, () -> file.open(LiveOptions.builder().name("").build()));
            refuses(Code.NULL_ARGUMENT, () -> ExperimentScorer.open(null, LAYOUT));
            refuses(Code.NULL_ARGUMENT, () -> ExperimentScorer.open(experiment, null));
            refuses(Code.NULL_ARGUMENT, () -> ExperimentScorer.open(experiment, LAYOUT, null));
            RequestLayout prepared = RequestLayout.prepared(Fixture.SCHEMA, 1, 0);
            refuses(Code.INVALID_ARGUMENT, () -> ExperimentScorer.open(experiment, prepared));
            Schema other = Schema.builder().id("creative_id", Side.CANDIDATE).build();
            refuses(Code.INVALID_ARGUMENT, () -> ExperimentScorer.open(experiment, RequestLayout.of(other, 1, 0)));
            Map<String, Code> ids = new LinkedHashMap<>();
            ids.put(null, Code.NULL_ARGUMENT);
            ids.put("", Code.RECORD_INVALID);
            ids.put("x".repeat(129), Code.RECORD_INVALID);
            ids.put("媒".repeat(43), Code.RECORD_INVALID);
            ids.put("x\ud800", Code.NOT_UTF8);
            for (Map.Entry<String, Code> id : ids.entrySet()) {
                ask(scorer, "媒".repeat(42) + "xx");
                refuses(id.getValue(), () -> scorer.predict(CANDIDATES, id.getKey()));
                assertEquals(0, scorer.answeredCount());
                refuses(Code.INVALID_ARGUMENT, scorer::arm);
            }
            refuses(Code.TOO_MANY_CANDIDATES, () -> scorer.predict(CANDIDATES + 1, "r"));
            double[] utilities = new double[CANDIDATES];
            refuses(Code.INVALID_ARGUMENT, () -> scorer.choose("r", utilities));
            ask(scorer, "r");
            refuses(Code.NULL_ARGUMENT, () -> scorer.choose(null, utilities));
            refuses(Code.NULL_ARGUMENT, () -> scorer.choose("r", null));
            refuses(Code.INVALID_ARGUMENT, () -> scorer.choose("r", new double[CANDIDATES - 1]));
            refuses(Code.NOT_UTF8, () -> scorer.choose("\udc00", utilities));
            utilities[1] = Double.NEGATIVE_INFINITY;
            refuses(Code.RECORD_INVALID, () -> scorer.choose("r", utilities));
        }
    }

    @Test
    void a_file_that_is_not_good_leaves_the_last_good_one_in_force_and_none_means_no_model() throws IOException {
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT)) {
            assertEquals(ServingState.NO_MODEL, scorer.predict(1, "r"));
            assertTrue(Json.map(Json.parse(experiment.statusJson())).get("problem") != null, experiment::statusJson);
            long good = file.write();
            experiment.lookNow();
            ask(scorer, "r");
            file.wideState("serving").write();
            experiment.lookNow();
            ask(scorer, "r");
            assertEquals(good, scorer.version());
            assertTrue(Json.map(Json.parse(experiment.statusJson())).get("problem") != null, experiment::statusJson);
        }
    }

    @Test
    void another_thread_is_refused_until_the_scorer_is_handed_over() throws Exception {
        file.write();
        try (LiveExperiment experiment = file.open();
                ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT)) {
            String arm = ask(scorer, "r");
            List<Executable> calls = List.of(
                    () -> scorer.predict(1, "r"),
                    () -> scorer.predict("r"),
                    scorer::arm,
                    scorer::bucket,
                    scorer::logicId,
                    () -> scorer.choose("r", new double[CANDIDATES]));
            onAnotherThread(() -> calls.forEach(call -> refuses(Code.SCORER_BUSY, call)));
            assertEquals(arm, scorer.arm());
            scorer.handOver();
            onAnotherThread(() -> assertEquals(arm, ask(scorer, "r")));
        }
    }

    @Test
    void a_scorer_outlives_its_experiment_and_after_its_own_close_every_method_throws() throws IOException {
        file.unit("\"request\"").write();
        int openCount = Handle.openCount();
        LiveExperiment experiment = file.open();
        ExperimentScorer scorer = ExperimentScorer.open(experiment, LAYOUT);
        Map<String, String> ids = requestIds(scorer);
        Choice choice = scorer.choose("r", new double[CANDIDATES]);
        experiment.close();
        experiment.close();
        ids.forEach((arm, id) -> assertEquals(arm, ask(scorer, id)));
        refuses(Code.CLOSED, experiment::lookNow);
        refuses(Code.CLOSED, experiment::statusJson);
        refuses(Code.CLOSED, () -> ExperimentScorer.open(experiment, LAYOUT));
        assertEquals("LiveExperiment(" + file.path + ")", experiment.toString());
        scorer.close();
        scorer.close();
        List<Executable> calls = List.of(
                scorer::request,
                () -> scorer.predict("r"),
                () -> scorer.predict(1, "r"),
                () -> scorer.predictWithin(1, "r", 1),
                () -> scorer.predictFallback(1),
                () -> scorer.choose("r", new double[CANDIDATES]),
                choice::candidate,
                choice::propensity,
                choice::isExploring,
                choice::hasCandidate,
                scorer::arm,
                scorer::experiment,
                scorer::bucket,
                scorer::isControl,
                scorer::fellBack,
                scorer::shadowCount,
                scorer::version,
                scorer::logicId,
                () -> scorer.explain(0));
        calls.forEach(call -> refuses(Code.CLOSED, call));
        assertEquals(openCount, Handle.openCount());
    }

    private static void refuses(Code code, Executable call) {
        assertEquals(code, assertThrows(OmomiException.class, call).code());
    }

    private static void onAnotherThread(Runnable body) throws InterruptedException {
        List<Throwable> thrown = new ArrayList<>();
        Thread thread = new Thread(body);
        thread.setUncaughtExceptionHandler((one, error) -> thrown.add(error));
        thread.start();
        thread.join();
        assertEquals(List.of(), thrown);
    }
}
