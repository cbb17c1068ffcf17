package io.omomi;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Prediction ids and samples are those of the vector file, which every implementation reads. */
final class PredictionIdTest {
    @Test
    void every_vector_has_its_id_and_its_place(@TempDir Path folder) throws IOException {
        RequestLayout layout = RequestLayout.of(Fixture.SCHEMA, 1, 0);
        int ids = 0;
        int samples = 0;
        byte[] bytes = new byte[18];
        try (Model model = Fixture.model();
                Scorer scorer = Scorer.open(model, layout);
                ServingLog log = ServingLog.open(folder.resolve("served"));
                LogRing ring = log.ring(scorer)) {
            for (String line : Files.readAllLines(Fixture.path("omomi.test.log.vectors"))) {
                if (line.startsWith("#") || line.isEmpty()) {
                    continue;
                }
                String[] columns = line.split("\t");
                String requestId = text(columns[1]);
                if (columns[0].equals("sample")) {
                    long salt = Long.parseUnsignedLong(columns[2]);
                    assertEquals(Integer.parseInt(columns[3]), ServingLog.samplePlace(salt, requestId), line);
                    samples++;
                    continue;
                }
                assertEquals("id", columns[0]);
                int candidate = Integer.parseInt(columns[3]);
                PredictionId id = PredictionId.of(requestId, text(columns[2]), candidate);
                assertEquals(columns[4], id.toString(), line);
                assertEquals(id, PredictionId.parse(columns[4]));
                assertEquals(id, PredictionId.ofBytes(id.toBytes()));
                assertEquals(id.hashCode(), PredictionId.parse(columns[4]).hashCode());
                assertNotEquals(id, PredictionId.of(requestId, text(columns[2]), candidate + 1));
                assertArrayEquals(HexFormat.of().parseHex(columns[4]), id.toBytes(), line);
                ring.served().clear().requestId(requestId).impression(text(columns[2]));
                ring.served().putPredictionId(candidate, bytes, 1);
                assertEquals(columns[4], HexFormat.of().formatHex(bytes, 1, 17), line);
                assertTrue(bytes[0] == 0 && bytes[17] == 0);
                ids++;
            }
        }
        assertTrue(ids > 20 && samples > 20, ids + " ids and " + samples + " samples were read");
    }

    private static String text(String hexBytes) {
        return hexBytes.equals("-") ? "" : new String(HexFormat.of().parseHex(hexBytes), StandardCharsets.UTF_8);
    }
}
