package io.omomi.example;

import io.omomi.Field;
import io.omomi.Model;
import io.omomi.OmomiException;
import io.omomi.Request;
import io.omomi.RequestLayout;
import io.omomi.Schema;
import io.omomi.Scorer;
import io.omomi.Side;
import java.nio.file.Paths;
import java.util.Arrays;

public final class FirstProgram {
    // The fields that this server can supply, declared once.
    private static final Schema SCHEMA = Schema.builder()
            .id("media_id", Side.CONTEXT)
            .text("region", Side.CONTEXT)
            .texts("interest", Side.CONTEXT)
            .ids("segment_id", Side.CONTEXT)
            .number("floor_price", Side.CONTEXT, "JPY per 1,000 impressions", 0, 1000)
            .id("creative_id", Side.CANDIDATE)
            .text("category", Side.CANDIDATE)
            .texts("label", Side.CANDIDATE)
            .ids("campaign_id", Side.CANDIDATE)
            .number("creative_age", Side.CANDIDATE, "hours", 0, 2400)
            .build();
    private static final Field MEDIA_ID = SCHEMA.field("media_id");
    private static final Field INTEREST = SCHEMA.field("interest");
    private static final Field CREATIVE_ID = SCHEMA.field("creative_id");

    // Room for 500 candidates, and 16 KiB for texts and lists.
    private static final RequestLayout LAYOUT = RequestLayout.of(SCHEMA, 500, 16 << 10);

    public static void main(String[] arguments) {
        try (Model model = Model.open(Paths.get(arguments[0])); Scorer scorer = Scorer.open(model, LAYOUT)) {
            Request request = scorer.request();
            request.clear();
            request.context().setId(MEDIA_ID, 7).setTexts(INTEREST, Arrays.asList("旅行", "料理"));
            for (int i = 0; i < 3; i++) {
                request.candidate(i).setId(CREATIVE_ID, i);
            }
            scorer.predict(3);
            for (int i = 0; i < 3; i++) {
                System.out.println("creative " + i + ": " + scorer.probability(i));
            }
        } catch (OmomiException refused) {
            System.err.println(refused.getMessage() + "; " + refused.owner().word() + ": " + refused.action());
        }
    }
}
