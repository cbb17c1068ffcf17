package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** A careless call gets an exception with a code, or one candidate fails; nothing ends the process. */
final class CarelessCallsTest {
    private static final String UNPAIRED = "東\ud83d京";

    private final Model model = Fixture.model();
    private final Scorer scorer = Scorer.open(model, Fixture.LAYOUT);
    private final Request request = scorer.request();

    @BeforeEach
    void clear() {
        request.clear();
    }

    @AfterEach
    void close() {
        scorer.close();
        model.close();
    }

    @TestFactory
    Stream<DynamicTest> a_careless_call_throws_with_its_code_and_the_scorer_goes_on() {
        Schema other = Schema.builder().id("media_id", Side.CONTEXT).build();
        Row context = request.context();
        List<DynamicTest> table = new ArrayList<>();
        add(table, "null model path", Code.NULL_ARGUMENT, () -> Model.open(null));
        add(table, "null load mode", Code.NULL_ARGUMENT, () -> Model.open(Fixture.weightFile(), null));
        add(table, "null model", Code.NULL_ARGUMENT, () -> Scorer.open((Model) null, Fixture.LAYOUT));
        add(table, "null layout", Code.NULL_ARGUMENT, () -> Scorer.open(model, null));
        add(table, "null schema", Code.NULL_ARGUMENT, () -> RequestLayout.of(null, 1, 0));
        add(table, "null field name", Code.NULL_ARGUMENT, () -> Fixture.SCHEMA.field(null));
        add(table, "null declared name", Code.NULL_ARGUMENT, () -> Schema.builder().id(null, Side.CONTEXT));
        add(table, "null declared side", Code.NULL_ARGUMENT, () -> Schema.builder().id("x", null));
        add(table, "null unit", Code.NULL_ARGUMENT, () -> Schema.builder().number("x", Side.CONTEXT, null, 0, 1));
        add(table, "null field", Code.NULL_ARGUMENT, () -> context.setId(null, 1));
        add(table, "null id fields", Code.NULL_ARGUMENT, () -> context.setIdFields(null, new long[1], 0));
        add(table, "null ids of id fields", Code.NULL_ARGUMENT,
                () -> context.setIdFields(IdFields.of(Fixture.MEDIA_ID), null, 0));
        add(table, "null array of id fields", Code.NULL_ARGUMENT, () -> IdFields.of((Field[]) null));
        add(table, "null among id fields", Code.NULL_ARGUMENT, () -> IdFields.of(Fixture.MEDIA_ID, null));
        add(table, "no id fields", Code.INVALID_ARGUMENT, () -> IdFields.of());
        add(table, "null text", Code.NULL_ARGUMENT, () -> context.setText(Fixture.REGION, null));
        add(table, "null ids", Code.NULL_ARGUMENT, () -> context.setIds(Fixture.SEGMENT_ID, null, 0));
        add(table, "null texts", Code.NULL_ARGUMENT, () -> context.setTexts(Fixture.INTEREST, (List<String>) null));
        add(table, "null among texts", Code.NULL_ARGUMENT, () -> context.setTexts(Fixture.INTEREST, Arrays.asList("a", null)));
        add(table, "null text value", Code.NULL_ARGUMENT, () -> Feature.textValue(null));
        add(table, "empty declaration name", Code.SCHEMA_INVALID, () -> Schema.builder().id("", Side.CONTEXT).build());
        add(table, "field declared twice", Code.SCHEMA_INVALID,
                () -> Schema.builder().id("x", Side.CONTEXT).id("x", Side.CANDIDATE).build());
        add(table, "range of NaN", Code.SCHEMA_INVALID,
                () -> Schema.builder().number("x", Side.CONTEXT, "JPY", Double.NaN, 1).build());
        add(table, "65 fields on a side", Code.SCHEMA_INVALID, CarelessCallsTest::tooManyFields);
        add(table, "unpaired surrogate in a field's name", Code.NOT_UTF8,
                () -> Schema.builder().id(UNPAIRED, Side.CONTEXT).build());
        add(table, "unpaired surrogate in a text to be hashed", Code.NOT_UTF8, () -> Feature.textValue(UNPAIRED));
        add(table, "no candidates", Code.INVALID_ARGUMENT, () -> RequestLayout.of(Fixture.SCHEMA, 0, 0));
        add(table, "minus one candidates", Code.INVALID_ARGUMENT, () -> RequestLayout.of(Fixture.SCHEMA, -1, 0));
        add(table, "too many rows", Code.INVALID_ARGUMENT, () -> RequestLayout.of(Fixture.SCHEMA, Integer.MAX_VALUE, 0));
        add(table, "negative tail", Code.INVALID_ARGUMENT, () -> RequestLayout.of(Fixture.SCHEMA, 1, -8));
        add(table, "enormous tail", Code.INVALID_ARGUMENT, () -> RequestLayout.of(Fixture.SCHEMA, 1, Integer.MAX_VALUE));
        add(table, "unknown field", Code.UNKNOWN_FIELD, () -> Fixture.SCHEMA.field("creativ_id"));
        add(table, "field of another schema", Code.WRONG_FIELD_USE, () -> context.setId(other.field("media_id"), 1));
        add(table, "candidate field in the context", Code.WRONG_FIELD_USE, () -> context.setId(Fixture.CREATIVE_ID, 1));
        add(table, "id fields of another schema", Code.WRONG_FIELD_USE,
                () -> context.setIdFields(IdFields.of(other.field("media_id")), new long[1], 0));
        add(table, "id fields of candidates in the context", Code.WRONG_FIELD_USE,
                () -> context.setIdFields(IdFields.of(Fixture.CREATIVE_ID), new long[1], 0));
        add(table, "id fields of two schemas", Code.WRONG_FIELD_USE,
                () -> IdFields.of(Fixture.MEDIA_ID, other.field("media_id")));
        add(table, "id as text", Code.WRONG_FIELD_USE, () -> context.setText(Fixture.MEDIA_ID, "1"));
        add(table, "text as id", Code.WRONG_FIELD_USE, () -> context.setId(Fixture.REGION, 1));
        add(table, "many as one", Code.WRONG_FIELD_USE, () -> context.setText(Fixture.INTEREST, "x"));
        add(table, "one as many", Code.WRONG_FIELD_USE, () -> context.setTexts(Fixture.REGION, List.of("x")));
        add(table, "number as id", Code.WRONG_FIELD_USE, () -> context.setId(Fixture.FLOOR_PRICE, 1));
        add(table, "20,000 ids", Code.TOO_MANY_VALUES, () -> context.setIds(Fixture.SEGMENT_ID, new long[20_000], 20_000));
        add(table, "20,000 texts", Code.TOO_MANY_VALUES,
                () -> context.setTexts(Fixture.INTEREST, Collections.nCopies(20_000, "x")));
        add(table, "count beyond the array", Code.INVALID_ARGUMENT,
                () -> context.setIds(Fixture.SEGMENT_ID, new long[2], 3));
        add(table, "negative count", Code.INVALID_ARGUMENT, () -> context.setIds(Fixture.SEGMENT_ID, new long[2], -1));
        add(table, "text larger than the tail", Code.TAIL_FULL, () -> context.setText(Fixture.REGION, "x".repeat(1 << 20)));
        add(table, "texts larger than the tail", Code.TAIL_FULL,
                () -> context.setTexts(Fixture.INTEREST, Collections.nCopies(1_000, "x".repeat(1_000))));
        add(table, "candidate 500 of 500", Code.TOO_MANY_CANDIDATES, () -> request.candidate(500));
        add(table, "candidate -1", Code.INVALID_ARGUMENT, () -> request.candidate(-1));
        add(table, "predict too many", Code.TOO_MANY_CANDIDATES, () -> scorer.predict(501));
        add(table, "predict Integer.MAX_VALUE", Code.TOO_MANY_CANDIDATES, () -> scorer.predict(Integer.MAX_VALUE));
        add(table, "predict minus one", Code.INVALID_ARGUMENT, () -> scorer.predict(-1));
        add(table, "answer after the last", Code.INVALID_ARGUMENT, () -> {
            scorer.predict(2);
            scorer.probability(2);
        });
        add(table, "no array for probabilities", Code.NULL_ARGUMENT, () -> scorer.probabilities(null));
        add(table, "no room for probabilities", Code.INVALID_ARGUMENT, () -> {
            scorer.predict(2);
            scorer.probabilities(new float[1]);
        });
        add(table, "probabilities of model 1 of 1", Code.INVALID_ARGUMENT, () -> scorer.probabilities(1, new float[500]));
        add(table, "names where candidates are rows", Code.INVALID_ARGUMENT, () -> request.setCandidates(new int[1], 1));
        add(table, "answer -1", Code.INVALID_ARGUMENT, () -> scorer.status(-1));
        add(table, "explain a row the layout does not have", Code.TOO_MANY_CANDIDATES, () -> scorer.explain(500));
        add(table, "explain -1", Code.INVALID_ARGUMENT, () -> scorer.explain(-1));
        add(table, "unpaired surrogate in the context", Code.CONTEXT_MALFORMED, () -> {
            request.context().setText(Fixture.REGION, UNPAIRED);
            scorer.predict(1);
        });
        return table.stream();
    }

    private void add(List<DynamicTest> table, String name, Code code, Executable call) {
        table.add(DynamicTest.dynamicTest(name, () -> {
            OmomiException thrown = assertThrows(OmomiException.class, call);
            assertEquals(code, thrown.code(), thrown::toString);
            assertFalse(thrown.getMessage().isEmpty());
            request.clear();
            request.candidate(0);
            scorer.predict();
            assertEquals(CandidateStatus.SCORED, scorer.status(0));
        }));
    }

    @TestFactory
    Stream<DynamicTest> a_careless_call_on_a_live_model_throws_with_its_code(@TempDir Path folder) throws IOException {
        Store store = new Store(folder);
        store.publish(1);
        LiveModel live = store.open();
        LiveScorer liveScorer = LiveScorer.open(live, Fixture.LAYOUT);
        RequestLayout prepared = RequestLayout.prepared(Fixture.SCHEMA, 5, 0);
        Schema other = Schema.builder().id("media_id", Side.CONTEXT).build();
        List<DynamicTest> table = new ArrayList<>();
        add(table, "null directory", Code.NULL_ARGUMENT, () -> LiveModel.open(null, Fixture.SCHEMA));
        add(table, "null schema of a live model", Code.NULL_ARGUMENT, () -> LiveModel.open(folder, null));
        add(table, "null options", Code.NULL_ARGUMENT, () -> LiveModel.open(folder, Fixture.SCHEMA, null));
        add(table, "null name", Code.NULL_ARGUMENT, () -> LiveOptions.builder().name(null));
        add(table, "null duration", Code.NULL_ARGUMENT, () -> LiveOptions.builder().trial(null));
        add(table, "null mode", Code.NULL_ARGUMENT, () -> LiveOptions.builder().loadMode(null));
        add(table, "null fingerprints", Code.NULL_ARGUMENT, () -> LiveOptions.builder().contractFingerprints((long[]) null));
        add(table, "unpaired surrogate in the name", Code.NOT_UTF8, () -> LiveOptions.builder().name(UNPAIRED).build());
        add(table, "null policy", Code.NULL_ARGUMENT, () -> LiveOptions.builder().signature(null));
        add(table, "null among keys", Code.NULL_ARGUMENT, () -> LiveOptions.builder().trustedKeys(folder, null));
        add(table, "signatures by no key", Code.INVALID_ARGUMENT,
                () -> store.open(Store.options().signature(SignaturePolicy.REQUIRE).build()));
        add(table, "key that is not there", Code.FILE,
                () -> store.open(Store.options().trustedKeys(folder.resolve("鍵.public")).build()));
        add(table, "name that leads elsewhere", Code.INVALID_ARGUMENT, () -> store.open(Store.options().name("../x").build()));
        add(table, "no poll interval", Code.INVALID_ARGUMENT,
                () -> store.open(Store.options().pollInterval(Duration.ZERO).build()));
        add(table, "negative trial", Code.INVALID_ARGUMENT,
                () -> store.open(Store.options().trial(Duration.ofSeconds(Long.MIN_VALUE)).build()));
        add(table, "negative budget", Code.INVALID_ARGUMENT, () -> store.open(Store.options().memoryBudgetBytes(-1).build()));
        add(table, "negative deaths", Code.INVALID_ARGUMENT, () -> store.open(Store.options().maxDeaths(-1).build()));
        add(table, "null live model", Code.NULL_ARGUMENT, () -> LiveScorer.open(null, Fixture.LAYOUT));
        add(table, "null layout of a live scorer", Code.NULL_ARGUMENT, () -> LiveScorer.open(live, null));
        add(table, "null set", Code.NULL_ARGUMENT, () -> LiveScorer.open(live, prepared, null));
        add(table, "layout of another schema", Code.INVALID_ARGUMENT,
                () -> LiveScorer.open(live, RequestLayout.of(other, 1, 0)));
        add(table, "layout of two models", Code.INVALID_ARGUMENT,
                () -> LiveScorer.open(live, Fixture.LAYOUT.forModels(2)));
        add(table, "prepared candidates without a set", Code.INVALID_ARGUMENT, () -> LiveScorer.open(live, prepared));
        add(table, "predict too many live", Code.TOO_MANY_CANDIDATES, () -> liveScorer.predict(501));
        add(table, "predict minus one live", Code.INVALID_ARGUMENT, () -> liveScorer.predict(-1));
        add(table, "model 1 of 1", Code.INVALID_ARGUMENT, () -> {
            liveScorer.predict(1);
            liveScorer.probability(1, 0);
        });
        add(table, "logic id before the first answer", Code.INVALID_ARGUMENT, () -> {
            try (LiveScorer unasked = LiveScorer.open(live, Fixture.LAYOUT)) {
                unasked.logicId();
            }
        });
        add(table, "unpaired surrogate in a live context", Code.CONTEXT_MALFORMED, () -> {
            liveScorer.request().context().setText(Fixture.REGION, UNPAIRED);
            liveScorer.predict(1);
        });
        add(table, "closed live model", Code.CLOSED, () -> {
            liveScorer.request().clear();
            assertEquals(ServingState.SERVING, liveScorer.predict(1));
            live.close();
            liveScorer.close();
            live.lookNow();
        });
        return table.stream();
    }

    /** A field of the class that is being initialized, as another class sees it. */
    private static final class Early {
        static final IdFields TOGETHER;
        static final Field BEFORE = Late.FIELD;

        static {
            TOGETHER = IdFields.of(Fixture.MEDIA_ID);
        }
    }

    private static final class Late {
        static final Field SEEN = Early.BEFORE;
        static final Field FIELD = Fixture.MEDIA_ID;
    }

    @Test
    void a_field_that_is_null_because_of_the_order_of_initialization_says_so() {
        assertEquals(Fixture.MEDIA_ID, Late.FIELD);
        assertEquals(null, Late.SEEN);
        Row context = request.context();
        Row candidate = request.candidate(0);
        Map<String, Executable> setters = new java.util.LinkedHashMap<>();
        setters.put("an id of the context", () -> context.setId(Late.SEEN, 1));
        setters.put("an id of the candidate", () -> candidate.setId(Late.SEEN, 1));
        setters.put("id fields of the candidate", () -> candidate.setIdFields(null, new long[1], 0));
        setters.put("a text of the context", () -> context.setText(Late.SEEN, "x"));
        setters.put("a text value of the context", () -> context.setTextValue(Late.SEEN, 1));
        setters.put("a number of the context", () -> context.setNumber(Late.SEEN, 1));
        setters.put("ids of the context", () -> context.setIds(Late.SEEN, new long[1], 1));
        setters.put("texts of the context", () -> context.setTexts(Late.SEEN, List.of("x")));
        setters.put("text values of the context", () -> context.setTextValues(Late.SEEN, new long[1], 1));
        setters.put("a field of the context", () -> context.unset(Late.SEEN));
        setters.forEach((what, setter) -> {
            OmomiException refused = assertThrows(OmomiException.class, setter);
            assertEquals(Code.NULL_ARGUMENT, refused.code());
            assertTrue(refused.getMessage().contains("where " + what + " is set"), refused.getMessage());
            assertTrue(refused.getMessage().contains("still being initialized"), refused.getMessage());
        });
        OmomiException second = assertThrows(OmomiException.class, () -> IdFields.of(Fixture.MEDIA_ID, Late.SEEN));
        assertEquals("field 1 of 2 is null", second.getMessage());
    }

    @Test
    void a_field_of_another_schema_or_one_declared_too_late_is_named_with_the_remedy() {
        Schema.Builder builder = Schema.builder().id("media_id", Side.CONTEXT);
        Schema other = builder.build();
        Row context = request.context();
        IdFields together = IdFields.of(other.field("media_id"));
        for (Executable setter : List.<Executable>of(
                () -> context.setId(other.field("media_id"), 1), () -> context.setIdFields(together, new long[1], 0))) {
            OmomiException refused = assertThrows(OmomiException.class, setter);
            assertTrue(refused.getMessage().contains("media_id"), refused.getMessage());
            assertTrue(refused.getMessage().contains("that the request's layout was made of"), refused.getMessage());
        }
        for (Executable late : List.<Executable>of(
                () -> builder.id("late", Side.CONTEXT),
                () -> builder.texts("late", Side.CANDIDATE),
                () -> builder.number("late", Side.CONTEXT, "JPY", 0, 1))) {
            OmomiException refused = assertThrows(OmomiException.class, late);
            assertEquals(Code.SCHEMA_INVALID, refused.code());
            assertTrue(refused.getMessage().contains("`late` is declared after its schema was built"), refused.getMessage());
        }
        // A declaration that was refused is not finished.
        Schema.Builder faulty = Schema.builder().id("", Side.CONTEXT);
        assertThrows(OmomiException.class, faulty::build);
        faulty.id("more", Side.CONTEXT);
        assertEquals(1, builder.build().fields().size());
    }

    private static void tooManyFields() {
        Schema.Builder builder = Schema.builder();
        for (int i = 0; i < 65; i++) {
            builder.id("field_" + i, Side.CONTEXT);
        }
        builder.build();
    }

    @Test
    void a_bad_candidate_fails_alone_and_says_why() {
        for (int i = 0; i < 5; i++) {
            request.candidate(i).setId(Fixture.CREATIVE_ID, i).setText(Fixture.CATEGORY, "自動車");
        }
        scorer.predict(5);
        double[] logits = new double[5];
        for (int i = 0; i < 5; i++) {
            logits[i] = scorer.logit(i);
        }
        request.candidate(1).setText(Fixture.CATEGORY, UNPAIRED);
        request.candidate(2).setText(Fixture.CATEGORY, "x");
        corruptSlot(2, Fixture.CATEGORY, 0xffff_ffff_ffff_fff0L);
        request.candidate(3).setIds(Fixture.CAMPAIGN_ID, new long[1], 1);
        corruptSlot(3, Fixture.CAMPAIGN_ID, 20_000L << 32);
        scorer.predict(5);
        assertEquals(CandidateStatus.NOT_UTF8, scorer.status(1));
        assertEquals(CandidateStatus.OUTSIDE_TAIL, scorer.status(2));
        assertEquals(CandidateStatus.TOO_MANY_VALUES, scorer.status(3));
        assertEquals(2, scorer.scoredCount());
        assertEquals(3, scorer.refusedCount());
        for (int i = 1; i < 4; i++) {
            assertTrue(Float.isNaN(scorer.probability(i)));
            assertTrue(Double.isNaN(scorer.logit(i)));
        }
        for (int i : new int[] {0, 4}) {
            assertEquals(CandidateStatus.SCORED, scorer.status(i));
            assertEquals(logits[i], scorer.logit(i));
        }
    }

    /** Writes a slot that no setter writes, but a stray write might. */
    private void corruptSlot(int candidate, Field field, long slot) {
        RequestLayout layout = request.layout;
        int row = layout.candidatesOffset + candidate * layout.candidateStride;
        request.block.putLong(row + field.slotWord * Block.SLOT_LEN, slot);
    }

    @Test
    void a_field_that_is_set_twice_keeps_the_last_value() {
        request.candidate(0).setId(Fixture.CREATIVE_ID, 1).setText(Fixture.CATEGORY, "料理");
        request.candidate(1).setId(Fixture.CREATIVE_ID, 7).setId(Fixture.CREATIVE_ID, 1);
        request.candidate(1).setTextValue(Fixture.CATEGORY, 7).setText(Fixture.CATEGORY, "料理");
        request.candidate(2).setId(Fixture.CREATIVE_ID, 1).setText(Fixture.CATEGORY, "x");
        request.candidate(2).setTextValue(Fixture.CATEGORY, Feature.textValue("料理"));
        scorer.predict(3);
        assertEquals(scorer.logit(0), scorer.logit(1));
        assertEquals(scorer.logit(0), scorer.logit(2));
    }

    @Test
    void nan_and_numbers_out_of_range_are_counted_and_missing() {
        request.candidate(0);
        scorer.predict(1);
        double without = scorer.logit(0);
        long missing = scorer.missingCount();
        request.context().setNumber(Fixture.FLOOR_PRICE, Double.NaN);
        request.candidate(0).setNumber(Fixture.CREATIVE_AGE, -1);
        scorer.predict(1);
        assertEquals(without, scorer.logit(0));
        assertEquals(2, scorer.invalidNumberCount());
        assertEquals(missing, scorer.missingCount());
    }

    @Test
    void an_unset_field_and_a_cleared_row_or_request_are_missing_again() {
        request.candidate(0);
        scorer.predict(1);
        double empty = scorer.logit(0);
        request.candidate(0).setId(Fixture.CREATIVE_ID, 1).unset(Fixture.CREATIVE_ID);
        scorer.predict(1);
        assertEquals(empty, scorer.logit(0));
        request.candidate(0).setId(Fixture.CREATIVE_ID, 1).setText(Fixture.CATEGORY, "x").clear();
        scorer.predict(1);
        assertEquals(empty, scorer.logit(0));
        Fixture.fill(request, 500, new Fixture.Text());
        request.clear();
        scorer.predict(500);
        assertEquals(500, scorer.refusedCount());
        for (int i = 0; i < 500; i++) {
            assertEquals(CandidateStatus.NOT_FILLED, scorer.status(i));
            assertTrue(Float.isNaN(scorer.probability(i)));
        }
    }

    @Test
    void a_skipped_candidate_is_not_scored_and_a_revisited_one_has_no_values_of_an_earlier_request() {
        request.candidate(0).setId(Fixture.CREATIVE_ID, 1);
        request.candidate(1);
        scorer.predict();
        double one = scorer.logit(0);
        double empty = scorer.logit(1);
        assertNotEquals(one, empty, "the id has a weight");
        Fixture.fill(request, 500, new Fixture.Text());
        request.clear();
        request.candidate(3).setId(Fixture.CREATIVE_ID, 1);
        request.candidate(1).setId(Fixture.CREATIVE_ID, 1);
        request.candidate(4);
        request.candidate(3);
        scorer.predict(6);
        for (int i = 0; i < 6; i++) {
            double expected = i == 1 || i == 3 ? one : i == 4 ? empty : Double.NaN;
            assertEquals(expected, scorer.logit(i), "candidate " + i);
            assertEquals(
                    Double.isNaN(expected) ? CandidateStatus.NOT_FILLED : CandidateStatus.SCORED, scorer.status(i));
        }
        assertEquals(3, scorer.refusedCount());
        request.candidate(4).setId(Fixture.CREATIVE_ID, 1);
        scorer.predict(6);
        assertEquals(one, scorer.logit(3));
        assertEquals(one, scorer.logit(4));
        assertEquals(CandidateStatus.NOT_FILLED, scorer.status(5));
        request.candidate(0);
        scorer.predict();
        assertEquals(5, scorer.answeredCount());
        assertEquals(empty, scorer.logit(0));
        assertEquals(CandidateStatus.NOT_FILLED, scorer.status(2));
    }

    @Test
    void a_refused_predict_or_a_cleared_request_leaves_no_answers_of_the_call_before() {
        request.candidate(0);
        for (Executable after : new Executable[] {
            () -> assertThrows(OmomiException.class, () -> scorer.predict(501)), request::clear
        }) {
            scorer.predict(1);
            assertEquals(1, scorer.scoredCount());
            try {
                after.execute();
            } catch (Throwable thrown) {
                throw new AssertionError(thrown);
            }
            assertEquals(0, scorer.answeredCount());
            assertEquals(0, scorer.scoredCount());
            assertEquals(0, scorer.generation());
            assertThrows(OmomiException.class, () -> scorer.probability(0));
        }
    }

    @Test
    void a_text_that_does_not_fit_leaves_the_row_unchanged() {
        request.candidate(0).setText(Fixture.CATEGORY, "料理");
        request.candidate(1).setText(Fixture.CATEGORY, "料理");
        assertThrows(OmomiException.class, () -> request.candidate(1).setText(Fixture.CATEGORY, "x".repeat(1 << 20)));
        scorer.predict(2);
        assertEquals(scorer.logit(0), scorer.logit(1));
    }

    @Test
    void a_request_without_candidates_gets_no_answers() {
        scorer.predict(0);
        assertEquals(0, scorer.answeredCount());
        assertEquals(0, scorer.scoredCount());
    }

    @Test
    void a_defect_of_the_library_is_logged() {
        List<String> messages = new ArrayList<>();
        java.util.logging.Handler handler = new java.util.logging.Handler() {
            @Override
            public void publish(java.util.logging.LogRecord record) {
                messages.add(record.getLevel() + " " + record.getMessage());
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        java.util.logging.Logger logger = java.util.logging.Logger.getLogger("io.omomi");
        logger.addHandler(handler);
        logger.setUseParentHandlers(false);
        // As the native library throws it.
        OmomiException defect = new OmomiException(Code.PANIC.number(), "a defect in omomi {0}");
        OmomiException other = new OmomiException(Code.FILE.number(), "cannot open x");
        logger.removeHandler(handler);
        logger.setUseParentHandlers(true);
        assertEquals(List.of("SEVERE a defect in omomi {0}"), messages);
        assertEquals(Code.PANIC, defect.code());
        assertEquals(Code.FILE, other.code());
    }

    @Test
    void a_refused_model_names_the_field_that_the_schema_lacks_or_declares_differently() {
        OmomiException missing = assertThrows(
                OmomiException.class,
                () -> Scorer.open(model, RequestLayout.of(Schema.builder().id("media_id", Side.CONTEXT).build(), 1, 0)));
        assertEquals(Code.FIELD_MISSING, missing.code());
        for (Field field : Fixture.SCHEMA.fields()) {
            boolean isNeeded = !field.name().equals("memo") && !field.name().equals("media_id");
            assertEquals(isNeeded, missing.getMessage().contains("`" + field.name() + "`"), missing.getMessage());
        }
        Schema.Builder otherwise = Schema.builder();
        for (Field field : Fixture.SCHEMA.fields()) {
            if (field == Fixture.FLOOR_PRICE) {
                otherwise.number("floor_price", Side.CONTEXT, "USD", 0, 1000);
            } else if (field.type() == FieldType.NUMBER) {
                otherwise.number(field.name(), field.side(), field.unit(), field.rangeMin(), field.rangeMax());
            } else if (field.type() == FieldType.ID) {
                Schema.Builder unused = field.isMany()
                        ? otherwise.ids(field.name(), field.side())
                        : otherwise.id(field.name(), field.side());
            } else {
                Schema.Builder unused = field.isMany()
                        ? otherwise.texts(field.name(), field.side())
                        : otherwise.text(field.name(), field.side());
            }
        }
        OmomiException mismatch = assertThrows(
                OmomiException.class, () -> Scorer.open(model, RequestLayout.of(otherwise.build(), 1, 0)));
        assertEquals(Code.FIELD_MISMATCH, mismatch.code());
        assertTrue(mismatch.getMessage().contains("floor_price"), mismatch.getMessage());
        assertTrue(mismatch.getMessage().contains("USD"), mismatch.getMessage());
    }
}
