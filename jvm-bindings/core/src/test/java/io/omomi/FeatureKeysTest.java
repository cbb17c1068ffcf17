package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import org.junit.jupiter.api.Test;

/**
 * Checks that the functions reached from Java compute the keys of the vector file, which every implementation reads.
 */
final class FeatureKeysTest {
    @Test
    void every_vector_has_its_seed_its_value_and_its_key() throws IOException {
        int checked = 0;
        for (String line : Files.readAllLines(Fixture.path("omomi.test.feature.keys"))) {
            if (line.startsWith("#") || line.isEmpty()) {
                continue;
            }
            String[] columns = line.split("\t");
            String kind = columns[0];
            String input = columns[3];
            String value = columns[5];
            String key = columns[6];
            long seed = Feature.fieldSeed(columns[1]);
            assertEquals(columns[2], hex(seed), line);
            if (kind.equals("cross")) {
                long state = seed;
                for (String member : input.split(",")) {
                    state = Feature.crossStep(state, Long.parseUnsignedLong(member, 16));
                }
                assertEquals(key, hex(state), line);
            } else if (!key.equals("-")) {
                switch (kind) {
                    case "id" -> assertEquals(value, hex(Long.parseLong(input)), line);
                    case "text" -> assertEquals(value, hex(Feature.textValue(text(input))), line);
                    // Native code finds the bucket of a number; the golden requests cover that.
                    default -> assertEquals("number", kind, line);
                }
                assertEquals(key, hex(Feature.featureKey(seed, Long.parseUnsignedLong(value, 16))), line);
            }
            checked++;
        }
        assertTrue(checked > 100, "only " + checked + " vectors were read");
    }

    private static String text(String hexBytes) {
        if (hexBytes.equals("-")) {
            return "";
        }
        byte[] bytes = new byte[hexBytes.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(hexBytes.substring(2 * i, 2 * i + 2), 16);
        }
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private static String hex(long bits) {
        return String.format("%016x", bits);
    }
}
