package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Messages name what is wrong, not something beside it. */
final class MessagesTest {
    private static String refused(Code code, Executable call) {
        OmomiException refused = assertThrows(OmomiException.class, call);
        assertEquals(code, refused.code(), refused::toString);
        return refused.getMessage();
    }

    private static void assertSays(String message, String... parts) {
        for (String part : parts) {
            assertTrue(message.contains(part), () -> part + " in: " + message);
        }
    }

    @Test
    void a_full_set_is_what_is_full() {
        try (CandidateSet set = CandidateSet.open(Fixture.SCHEMA, 1, 1)) {
            set.add(row -> {});
            String message = refused(Code.TOO_MANY_CANDIDATES, () -> set.add(row -> {}));
            assertSays(message, "the candidate set is full: it has room for 1");
            assertFalse(message.contains("layout"), message);
        }
    }

    @Test
    void a_huge_path_leaves_room_for_the_reason(@TempDir Path folder) {
        Path huge = Path.of("x".repeat(10 << 20));
        for (String message : List.of(
                refused(Code.FILE, () -> Model.open(huge)),
                refused(Code.FILE, () -> new Store(folder).open(Store.options().trustedKeys(huge).build())))) {
            assertSays(message, "xxx", "File name too long");
            assertTrue(message.length() < 17_000, () -> message.length() + " chars");
        }
        try (LiveModel live = LiveModel.open(huge, Fixture.SCHEMA)) {
            live.status().reasons().forEach(reason ->
                    assertTrue(reason.text().length() < 17_000, () -> reason.text().length() + " chars"));
        } catch (OmomiException refused) {
            assertTrue(refused.getMessage().length() < 17_000, () -> refused.getMessage().length() + " chars");
        }
    }

    @Test
    void a_nul_or_another_control_character_cuts_no_message_short() {
        String message = refused(
                Code.SCHEMA_INVALID,
                () -> Schema.builder().id("a\0b", Side.CONTEXT).id("a\0b", Side.CONTEXT).build());
        assertSays(message, "a\\u{0}b");
        assertFalse(message.contains("\0"), message);
        Schema control = Schema.builder().id("a\0\u001b[31mb", Side.CONTEXT).build();
        try (Model model = Fixture.model()) {
            assertSays(
                    refused(Code.FIELD_MISSING, () -> Scorer.open(model, RequestLayout.of(control, 1, 0))),
                    "`creative_id`", "`creative_age`");
        }
    }

    @Test
    void a_missing_key_file_is_named(@TempDir Path folder) throws IOException {
        Path missing = folder.resolve("鍵.public");
        Store store = new Store(folder);
        String message = refused(Code.FILE, () -> store.open(Store.options().trustedKeys(missing).build()));
        assertSays(message, missing.toString(), "there is no such file");
        assertFalse(message.contains("entity"), message);
        Files.writeString(missing, "no key");
        assertSays(
                assertThrows(OmomiException.class, () -> store.open(Store.options().trustedKeys(missing).build())).getMessage(),
                missing.toString());
    }

    @Test
    void two_live_models_of_one_name_are_of_this_process(@TempDir Path folder) throws IOException {
        Store store = new Store(folder);
        store.publish(1);
        try (LiveModel first = store.open(); LiveModel second = store.open()) {
            assertTrue(first.isLive());
            String reasons = second.status().reasons().stream().map(LiveStatus.Reason::text).collect(Collectors.joining("\n"));
            assertSays(reasons, "another live model of this process has the same name");
            assertFalse(reasons.contains("another process"), reasons);
        }
    }

    @Test
    void an_unpaired_surrogate_is_called_so() {
        try (Model model = Fixture.model(); Scorer scorer = Scorer.open(model, Fixture.LAYOUT)) {
            scorer.request().context().setText(Fixture.REGION, "\ud800");
            assertSays(refused(Code.CONTEXT_MALFORMED, () -> scorer.predict()), "`region`", "unpaired surrogate");
            scorer.request().clear();
            scorer.request().candidate(0).setTexts(Fixture.LABEL, List.of("x", "\udc00"));
            scorer.predict();
            assertEquals(CandidateStatus.NOT_UTF8, scorer.status(0));
            assertSays(assertThrows(OmomiException.class, () -> scorer.explain(0)).getMessage(), "unpaired surrogate");
        }
        try (CandidateSet set = CandidateSet.open(Fixture.SCHEMA, 1, 2)) {
            assertSays(
                    assertThrows(OmomiException.class, () -> set.add(row -> row.setText(Fixture.CATEGORY, "\ud800"))).getMessage(),
                    "`category`", "unpaired surrogate");
        }
        for (Executable call : List.<Executable>of(
                () -> Feature.textValue("\ud800"),
                () -> Schema.builder().id("\ud800", Side.CONTEXT).build(),
                () -> Schema.ofContract("\ud800"),
                () -> LiveOptions.builder().name("\ud800").build())) {
            assertSays(refused(Code.NOT_UTF8, call), "unpaired surrogate");
        }
    }
}
