package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Reads the weight file's golden requests as FORMAT.md specifies, and checks that the JVM gives their answers, bit for
 * bit.
 */
final class GoldenRequestsTest {
    private static final int SECTION_COUNT_OFFSET = 20;
    private static final int HEADER_LEN = 128;
    private static final int SECTION_LEN = 32;
    private static final int GOLDEN_KIND = 7;

    @ParameterizedTest
    @EnumSource(LoadMode.class)
    void every_golden_request_has_the_bits_that_the_weight_file_promises(LoadMode mode) throws IOException {
        Path file = Fixture.weightFile();
        List<Object> requests = Json.list(Json.map(Json.parse(goldenSection(file))).get("requests"));
        int answers = 0;
        try (Model model = Model.open(file, mode)) {
            Schema schema = Fixture.schemaOf(model.contract());
            RequestLayout layout = RequestLayout.of(schema, 64, 1 << 16);
            try (Scorer scorer = Scorer.open(model, layout)) {
                for (Object one : requests) {
                    answers += check(schema, scorer, Json.map(one));
                }
                assertEquals(model.generation(), scorer.generation());
                assertEquals(model.logicId(), scorer.logicId());
            }
        }
        assertTrue(answers >= requests.size() && answers > 0, "only " + answers + " answers were checked");
    }

    private static int check(Schema schema, Scorer scorer, Map<String, Object> golden) {
        Request request = scorer.request();
        request.clear();
        fill(schema, request.context(), Json.map(golden.get("context")));
        List<Object> candidates = Json.list(golden.get("candidates"));
        for (int i = 0; i < candidates.size(); i++) {
            fill(schema, request.candidate(i), Json.map(candidates.get(i)));
        }
        scorer.predict(candidates.size());
        for (int i = 0; i < candidates.size(); i++) {
            assertEquals(CandidateStatus.SCORED, scorer.status(i));
            String logit = String.format("%016x", Double.doubleToRawLongBits(scorer.logit(i)));
            assertEquals(Json.list(golden.get("logits")).get(i), logit);
            String probability = String.format("%08x", Float.floatToRawIntBits(scorer.probability(i)));
            assertEquals(Json.list(golden.get("probabilities")).get(i), probability);
            Explanation why = scorer.explain(i);
            assertEquals(Double.doubleToRawLongBits(scorer.logit(i)), Double.doubleToRawLongBits(why.logit()));
            double sum = why.bias() + why.parts().stream().mapToDouble(Explanation.Part::weight).sum();
            assertEquals(why.logit(), sum, 1e-9 * Math.max(1, Math.abs(sum)), why::toString);
        }
        return candidates.size();
    }

    private static void fill(Schema schema, Row row, Map<String, Object> values) {
        values.forEach((name, value) -> {
            Field field = schema.field(name);
            if (field.isMany()) {
                List<Object> list = Json.list(value);
                if (field.type() == FieldType.ID) {
                    long[] ids = list.stream().mapToLong(id -> (Long) id).toArray();
                    row.setIds(field, ids, ids.length);
                } else {
                    row.setTexts(field, list.stream().map(text -> (String) text).toList());
                }
            } else if (field.type() == FieldType.ID) {
                row.setId(field, (Long) value);
            } else if (field.type() == FieldType.TEXT) {
                row.setText(field, (String) value);
            } else {
                row.setNumber(field, Json.number(value));
            }
        });
    }

    private static String goldenSection(Path file) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < bytes.getInt(SECTION_COUNT_OFFSET); i++) {
            int entry = HEADER_LEN + i * SECTION_LEN;
            if (bytes.getInt(entry) == GOLDEN_KIND) {
                int start = Math.toIntExact(bytes.getLong(entry + 8));
                int len = Math.toIntExact(bytes.getLong(entry + 16));
                return new String(bytes.array(), start, len, StandardCharsets.UTF_8);
            }
        }
        throw new IllegalStateException("no golden requests in " + file);
    }
}
