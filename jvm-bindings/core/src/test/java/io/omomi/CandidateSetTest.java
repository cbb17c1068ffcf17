package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.function.Executable;

/** Prepared candidates, several models and time limits give the answers of rows and of single models, bit for bit. */
final class CandidateSetTest {
    private static final int CANDIDATES = 200;
    private static final RequestLayout PREPARED = RequestLayout.prepared(Fixture.SCHEMA, CANDIDATES, 4096);
    private static final String UNPAIRED = "東\ud83d京";

    private final int openAtFirst = Handle.openCount();
    private final Fixture.Text text = new Fixture.Text();
    private final Model model = Fixture.model();
    private final CandidateSet set = Fixture.candidateSet(CANDIDATES, text);
    private final Scorer inline = Scorer.open(model, Fixture.LAYOUT);
    private final Scorer scorer = Scorer.open(Arrays.asList(model, model), PREPARED.forModels(2), set);

    @BeforeEach
    void fill() {
        Fixture.fill(inline.request(), CANDIDATES, text);
        inline.predict(CANDIDATES);
        Fixture.fillContext(scorer.request(), text);
        for (int i = 0; i < CANDIDATES; i++) {
            scorer.request().setCandidate(i, CANDIDATES - 1 - i);
        }
    }

    @AfterEach
    void close() {
        inline.close();
        scorer.close();
        set.close();
        set.close();
        model.close();
        assertEquals(openAtFirst, Handle.openCount());
    }

    private static void assertSame(Scorer expected, int candidate, Scorer found, int model, int named) {
        assertEquals(CandidateStatus.SCORED, found.status(model, named));
        assertEquals(Double.doubleToRawLongBits(expected.logit(candidate)), Double.doubleToRawLongBits(found.logit(model, named)));
        assertEquals(expected.probability(candidate), found.probability(model, named));
    }

    @Test
    void each_model_gives_prepared_candidates_the_answers_of_their_rows() {
        scorer.predict(CANDIDATES);
        for (int of = 0; of < 2; of++) {
            for (int i = 0; i < CANDIDATES; i++) {
                assertSame(inline, CANDIDATES - 1 - i, scorer, of, i);
            }
            assertEquals(inline.scoredCount(), scorer.scoredCount(of));
            assertEquals(inline.unseenCount(), scorer.unseenCount(of));
            assertEquals(inline.missingCount(), scorer.missingCount(of));
            assertEquals(inline.invalidNumberCount(), scorer.invalidNumberCount(of));
            assertEquals(model.generation(), scorer.generation(of));
            assertEquals(model.logicId(), scorer.logicId(of));
        }
        assertEquals(2, scorer.modelCount());
        assertEquals(scorer.logit(0), scorer.explain(0).logit());
    }

    @Test
    void indices_set_together_equal_indices_set_one_by_one() {
        int[] names = new int[CANDIDATES];
        Arrays.setAll(names, i -> i);
        scorer.request().setCandidates(names, CANDIDATES - 1);
        scorer.predict(CANDIDATES);
        for (int i = 0; i < CANDIDATES - 1; i++) {
            assertSame(inline, i, scorer, 1, i);
        }
        // The last one still has its index.
        assertSame(inline, 0, scorer, 1, CANDIDATES - 1);
    }

    @Test
    void refused_indices_leave_the_others_unchanged() {
        assertRefused(Code.NULL_ARGUMENT, () -> scorer.request().setCandidates(null, 0));
        assertRefused(Code.INVALID_ARGUMENT, () -> scorer.request().setCandidates(new int[3], 4));
        assertRefused(Code.INVALID_ARGUMENT, () -> scorer.request().setCandidates(new int[3], -1));
        int[] tooMany = new int[CANDIDATES + 1];
        assertRefused(Code.TOO_MANY_CANDIDATES, () -> scorer.request().setCandidates(tooMany, CANDIDATES + 1));
        scorer.request().setCandidates(tooMany, 0);
        each_model_gives_prepared_candidates_the_answers_of_their_rows();
    }

    private static void assertRefused(Code code, Executable call) {
        assertEquals(code, assertThrows(OmomiException.class, call).code());
    }

    @Test
    void probabilities_read_together_equal_those_read_one_by_one() {
        inline.request().candidate(3).setText(Fixture.CATEGORY, UNPAIRED);
        inline.predict(CANDIDATES);
        scorer.predict(CANDIDATES - 1);
        float[] found = new float[CANDIDATES];
        Arrays.fill(found, 7);
        assertEquals(CANDIDATES - 1, scorer.probabilities(1, found));
        for (int i = 0; i < CANDIDATES - 1; i++) {
            assertEquals(scorer.probability(1, i), found[i]);
        }
        assertEquals(7, found[CANDIDATES - 1]);
        assertEquals(CANDIDATES, inline.probabilities(found));
        assertTrue(Float.isNaN(found[3]));
        assertEquals(inline.probability(CANDIDATES - 1), found[CANDIDATES - 1]);
    }

    @Test
    void a_candidate_that_was_not_named_since_the_request_was_cleared_is_not_scored() {
        scorer.request().clear();
        Fixture.fillContext(scorer.request(), text);
        scorer.request().setCandidate(2, 6);
        scorer.predict(5);
        for (int i : new int[] {0, 1, 3, 4}) {
            assertEquals(CandidateStatus.NOT_FILLED, scorer.status(1, i));
            assertTrue(Float.isNaN(scorer.probability(i)));
        }
        assertSame(inline, 6, scorer, 1, 2);
        assertEquals(4, scorer.refusedCount());
        scorer.predict();
        assertEquals(3, scorer.answeredCount());
    }

    @Test
    void rows_may_be_replaced_and_removed_and_a_gap_fails_alone() {
        assertEquals(CANDIDATES, set.count());
        assertTrue(set.remove(5));
        assertFalse(set.remove(5));
        set.put(7, row -> Fixture.fillCandidate(row, 9, text));
        scorer.request().setCandidate(0, 5);
        scorer.request().setCandidate(1, 7);
        scorer.request().setCandidate(2, -1);
        scorer.request().setCandidate(3, CANDIDATES + 1);
        scorer.request().setCandidate(4, 6);
        scorer.predict(5);
        for (int gap : new int[] {0, 2, 3}) {
            assertEquals(CandidateStatus.NO_CANDIDATE, scorer.status(gap));
            assertTrue(Float.isNaN(scorer.probability(1, gap)));
        }
        assertSame(inline, 9, scorer, 0, 1);
        assertSame(inline, 6, scorer, 1, 4);
        assertEquals(2, scorer.scoredCount());
        assertEquals(3, scorer.refusedCount(1));
        assertEquals(5, set.add(row -> Fixture.fillCandidate(row, 5, text)), "the lowest free index");
        assertEquals(CANDIDATES, set.add(row -> {}), "after the last");
        assertEquals(CANDIDATES + 1, set.count());
        assertEquals(CANDIDATES + 10, set.capacity());
    }

    @Test
    void candidates_not_reached_in_time_are_late_and_none_is_half_scored() {
        for (long budget : new long[] {Long.MIN_VALUE, -1, 0, 1_000, 20_000, Long.MAX_VALUE}) {
            inline.predictWithin(CANDIDATES, Long.MAX_VALUE);
            scorer.predictWithin(CANDIDATES, budget);
            int scored = scorer.scoredCount();
            assertEquals(CANDIDATES, scored + scorer.lateCount());
            assertTrue(budget > 0 || scored == 0);
            assertTrue(budget != Long.MAX_VALUE || scored == CANDIDATES);
            for (int i = 0; i < CANDIDATES; i++) {
                if (i < scored) {
                    assertSame(inline, CANDIDATES - 1 - i, scorer, 1, i);
                } else {
                    assertEquals(CandidateStatus.LATE, scorer.status(1, i));
                    assertTrue(Float.isNaN(scorer.probability(i)));
                }
            }
        }
    }

    @Test
    void every_answer_is_of_a_row_that_was_there_while_another_thread_changes_rows() throws InterruptedException {
        AtomicBoolean done = new AtomicBoolean();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Thread changing = new Thread(() -> {
            try {
                for (int turn = 0; !done.get(); turn++) {
                    int creative = turn % 2;
                    set.put(0, row -> Fixture.fillCandidate(row, creative, text));
                    if (turn % 7 == 0) {
                        set.remove(0);
                    }
                }
            } catch (Throwable thrown) {
                failure.set(thrown);
            }
        });
        changing.start();
        scorer.request().setCandidate(0, 0);
        for (int turn = 0; turn < 20_000; turn++) {
            scorer.predict(1);
            if (scorer.status(0) == CandidateStatus.SCORED) {
                double logit = scorer.logit(0);
                assertTrue(logit == inline.logit(0) || logit == inline.logit(1));
            } else {
                assertEquals(CandidateStatus.NO_CANDIDATE, scorer.status(0));
            }
        }
        done.set(true);
        changing.join();
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
    }

    @Test
    void a_scorer_outlives_its_set() {
        set.close();
        scorer.predict(1);
        assertSame(inline, CANDIDATES - 1, scorer, 0, 0);
    }

    @TestFactory
    Stream<DynamicTest> a_careless_call_throws_with_its_code_and_changes_nothing() {
        Request named = scorer.request();
        Schema other = Schema.builder().id("media_id", Side.CONTEXT).build();
        List<Model> models = Collections.singletonList(model);
        return Stream.of(
                careless("null schema", Code.NULL_ARGUMENT, () -> CandidateSet.open(null, 1, 0)),
                careless("no capacity", Code.INVALID_ARGUMENT, () -> CandidateSet.open(Fixture.SCHEMA, 0, 0)),
                careless("capacity -1", Code.INVALID_ARGUMENT, () -> CandidateSet.open(Fixture.SCHEMA, -1, 0)),
                careless("enormous capacity", Code.INVALID_ARGUMENT,
                        () -> CandidateSet.open(Fixture.SCHEMA, Integer.MAX_VALUE, 0)),
                careless("1,025 values", Code.INVALID_ARGUMENT, () -> CandidateSet.open(Fixture.SCHEMA, 1, 1_025)),
                careless("null fill", Code.NULL_ARGUMENT, () -> set.add(null)),
                careless("null fill of put", Code.NULL_ARGUMENT, () -> set.put(0, null)),
                careless("put at -1", Code.INVALID_ARGUMENT, () -> set.put(-1, row -> {})),
                careless("put after the last", Code.INVALID_ARGUMENT, () -> set.put(CANDIDATES + 10, row -> {})),
                careless("remove -1", Code.INVALID_ARGUMENT, () -> set.remove(-1)),
                careless("remove after the last", Code.INVALID_ARGUMENT, () -> set.remove(CANDIDATES + 10)),
                careless("unpaired surrogate", Code.INVALID_ARGUMENT,
                        () -> set.add(row -> row.setText(Fixture.CATEGORY, UNPAIRED))),
                careless("too many values", Code.INVALID_ARGUMENT,
                        () -> set.add(row -> row.setIds(Fixture.CAMPAIGN_ID, new long[9], 9))),
                careless("text larger than a row may be", Code.TAIL_FULL,
                        () -> set.add(row -> row.setText(Fixture.CATEGORY, "x".repeat(2 << 20)))),
                careless("context field", Code.WRONG_FIELD_USE, () -> set.add(row -> row.setId(Fixture.MEDIA_ID, 1))),
                careless("a fill that adds", Code.INVALID_ARGUMENT, () -> set.add(row -> set.add(inner -> {}))),
                careless("a fill that puts", Code.INVALID_ARGUMENT, () -> set.put(0, row -> set.put(0, inner -> {}))),
                careless("row of a prepared candidate", Code.INVALID_ARGUMENT, () -> named.candidate(0)),
                careless("name of a row", Code.INVALID_ARGUMENT, () -> inline.request().setCandidate(0, 0)),
                careless("name after the last", Code.TOO_MANY_CANDIDATES, () -> named.setCandidate(CANDIDATES, 0)),
                careless("name -1", Code.INVALID_ARGUMENT, () -> named.setCandidate(-1, 0)),
                careless("predict too many within", Code.TOO_MANY_CANDIDATES,
                        () -> scorer.predictWithin(CANDIDATES + 1, 1_000)),
                careless("predict -1 within", Code.INVALID_ARGUMENT, () -> scorer.predictWithin(-1, 1_000)),
                careless("answer of model 2", Code.INVALID_ARGUMENT, () -> scorer.probability(2, 0)),
                careless("count of model -1", Code.INVALID_ARGUMENT, () -> scorer.scoredCount(-1)),
                careless("logic id of model 2", Code.INVALID_ARGUMENT, () -> scorer.logicId(2)),
                careless("no models", Code.INVALID_ARGUMENT, () -> PREPARED.forModels(0)),
                careless("17 models", Code.INVALID_ARGUMENT, () -> PREPARED.forModels(17)),
                careless("minus one prepared candidates", Code.INVALID_ARGUMENT,
                        () -> RequestLayout.prepared(Fixture.SCHEMA, -1, 0)),
                careless("null models", Code.NULL_ARGUMENT, () -> Scorer.open((List<Model>) null, PREPARED, set)),
                careless("null among models", Code.NULL_ARGUMENT,
                        () -> Scorer.open(Arrays.asList(model, null), PREPARED.forModels(2), set)),
                careless("null set", Code.NULL_ARGUMENT, () -> Scorer.open(models, PREPARED, null)),
                careless("no set", Code.INVALID_ARGUMENT, () -> Scorer.open(models, PREPARED)),
                careless("empty list of models", Code.INVALID_ARGUMENT,
                        () -> Scorer.open(Collections.emptyList(), PREPARED, set)),
                careless("fewer models than the layout", Code.INVALID_ARGUMENT,
                        () -> Scorer.open(models, PREPARED.forModels(2), set)),
                careless("a set for rows", Code.INVALID_ARGUMENT, () -> Scorer.open(models, Fixture.LAYOUT, set)),
                careless("a set of another schema", Code.INVALID_ARGUMENT,
                        () -> Scorer.open(models, RequestLayout.prepared(other, 1, 0), set)));
    }

    @TestFactory
    Stream<DynamicTest> after_close_every_method_of_a_set_throws() {
        set.close();
        return Stream.of(
                careless("add", Code.CLOSED, () -> set.add(row -> {})),
                careless("put", Code.CLOSED, () -> set.put(0, row -> {})),
                careless("remove", Code.CLOSED, () -> set.remove(0)),
                careless("count", Code.CLOSED, set::count),
                careless("capacity", Code.CLOSED, set::capacity),
                careless("Scorer.open", Code.CLOSED, () -> Scorer.open(model, PREPARED, set)));
    }

    @Test
    void a_fill_that_closes_its_set_meets_the_exception() {
        OmomiException thrown = assertThrows(OmomiException.class, () -> set.add(row -> set.close()));
        assertEquals(Code.CLOSED, thrown.code());
    }

    private DynamicTest careless(String name, Code code, Executable call) {
        return DynamicTest.dynamicTest(name, () -> {
            OmomiException thrown = assertThrows(OmomiException.class, call);
            assertEquals(code, thrown.code(), thrown::toString);
            if (code != Code.CLOSED) {
                assertEquals(CANDIDATES, set.count());
            }
            scorer.predict(CANDIDATES);
            assertEquals(CANDIDATES, scorer.scoredCount(1));
        });
    }
}
