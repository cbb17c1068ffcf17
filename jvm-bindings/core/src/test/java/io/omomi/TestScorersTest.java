package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.junit.jupiter.api.Test;

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
