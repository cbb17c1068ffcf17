package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Texts and lists that rows refer to are in the block, whichever way they got there. */
final class TailTest {
    private static final int CANDIDATES = 500;
    private static final String[] ALPHABETS = {"abcdefgh-0123", "éüß÷a", "広告の分野、重み", "a\ud83d\ude00𠮷"};

    @Test
    void texts_and_lists_of_all_kinds_and_lengths_are_where_their_rows_say() {
        Request request = request(1 << 20);
        Random random = new Random(7);
        for (int round = 0; round < 20; round++) {
            request.clear();
            List<String> categories = new ArrayList<>();
            List<List<String>> labels = new ArrayList<>();
            for (int i = 0; i < CANDIDATES; i++) {
                String category = text(random);
                List<String> listed = i % 3 == 0 ? Arrays.asList(text(random), text(random)) : Arrays.asList();
                Row row = request.candidate(i);
                row.setText(Fixture.CATEGORY, i % 2 == 0 ? category : new StringBuilder(category));
                if (i % 3 == 0) {
                    row.setTexts(Fixture.LABEL, listed);
                }
                categories.add(category);
                labels.add(listed);
            }
            request.seal();
            for (int i = 0; i < CANDIDATES; i++) {
                assertEquals(categories.get(i), text(request, slot(request, i, Fixture.CATEGORY)));
                for (int place = 0; place < labels.get(i).size(); place++) {
                    long list = slot(request, i, Fixture.LABEL);
                    assertEquals(labels.get(i).size(), (int) (list >>> 32));
                    int at = request.layout.tailOffset + (int) list + place * Block.SLOT_LEN;
                    assertEquals(labels.get(i).get(place), text(request, request.block.getLong(at)));
                }
            }
        }
    }

    @Test
    void a_text_longer_than_the_gathering_array_keeps_surrogate_pairs_together() {
        Request request = request(64 << 10);
        for (int lead = 0; lead < 4; lead++) {
            String text = "x".repeat(lead) + "\ud83d\ude00".repeat(5_000);
            request.clear();
            request.candidate(0).setText(Fixture.CATEGORY, text);
            request.seal();
            assertEquals(text, text(request, slot(request, 0, Fixture.CATEGORY)));
        }
    }

    @Test
    void the_tail_accepts_exactly_its_length() {
        for (int len : new int[] {64, 4096, 16 << 10}) {
            for (String one : new String[] {"x", "é", "重", "\ud83d\ude00"}) {
                Request request = request(len);
                int bytes = one.getBytes(StandardCharsets.UTF_8).length;
                String fits = one.repeat((len - 2) / bytes);
                request.candidate(0).setText(Fixture.CATEGORY, fits);
                int left = len - fits.length() / one.length() * bytes;
                OmomiException thrown = assertThrows(
                        OmomiException.class, () -> request.candidate(1).setText(Fixture.CATEGORY, "y".repeat(left + 1)));
                assertEquals(Code.TAIL_FULL, thrown.code());
                request.candidate(1).setText(Fixture.CATEGORY, "y".repeat(left));
                assertEquals(len, request.tailUsedBytes());
                assertThrows(OmomiException.class, () -> request.candidate(2).setText(Fixture.CATEGORY, "z"));
                assertThrows(OmomiException.class, () -> request.candidate(2).setTexts(Fixture.LABEL, Arrays.asList("")));
                request.candidate(2).setText(Fixture.CATEGORY, "");
                request.seal();
                assertEquals(fits, text(request, slot(request, 0, Fixture.CATEGORY)));
                assertEquals("y".repeat(left), text(request, slot(request, 1, Fixture.CATEGORY)));
            }
        }
    }

    @Test
    void setting_a_text_or_a_list_again_reuses_the_tail() {
        Request request = request(8 << 10);
        Random random = new Random(11);
        String[] categories = new String[8];
        List<List<String>> labels = new ArrayList<>(Collections.nCopies(8, null));
        long[] ids = {1, 2, 3, 4, 5, 6, 7, 8};
        for (int round = 0; round < 20_000; round++) {
            int i = random.nextInt(8);
            String category = "重x\ud83d\ude00y".repeat(random.nextInt(5));
            List<String> listed = Collections.nCopies(random.nextInt(4), "ラベル".repeat(random.nextInt(3)));
            Row row = request.candidate(i);
            row.setText(Fixture.CATEGORY, category).setIds(Fixture.CAMPAIGN_ID, ids, random.nextInt(8));
            if (round % 2 == 0) {
                row.setTexts(Fixture.LABEL, listed);
            } else {
                row.setTexts(Fixture.LABEL, listed.toArray(new String[0]), listed.size());
            }
            categories[i] = category;
            labels.set(i, listed);
        }
        request.seal();
        for (int i = 0; i < 8; i++) {
            assertEquals(categories[i], text(request, slot(request, i, Fixture.CATEGORY)));
            long list = slot(request, i, Fixture.LABEL);
            for (int place = 0; place < labels.get(i).size(); place++) {
                int at = request.layout.tailOffset + (int) list + place * Block.SLOT_LEN;
                assertEquals(labels.get(i).get(place), text(request, request.block.getLong(at)));
            }
        }
        int used = request.tailUsedBytes();
        assertThrows(OmomiException.class, () -> request.candidate(0).setText(Fixture.CATEGORY, "x".repeat(9_000)));
        assertThrows(
                OmomiException.class,
                () -> request.candidate(0).setTexts(Fixture.LABEL, Arrays.asList("x", "y".repeat(9_000))));
        assertEquals(used, request.tailUsedBytes(), "a setter that fails takes nothing");
        assertEquals(categories[0], text(request, slot(request, 0, Fixture.CATEGORY)));
    }

    private static Request request(int tailLenBytes) {
        return new Request(RequestLayout.of(Fixture.SCHEMA, CANDIDATES, tailLenBytes));
    }

    private static String text(Random random) {
        String alphabet = ALPHABETS[random.nextInt(ALPHABETS.length)];
        int[] points = alphabet.codePoints().toArray();
        StringBuilder text = new StringBuilder();
        for (int i = random.nextInt(random.nextInt(100) == 0 ? 4_000 : 40); i > 0; i--) {
            text.appendCodePoint(points[random.nextInt(points.length)]);
        }
        return text.toString();
    }

    private static long slot(Request request, int candidate, Field field) {
        RequestLayout layout = request.layout;
        int row = layout.candidatesOffset + candidate * layout.candidateStride;
        return request.block.getLong(row + field.slotWord * Block.SLOT_LEN);
    }

    private static String text(Request request, long reference) {
        byte[] bytes = new byte[(int) (reference >>> 32) & (1 << Block.REFERENCE_LEN_BITS) - 1];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = request.block.get(request.layout.tailOffset + (int) reference + i);
        }
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
