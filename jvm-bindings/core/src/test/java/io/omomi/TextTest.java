package io.omomi;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Text reaches the native side as UTF-8, for every kind of CharSequence. */
final class TextTest {
    @Test
    void the_encoder_without_allocation_writes_what_the_standard_one_writes() {
        Random random = new Random(1);
        for (int round = 0; round < 5_000; round++) {
            StringBuilder text = new StringBuilder();
            // Every other text is almost all ASCII, which is checked eight characters at a time.
            int kinds = round % 2 == 0 ? 4 : 80;
            for (int i = random.nextInt(40); i > 0; i--) {
                int point = switch (random.nextInt(kinds)) {
                    case 0 -> random.nextInt(0x800);
                    case 1 -> 0x3000 + random.nextInt(0x6000);
                    case 2 -> 0x10000 + random.nextInt(0x10_0000);
                    default -> random.nextInt(0x80);
                };
                text.appendCodePoint(point);
            }
            byte[] expected = text.toString().getBytes(StandardCharsets.UTF_8);
            assertArrayEquals(expected, put(text));
            assertArrayEquals(expected, put(text.toString()));
            assertArrayEquals(expected, Utf8.strict(text, "text"));
        }
    }

    @Test
    void an_unpaired_surrogate_becomes_three_bytes_that_are_not_utf8() {
        for (String text : new String[] {"\ud83d", "a\ud83d", "\ude00a", "\ud83d\ud83d\ude00"}) {
            byte[] bytes = put(text);
            assertEquals(Utf8.len(text), bytes.length);
            assertNotEquals(text, new String(bytes, StandardCharsets.UTF_8));
        }
        assertArrayEquals(new byte[] {(byte) 0xed, (byte) 0xa0, (byte) 0xbd}, put("\ud83d"));
    }

    @Test
    void japanese_texts_give_the_same_logit_as_bytes_as_values_and_in_lists() {
        String[] texts = {"", "料理", "自動車", "旅行", "ｶﾀｶﾅ", "𠮷野家", "👨‍👩‍👧", "nul\0inside"};
        long[] values = Arrays.stream(texts).mapToLong(Feature::textValue).toArray();
        try (Model model = Fixture.model(); Scorer scorer = Scorer.open(model, Fixture.LAYOUT)) {
            Request request = scorer.request();
            request.clear();
            for (int i = 0; i < texts.length; i++) {
                request.candidate(2 * i).setText(Fixture.CATEGORY, texts[i]);
                request.candidate(2 * i + 1).setTextValue(Fixture.CATEGORY, values[i]);
            }
            int lists = 2 * texts.length;
            request.candidate(lists).setTexts(Fixture.LABEL, texts, texts.length);
            request.candidate(lists + 1).setTexts(Fixture.LABEL, Arrays.asList(texts));
            request.candidate(lists + 2).setTextValues(Fixture.LABEL, values, values.length);
            scorer.predict(lists + 3);
            for (int i = 0; i < texts.length; i++) {
                assertEquals(scorer.logit(2 * i), scorer.logit(2 * i + 1), texts[i]);
            }
            assertEquals(scorer.logit(lists), scorer.logit(lists + 1));
            assertEquals(scorer.logit(lists), scorer.logit(lists + 2));
            assertNotEquals(scorer.logit(2), scorer.logit(4), "two known categories have different weights");
        }
    }

    private static byte[] put(CharSequence text) {
        byte[] bytes = new byte[8 + text.length() * Utf8.MAX_BYTES_PER_CHAR];
        int end = Utf8.put(text, text.length(), bytes, 8);
        assertEquals(Utf8.len(text), end - 8);
        return Arrays.copyOfRange(bytes, 8, end);
    }
}
