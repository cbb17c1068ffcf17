import io.omomi.Model;
import io.omomi.Request;
import io.omomi.RequestLayout;
import io.omomi.Schema;
import io.omomi.Scorer;
import java.nio.file.Paths;
import java.util.Arrays;

public final class Score {
    public static void main(String[] arguments) {
        long[] creatives = {1624, 2519, 4001};
        try (Model model = Model.open(Paths.get(arguments[0]))) {
            Schema schema = Schema.ofContract(model.contract());
            Scorer scorer = Scorer.open(model, RequestLayout.of(schema, 500, 4096));
            Request request = scorer.request();
            request.clear();
            request.context()
                    .setId(schema.field("site_id"), 7)
                    .setTexts(schema.field("interest"), Arrays.asList("旅行", "料理"));
            for (int i = 0; i < creatives.length; i++) {
                request.candidate(i).setId(schema.field("creative_id"), creatives[i]);
            }
            scorer.predict(creatives.length);
            for (int i = 0; i < creatives.length; i++) {
                System.out.println("creative " + creatives[i] + ": " + scorer.probability(i));
            }
            scorer.close();
        }
    }
}
