package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Scorers with given answers behave like real ones, for code that cannot tell them apart. */
final class TestScorersTest {
    private static final RequestLayout LAYOUT = RequestLayout.of(Fixture.SCHEMA, 4, 256);

    private static double byCreative(int candidate, Map<String, String> values) {
        return values.getOrDefault("creative_id", "").equals("7") ? 0.9 : 0.1;
    }

    @Test
    void candidates_get_the_answers_that_the_test_gives() {
        try (Scorer scorer = TestScorers.scorer(LAYOUT.forModels(2), "given-ロジック", TestScorersTest::byCreative)) {
            Request request = scorer.request();
            request.clear();
            for (int i = 0; i < 3; i++) {
                request.candidate(i).setId(Fixture.CREATIVE_ID, 6 + i);
            }
            assertEquals(0, scorer.answeredCount());
            scorer.predict(3);
            float[] probabilities = new float[3];
            assertEquals(3, scorer.answers(1).probabilities(probabilities));
            assertEquals(0.9f, probabilities[1]);
            assertEquals(0.1f, scorer.probability(2));
            assertEquals(Math.log(9), scorer.logit(1), 1e-12);
            assertEquals(CandidateStatus.SCORED, scorer.status(0));
            assertEquals("3 0 1", scorer.scoredCount() + " " + scorer.refusedCount() + " " + scorer.generation());
            assertEquals("given-ロジック", scorer.answers(1).logicId());
            assertEquals(0, scorer.unseenCount());
            // What the native library would be asked for is refused, and nothing crashes.
            assertEquals(Code.INVALID_ARGUMENT, assertThrows(OmomiException.class, () -> scorer.explain(0)).code());
            scorer.predictWithin(1, 0);
            assertEquals(1, scorer.answeredCount());
        }
    }

    @Test
    void a_live_scorer_has_answers_while_the_test_says_that_it_serves() {
        ServingState[] state = {ServingState.NO_MODEL};
        try (LiveScorer scorer = TestScorers.liveScorer(LAYOUT, "given", () -> state[0], (i, values) -> 0.5)) {
            scorer.request().clear();
            scorer.request().candidate(0);
            scorer.request().candidate(1);
            assertEquals(ServingState.NO_MODEL, scorer.predict(2));
            assertEquals(0, scorer.answeredCount());
            assertThrows(OmomiException.class, scorer::logicId);
            state[0] = ServingState.SERVING;
            assertEquals(ServingState.SERVING, scorer.predict(2));
            assertEquals(0.5f, scorer.probability(1));
            assertEquals("given", scorer.logicId());
            state[0] = ServingState.OFF;
            assertEquals(ServingState.OFF, scorer.predictWithin(2, 1_000));
            assertThrows(OmomiException.class, () -> scorer.probability(0));
        }
    }

    @Test
    void an_experiment_scorer_answers_with_the_arm_that_the_test_names() {
        TestScorers.GivenArm current = TestScorers.GivenArm.of("current", "logic-a", 17);
        TestScorers.GivenArm wide = TestScorers.GivenArm.of("wide", "logic-ロジック", 9_999);
        Map<String, TestScorers.GivenArm> arms = Map.of(
                "a", current.asControl(),
                "b", wide,
                "リクエスト", wide.exploring(2, 0.25),
                "ineligible", wide.exploring(0, 0.25),
                "instead", current.asFallback(),
                "without unit", current.withoutUnit());
        try (ExperimentScorer scorer = TestScorers.experimentScorer(
                LAYOUT.forModels(2), "wide-model", arms::get, TestScorersTest::byCreative)) {
            for (int round = 0; round < 2; round++) {
                assertEquals("current 17 control logic-a 1 NaN", asked(scorer, "a"));
                assertEquals("wide 9999 logic-ロジック 1 NaN", asked(scorer, "b"));
                assertEquals("wide 9999 logic-ロジック 2 0.25", asked(scorer, "リクエスト"));
                assertEquals("wide 9999 logic-ロジック 1 NaN", asked(scorer, "ineligible"));
                assertEquals("current 17 control fell back logic-a 1 NaN", asked(scorer, "instead"));
                assertEquals("current -1 control logic-a 1 NaN", asked(scorer, "without unit"));
            }
            assertEquals("wide-model 1 1 0", scorer.experiment() + " " + scorer.version() + " " + scorer.generation()
                    + " " + scorer.shadowCount());
            assertEquals(0.9f, scorer.probability(1));
            double[] none = {Double.NaN, Double.NaN, Double.NaN};
            assertEquals(-1, scorer.choose("a", none).candidate());
            refused(Code.RECORD_INVALID, () -> scorer.choose("a", new double[] {1, Double.POSITIVE_INFINITY, 1}));
            refused(Code.INVALID_ARGUMENT, () -> scorer.choose("a", new double[] {1}));
            refused(Code.RECORD_INVALID, () -> scorer.predict(3, ""));
            refused(Code.RECORD_INVALID, () -> scorer.predict(3, "r".repeat(129)));
            assertEquals(ServingState.NO_MODEL, scorer.predict(3, "of no arm"));
            refused(Code.INVALID_ARGUMENT, scorer::arm);
            assertEquals(ServingState.NO_MODEL, scorer.predictFallback(3));
            refused(Code.INVALID_ARGUMENT, () -> scorer.choose("a", new double[] {1, 2, 3}));
        }
        refused(Code.NULL_ARGUMENT, () -> TestScorers.experimentScorer(LAYOUT, "x", null, (i, values) -> 0.5));
        refused(Code.NULL_ARGUMENT, () -> TestScorers.GivenArm.of(null, "logic", 0));
        refused(Code.INVALID_ARGUMENT, () -> TestScorers.GivenArm.of("a", "logic", 10_000));
        refused(Code.INVALID_ARGUMENT, () -> wide.exploring(0, 0));
    }

    /** Scores a request and chooses, and returns who answered and what was chosen. */
    private static String asked(ExperimentScorer scorer, String requestId) {
        scorer.request().clear();
        for (int i = 0; i < 3; i++) {
            scorer.request().candidate(i).setId(Fixture.CREATIVE_ID, 6 + i);
        }
        assertEquals(ServingState.SERVING, scorer.predict(requestId));
        Choice choice = scorer.choose(requestId, new double[] {Double.NaN, scorer.probability(1), 0.2});
        assertEquals(choice.isExploring(), choice.hasPropensity());
        return scorer.arm() + " " + scorer.bucket() + (scorer.isControl() ? " control" : "")
                + (scorer.fellBack() ? " fell back " : " ") + scorer.logicId() + " " + choice.candidate() + " "
                + choice.propensity();
    }

    private static void refused(Code code, Executable call) {
        assertEquals(code, assertThrows(OmomiException.class, call).code());
    }

    @Test
    void wrong_calls_are_refused_as_by_a_real_scorer() {
        Scorer scorer = TestScorers.scorer(LAYOUT, "given", (i, values) -> i == 0 ? Double.NaN : i / 2.0);
        scorer.request().clear();
        scorer.request().candidate(0);
        scorer.request().candidate(1);
        scorer.request().candidate(3);
        scorer.predict(2);
        assertTrue(Float.isNaN(scorer.probability(0)) && Double.isNaN(scorer.logit(0)));
        assertEquals("1 1", scorer.scoredCount() + " " + scorer.refusedCount());
        // Candidate 2 was never filled, and candidate 3 would get a probability of 1.5.
        scorer.request().candidate(2);
        assertEquals(Code.INVALID_ARGUMENT, assertThrows(OmomiException.class, scorer::predict).code());
        scorer.request().clear();
        scorer.request().candidate(1);
        scorer.predict(3);
        assertEquals(CandidateStatus.NOT_FILLED, scorer.status(0));
        assertEquals(CandidateStatus.SCORED, scorer.status(1));
        assertEquals(CandidateStatus.NOT_FILLED, scorer.status(2));
        scorer.request().candidate(2);
        // A probability of 1 is a mistake of the test.
        assertEquals(Code.INVALID_ARGUMENT, assertThrows(OmomiException.class, () -> scorer.predict(3)).code());
        assertEquals(0, scorer.answeredCount());
        assertThrows(OmomiException.class, () -> scorer.predict(5));
        scorer.close();
        scorer.close();
        assertEquals(Code.CLOSED, assertThrows(OmomiException.class, () -> scorer.predict(1)).code());
        for (Runnable careless : new Runnable[] {
            () -> TestScorers.scorer(null, "given", (i, values) -> 0.5),
            () -> TestScorers.scorer(LAYOUT, null, (i, values) -> 0.5),
            () -> TestScorers.scorer(LAYOUT, "given", null),
            () -> TestScorers.liveScorer(LAYOUT, "given", null, (i, values) -> 0.5)
        }) {
            assertEquals(Code.NULL_ARGUMENT, assertThrows(OmomiException.class, careless::run).code());
        }
    }

    @Test
    void a_given_scorer_holds_no_native_object() {
        int before = Handle.openCount();
        TestScorers.scorer(LAYOUT, "given", (i, values) -> 0.5);
        assertEquals(before, Handle.openCount());
    }
}
