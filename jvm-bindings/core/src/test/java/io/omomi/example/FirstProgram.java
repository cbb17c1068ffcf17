package io.omomi.example;

import io.omomi.Model;
import io.omomi.OmomiException;
import io.omomi.Request;
import io.omomi.RequestLayout;
import io.omomi.Scorer;
import java.nio.file.Paths;
import java.util.Arrays;

// GeneratedCtr declares the fields: `omomi contract generate --java examples/generated-ctr.toml` made it.
public final class FirstProgram {
    // Room for 500 candidates, and 16 KiB for texts and lists.
    private static final RequestLayout LAYOUT = RequestLayout.of(GeneratedCtr.SCHEMA, 500, 16 << 10);

    private static final long[] CREATIVES = {1624, 2519, 4001};

    public static void main(String[] arguments) {
        try (Model model = Model.open(Paths.get(arguments[0])); Scorer scorer = Scorer.open(model, LAYOUT)) {
            Request request = scorer.request();
            request.clear();
            request.context().setId(GeneratedCtr.SITE_ID, 7).setTexts(GeneratedCtr.INTEREST, Arrays.asList("旅行", "料理"));
            for (int i = 0; i < 3; i++) {
                request.candidate(i).setId(GeneratedCtr.CREATIVE_ID, CREATIVES[i]);
            }
            scorer.predict(3);
            for (int i = 0; i < 3; i++) {
                System.out.println("creative " + CREATIVES[i] + ": " + scorer.probability(i));
            }
        } catch (OmomiException refused) {
            System.err.println(refused.getMessage() + "; " + refused.owner().word() + ": " + refused.action());
        }
    }
}
