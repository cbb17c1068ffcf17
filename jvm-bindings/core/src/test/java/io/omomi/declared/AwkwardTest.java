package io.omomi.declared;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.omomi.Field;
import io.omomi.Model;
import io.omomi.RequestLayout;
import io.omomi.Scorer;
import io.omomi.Side;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** A declaration that {@code omomi contract generate --java} made compiles, binds and fills a request. */
final class AwkwardTest {
    @Test
    void a_generated_declaration_binds_and_each_constant_is_the_field_of_its_name() {
        RequestLayout layout = RequestLayout.of(Awkward.SCHEMA, 1, 256);
        try (Model model = Model.open(Path.of(System.getProperty("omomi.test.awkward.file")));
                Scorer scorer = Scorer.open(model, layout)) {
            scorer.request().context().setId(Awkward.SITE_ID, 1).setId(Awkward.SITE_ID_2, 2).setNumber(Awkward.NULL, 3);
            scorer.request().candidate(0).setText(Awkward.CONTEXT, "text").setNumber(Awkward.UNIX, 0.05);
            scorer.predict(1);
            assertEquals(1, scorer.scoredCount());
        }
        assertEquals("siteId", Awkward.SITE_ID_2.name());
        assertEquals(Side.CANDIDATE, Awkward.CONTEXT.side());
        Field number = Awkward.NULL;
        assertEquals("yen \"¥\" per \\u0041 $1 ??= \\", number.unit());
        assertEquals("-1.0E300 1.0E16", number.rangeMin() + " " + number.rangeMax());
        assertEquals(12, Awkward.SCHEMA.fields().size());
    }
}
