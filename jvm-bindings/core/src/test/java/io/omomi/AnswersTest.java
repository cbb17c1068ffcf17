package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;

/** What a scorer says: the answers of each model, explanations with the values that were set, and descriptions. */
@SuppressWarnings("try")
final class AnswersTest {
    private final Fixture.Text text = new Fixture.Text();

    @Test
    void the_answers_of_each_model_are_those_of_a_scorer_of_its_own() {
        try (Model model = Fixture.model();
                Scorer alone = Scorer.open(model, Fixture.LAYOUT);
                Scorer both = Scorer.open(List.of(model, model), Fixture.LAYOUT.forModels(2))) {
            for (Scorer scorer : List.of(alone, both)) {
                Fixture.fill(scorer.request(), 5, text);
                scorer.predict(5);
            }
            float[] probabilities = new float[5];
            for (int number = 0; number < 2; number++) {
                Answers answers = both.answers(number);
                assertSame(answers, both.answers(number));
                assertEquals(number, answers.model());
                for (int i = 0; i < 5; i++) {
                    assertEquals(alone.probability(i), answers.probability(i));
                    assertEquals(alone.logit(i), answers.logit(i));
                    assertEquals(CandidateStatus.SCORED, answers.status(i));
                }
                assertEquals(5, answers.probabilities(probabilities));
                assertEquals(alone.probability(4), probabilities[4]);
                assertEquals(
                        List.of(5L, 0L, alone.unseenCount(), alone.missingCount(), alone.invalidNumberCount(), 42L),
                        List.of(
                                (long) answers.scoredCount(),
                                (long) answers.refusedCount(),
                                answers.unseenCount(),
                                answers.missingCount(),
                                answers.invalidNumberCount(),
                                answers.generation()));
                assertEquals(model.logicId(), answers.logicId());
            }
            for (int none : new int[] {-1, 2, Integer.MAX_VALUE}) {
                assertEquals(
                        Code.INVALID_ARGUMENT, assertThrows(OmomiException.class, () -> both.answers(none)).code());
            }
            Answers answers = both.answers(1);
            assertEquals(Code.INVALID_ARGUMENT, assertThrows(OmomiException.class, () -> answers.logit(5)).code());
            both.close();
            assertEquals(Code.CLOSED, assertThrows(OmomiException.class, answers::scoredCount).code());
            assertEquals(Code.CLOSED, assertThrows(OmomiException.class, () -> both.answers(0)).code());
            // A description is for logs, so it never throws.
            assertTrue(answers.toString().contains("closed"), answers.toString());
        }
    }

    @Test
    void an_explanation_has_the_values_that_were_set() {
        try (Model model = Fixture.model(); Scorer scorer = Scorer.open(model, Fixture.LAYOUT)) {
            Request request = scorer.request();
            request.clear();
            request.context()
                    .setId(Fixture.MEDIA_ID, -3)
                    .setText(Fixture.REGION, "東京都")
                    .setTexts(Fixture.INTEREST, List.of("旅行", "料理"))
                    .setIds(Fixture.SEGMENT_ID, new long[20], 20);
            request.candidate(0).setId(Fixture.CREATIVE_ID, 1);
            request.candidate(1)
                    .setId(Fixture.CREATIVE_ID, 2)
                    .setTextValue(Fixture.CATEGORY, 0x1234)
                    .setTexts(Fixture.LABEL, List.of())
                    .setNumber(Fixture.CREATIVE_AGE, 1.5);
            scorer.predict(2);
            Map<String, String> values = scorer.explain(1).values();
            assertEquals(
                    "{media_id=-3, region=東京都, interest=[旅行, 料理], segment_id=[" + "0, ".repeat(16)
                            + "and 4 more], creative_id=2, category=text value 1234, label=[], creative_age=1.5}",
                    values.toString());
            String said = scorer.explain(1).toString();
            assertTrue(said.contains("\n  region = 東京都\n") && said.contains("\n  bias "), said);
            assertEquals("1", scorer.explain(0).values().get("creative_id"));
            assertThrows(UnsupportedOperationException.class, values::clear);
        }
    }

    @Test
    void an_explanation_of_a_prepared_candidate_has_the_values_of_the_context() {
        RequestLayout layout = RequestLayout.prepared(Fixture.SCHEMA, 5, 1 << 12);
        try (Model model = Fixture.model();
                CandidateSet set = Fixture.candidateSet(5, text);
                Scorer scorer = Scorer.open(model, layout, set)) {
            Fixture.fillContext(scorer.request(), text);
            scorer.request().setCandidate(0, 3);
            scorer.predict(1);
            assertEquals("3", scorer.explain(0).values().get("media_id"));
            assertEquals(null, scorer.explain(0).values().get("creative_id"));
        }
    }

    @Test
    void a_schema_of_a_contract_is_the_declaration_that_the_model_needs() {
        try (Model model = Fixture.model()) {
            Schema expected = Fixture.schemaOf(model.contract());
            for (Schema schema : List.of(model.schema(), Schema.ofContract(model.contract()))) {
                assertEquals(expected.fields().toString(), schema.fields().toString());
                Field age = schema.field("creative_age");
                assertEquals("hours 0.0 2400.0", age.unit() + " " + age.rangeMin() + " " + age.rangeMax());
                Scorer.open(model, RequestLayout.of(schema, 1, 0)).close();
            }
        }
        for (String wrong : List.of("", "{}", "[", "{\"name\":\"x\",\"label\":\"y\",\"field\":[{\"name\":\"1\"}]}")) {
            OmomiException refused = assertThrows(OmomiException.class, () -> Schema.ofContract(wrong));
            assertEquals(Code.INVALID_ARGUMENT, refused.code());
            assertTrue(refused.getMessage().contains("fault"), refused.getMessage());
        }
        assertEquals(Code.NULL_ARGUMENT, assertThrows(OmomiException.class, () -> Schema.ofContract(null)).code());
        assertEquals(Code.NOT_UTF8, assertThrows(OmomiException.class, () -> Schema.ofContract("\ud800")).code());
    }

    @Test
    void each_object_says_what_it_is_even_when_it_is_closed() {
        RequestLayout prepared = RequestLayout.prepared(Fixture.SCHEMA, 5, 64).forModels(2);
        assertEquals("RequestLayout(5 prepared candidates, 64 bytes of tail, 2 models)", prepared.toString());
        assertTrue(Fixture.SCHEMA.toString().contains("media_id: a context field of type id"), Fixture.SCHEMA.toString());
        Schema two = Schema.builder().id("one", Side.CONTEXT).id("two", Side.CONTEXT).build();
        assertEquals("IdFields(one, two)", IdFields.of(two.field("one"), two.field("two")).toString());
        String options = LiveOptions.builder().name("広告").maxFileLenBytes(7).build().toString();
        assertTrue(options.startsWith("LiveOptions(name 広告, loadMode AUTO, pollInterval PT1S"), options);
        assertTrue(options.contains("maxFileLenBytes 7, memoryBudgetBytes none"), options);
        CandidateSet set = CandidateSet.open(Fixture.SCHEMA, 3, 1);
        set.close();
        assertEquals("CandidateSet(at most 3 candidates, closed)", set.toString());
        try (Model model = Fixture.model()) {
            Scorer scorer = Scorer.open(model, Fixture.LAYOUT);
            Request request = scorer.request();
            String layout = "RequestLayout(500 candidates, 65536 bytes of tail)";
            assertEquals("Request(" + layout + ")", request.toString());
            assertEquals("Scorer(" + layout + ")", scorer.toString());
            scorer.close();
            assertEquals("Scorer(" + layout + ", closed)", scorer.toString());
            assertEquals("Request(" + layout + ", closed)", request.toString());
        }
    }

    @Test
    void nullness_is_declared_for_the_whole_package() {
        assertTrue(Model.class.getPackage().isAnnotationPresent(NullMarked.class));
    }
}
