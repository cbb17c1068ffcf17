package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Id fields that are set together come to the same as each set by itself. */
final class IdFieldsTest {
    private static final int CANDIDATES = 50;
    private static final int ID_COUNT = 3;

    /** What the model reads, with ids around the creative's that it does not know. */
    private static final Schema SCHEMA = Schema.builder()
            .id("media_id", Side.CONTEXT)
            .text("region", Side.CONTEXT)
            .texts("interest", Side.CONTEXT)
            .ids("segment_id", Side.CONTEXT)
            .number("floor_price", Side.CONTEXT, "JPY per 1,000 impressions", 0, 1000)
            .text("category", Side.CANDIDATE)
            .id("before", Side.CANDIDATE)
            .id("creative_id", Side.CANDIDATE)
            .id("after", Side.CANDIDATE)
            .texts("label", Side.CANDIDATE)
            .ids("campaign_id", Side.CANDIDATE)
            .number("creative_age", Side.CANDIDATE, "hours", 0, 2400)
            .id("last", Side.CANDIDATE)
            .build();

    private static final Field CREATIVE_ID = SCHEMA.field("creative_id");
    private static final IdFields TOGETHER = IdFields.of(SCHEMA.field("before"), CREATIVE_ID, SCHEMA.field("after"));

    private final Model model = Fixture.model();
    private final RequestLayout layout = RequestLayout.of(SCHEMA, CANDIDATES, 0);
    private final Scorer together = Scorer.open(model, layout);
    private final Scorer oneByOne = Scorer.open(model, layout);
    private final long[] ids = new long[CANDIDATES * ID_COUNT];

    IdFieldsTest() {
        for (int i = 0; i < ids.length; i++) {
            ids[i] = i / ID_COUNT;
        }
    }

    @AfterEach
    void close() {
        together.close();
        oneByOne.close();
        model.close();
    }

    private void assertSameLogits() {
        together.predict(CANDIDATES);
        oneByOne.predict(CANDIDATES);
        for (int i = 0; i < CANDIDATES; i++) {
            assertEquals(CandidateStatus.SCORED, together.status(i));
            assertEquals(oneByOne.logit(i), together.logit(i), "candidate " + i);
        }
        assertEquals(oneByOne.missingCount(), together.missingCount());
        assertEquals(oneByOne.unseenCount(), together.unseenCount());
    }

    @Test
    void ids_from_an_array_have_the_logits_of_ids_set_one_by_one() {
        for (int i = 0; i < CANDIDATES; i++) {
            together.request().candidate(i).setIdFields(TOGETHER, ids, i * ID_COUNT);
            oneByOne.request().candidate(i).setId(CREATIVE_ID, i);
        }
        assertSameLogits();
        assertEquals(ID_COUNT, TOGETHER.count());
    }

    @Test
    void other_setters_go_on_with_what_was_set_together() {
        Row row = together.request().candidate(0);
        row.setText(SCHEMA.field("category"), "").setIdFields(TOGETHER, ids, 3).setId(CREATIVE_ID, 9);
        together.request().candidate(1).setIdFields(TOGETHER, ids, 6).unset(CREATIVE_ID);
        // Back to a row that was filled before.
        together.request().candidate(0).setNumber(SCHEMA.field("creative_age"), 24);
        row = oneByOne.request().candidate(0);
        row.setText(SCHEMA.field("category"), "").setId(CREATIVE_ID, 9).setNumber(SCHEMA.field("creative_age"), 24);
        assertSameLogits();
    }

    @Test
    void a_refused_call_leaves_the_row_as_it_was() {
        together.request().candidate(0).setIdFields(TOGETHER, ids, 6);
        oneByOne.request().candidate(0).setId(CREATIVE_ID, 2);
        for (int first : new int[] {-1, ids.length - ID_COUNT + 1, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            OmomiException refused = assertThrows(
                    OmomiException.class, () -> together.request().candidate(0).setIdFields(TOGETHER, ids, first));
            assertEquals(Code.INVALID_ARGUMENT, refused.code(), refused::toString);
        }
        assertSameLogits();
    }

    @ParameterizedTest
    @CsvSource({
        "before+after, declare one behind the other",
        "creative_id+before, declare one behind the other",
        "creative_id+creative_id, declare one behind the other",
        "creative_id+media_id, a context field",
        "category, is used as an id",
        "campaign_id, is used as an id",
        "before+creative_id+after+last, declare one behind the other"
    })
    void fields_that_cannot_be_set_together_are_refused_when_they_are_named(String names, String reason) {
        Field[] fields = List.of(names.split("\\+")).stream().map(SCHEMA::field).toArray(Field[]::new);
        OmomiException refused = assertThrows(OmomiException.class, () -> IdFields.of(fields));
        assertEquals(Code.WRONG_FIELD_USE, refused.code());
        assertTrue(refused.getMessage().contains(reason), refused::toString);
    }
}
