package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Id fields that are set together have the same effect as each set by itself. */
final class IdFieldsTest {
    private static final int CANDIDATES = 50;
    private static final int ID_COUNT = 2;

    private final Model model = Fixture.model();
    /**
     * The fields of the model, surrounded by ids that it does not know. The creative's is the contract's first
     * candidate field.
     */
    private final Schema schema = Fixture.declare(Schema.builder().id("before", Side.CANDIDATE), model.contract())
            .id("last", Side.CANDIDATE)
            .build();
    private final Field creativeId = schema.field("creative_id");
    private final Field category = schema.field("category");
    private final Field creativeAge = schema.field("creative_age");
    private final IdFields beforeAndCreative = IdFields.of(schema.field("before"), creativeId);
    private final RequestLayout layout = RequestLayout.of(schema, CANDIDATES, 0);
    private final Scorer together = Scorer.open(model, layout);
    private final Scorer oneByOne = Scorer.open(model, layout);
    private final long[] ids = new long[CANDIDATES * ID_COUNT];

    IdFieldsTest() {
        for (int i = 0; i < CANDIDATES; i++) {
            // Creative i after another id: an id in the wrong field would change the logit.
            ids[ID_COUNT * i] = CANDIDATES - i;
            ids[ID_COUNT * i + 1] = i;
        }
    }

    @AfterEach
    void close() {
        together.close();
        oneByOne.close();
        model.close();
    }

    private void assertSameLogits() {
        for (int i = 0; i < CANDIDATES; i++) {
            // Candidates whose fields are all missing are filled, too.
            together.request().candidate(i);
            oneByOne.request().candidate(i);
        }
        together.predict();
        oneByOne.predict();
        for (int i = 0; i < CANDIDATES; i++) {
            assertEquals(CandidateStatus.SCORED, together.status(i));
            assertEquals(oneByOne.logit(i), together.logit(i), "candidate " + i);
        }
        assertEquals(oneByOne.missingCount(), together.missingCount());
        assertEquals(oneByOne.unseenCount(), together.unseenCount());
    }

    @Test
    void ids_from_an_array_give_the_logits_of_ids_set_one_by_one() {
        for (int i = 0; i < CANDIDATES; i++) {
            together.request().candidate(i).setIdFields(beforeAndCreative, ids, i * ID_COUNT);
            oneByOne.request().candidate(i).setId(creativeId, i);
        }
        assertSameLogits();
        assertEquals(ID_COUNT, beforeAndCreative.count());
    }

    @Test
    void other_setters_work_after_setting_ids_together() {
        Row row = together.request().candidate(0);
        row.setText(category, "").setIdFields(beforeAndCreative, ids, 4).setId(creativeId, 9);
        together.request().candidate(1).setIdFields(beforeAndCreative, ids, 6).unset(creativeId);
        // Back to a row that was filled before.
        together.request().candidate(0).setNumber(creativeAge, 24);
        row = oneByOne.request().candidate(0);
        row.setText(category, "").setId(creativeId, 9).setNumber(creativeAge, 24);
        assertSameLogits();
    }

    @Test
    void a_refused_call_leaves_the_row_unchanged() {
        together.request().candidate(0).setIdFields(beforeAndCreative, ids, 2 * ID_COUNT);
        oneByOne.request().candidate(0).setId(creativeId, 2);
        for (int first : new int[] {-1, ids.length - ID_COUNT + 1, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            OmomiException refused = assertThrows(
                    OmomiException.class, () -> together.request().candidate(0).setIdFields(beforeAndCreative, ids, first));
            assertEquals(Code.INVALID_ARGUMENT, refused.code(), refused::toString);
        }
        assertSameLogits();
    }

    @ParameterizedTest
    @CsvSource({
        "before+last, declare fields that are set together",
        "creative_id+before, declare fields that are set together",
        "creative_id+creative_id, declare fields that are set together",
        "creative_id+media_id, a context field",
        "category, is used as an id",
        "campaign_id, is used as an id",
        "before+creative_id+last, declare fields that are set together"
    })
    void fields_that_cannot_be_set_together_are_refused_when_they_are_combined(String names, String reason) {
        Field[] fields = List.of(names.split("\\+")).stream().map(schema::field).toArray(Field[]::new);
        OmomiException refused = assertThrows(OmomiException.class, () -> IdFields.of(fields));
        assertEquals(Code.WRONG_FIELD_USE, refused.code());
        assertTrue(refused.getMessage().contains(reason), refused::toString);
    }
}
