package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** A row that was kept belongs to the thread of its scorer, as everything else of it does. */
final class KeptRowTest {
    private final Model model = Fixture.model();
    private final Scorer scorer = Scorer.open(model, Fixture.LAYOUT);

    @AfterEach
    void close() {
        scorer.close();
        model.close();
    }

    /** Each setter of a context's and a candidate's row. */
    private static Map<String, Executable> setters(Row context, Row candidate) {
        Map<String, Executable> setters = new LinkedHashMap<>();
        setters.put("setId", () -> context.setId(Fixture.MEDIA_ID, 9));
        setters.put("setIdFields", () -> candidate.setIdFields(IdFields.of(Fixture.CREATIVE_ID), new long[] {9}, 0));
        setters.put("setText", () -> context.setText(Fixture.REGION, "北海道"));
        setters.put("setTextValue", () -> candidate.setTextValue(Fixture.CATEGORY, 9));
        setters.put("setNumber", () -> candidate.setNumber(Fixture.CREATIVE_AGE, 9));
        setters.put("setIds", () -> context.setIds(Fixture.SEGMENT_ID, new long[] {9}, 1));
        setters.put("setTexts of a list", () -> context.setTexts(Fixture.INTEREST, List.of("北海道")));
        setters.put("setTexts of an array", () -> context.setTexts(Fixture.INTEREST, new String[] {"北海道"}, 1));
        setters.put("setTextValues", () -> candidate.setTextValues(Fixture.LABEL, new long[] {9}, 1));
        setters.put("unset", () -> candidate.unset(Fixture.CREATIVE_ID));
        setters.put("clear", context::clear);
        setters.put("clear of a candidate", candidate::clear);
        return setters;
    }

    @Test
    void each_setter_on_another_thread_is_refused_and_the_answers_stay() throws Exception {
        Request request = scorer.request();
        Fixture.fill(request, 1, new Fixture.Text());
        scorer.predict();
        double expected = scorer.logit(0);
        Map<String, Executable> setters = setters(request.context(), request.candidate(0));
        String owner = Thread.currentThread().getName();
        inAnotherThread(() -> setters.forEach((name, setter) -> {
            OmomiException refused = assertThrows(OmomiException.class, setter, name);
            assertEquals(Code.SCORER_BUSY, refused.code(), name);
            assertTrue(refused.getMessage().contains("`" + owner + "`"), refused.getMessage());
        }));
        scorer.predict();
        assertEquals(expected, scorer.logit(0));
    }

    @Test
    void a_setter_makes_its_thread_the_owner_where_there_is_none() throws Throwable {
        for (String name : setters(scorer.request().context(), scorer.request().candidate(0)).keySet()) {
            try (Scorer unowned = Scorer.open(model, Fixture.LAYOUT)) {
                Row context = unowned.request().context();
                Row candidate = unowned.request().candidate(0);
                unowned.handOver();
                setters(context, candidate).get(name).execute();
                inAnotherThread(() -> {
                    assertEquals(
                            Code.SCORER_BUSY, assertThrows(OmomiException.class, unowned::predict).code(), name);
                    assertEquals(
                            Code.SCORER_BUSY,
                            assertThrows(OmomiException.class, setters(context, candidate).get(name)).code(),
                            name);
                });
                unowned.handOver();
                inAnotherThread(setters(context, candidate).get(name));
                // That thread has ended.
                unowned.predict();
            }
        }
    }

    @Test
    void a_row_that_filled_a_candidate_set_is_good_for_nothing_afterwards() throws Throwable {
        try (CandidateSet set = CandidateSet.open(Fixture.SCHEMA, 10, 8)) {
            AtomicReference<Row> kept = new AtomicReference<>();
            set.add(kept::set);
            Map<String, Executable> setters = setters(kept.get(), kept.get());
            setters.keySet().removeIf(name -> name.startsWith("setT") && !name.contains("Value") || name.equals("setIds"));
            setters.remove("setId");
            assertFalse(setters.isEmpty());
            Runnable isRefused = () -> setters.forEach((name, setter) -> {
                OmomiException refused = assertThrows(OmomiException.class, setter, name);
                assertEquals(Code.INVALID_ARGUMENT, refused.code(), name);
                assertTrue(refused.getMessage().contains("only in that call"), refused.getMessage());
            });
            isRefused.run();
            // A kept row must not make its thread the owner of what all threads may change.
            inAnotherThread(() -> assertEquals(1, set.add(row -> row.setId(Fixture.CREATIVE_ID, 1))));
            assertEquals(2, set.add(row -> {
                try {
                    inAnotherThread(isRefused::run);
                } catch (Exception failed) {
                    throw new AssertionError(failed);
                }
            }));
        }
    }

    private static void inAnotherThread(Executable body) throws Exception {
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
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
    }
}
