package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A damaged or foreign file is refused with the right code, owner and action, in both load modes. */
final class WeightFileFaultsTest {
    @TempDir
    Path folder;

    private final byte[] good;

    WeightFileFaultsTest() throws IOException {
        good = Files.readAllBytes(Fixture.weightFile());
    }

    @Test
    void a_missing_file_and_a_folder_are_errors_for_infra() {
        assertRefused(folder.resolve("ない.omomi"), Code.FILE, Owner.INFRA);
        assertRefused(folder, Code.FILE, Owner.INFRA);
    }

    @Test
    void a_file_that_is_something_else_is_not_a_weight_file() throws IOException {
        byte[] bytes = new byte[4096];
        Arrays.fill(bytes, (byte) 'x');
        assertRefused(write(bytes), Code.NOT_A_WEIGHT_FILE, Owner.INFRA);
    }

    @Test
    void a_file_that_ends_early_is_truncated() throws IOException {
        for (int len : new int[] {128, 200, good.length / 2, good.length - 1}) {
            assertRefused(write(Arrays.copyOf(good, len)), Code.TRUNCATED, Owner.INFRA);
        }
    }

    @Test
    void a_file_with_extra_bytes_is_too_long() throws IOException {
        assertRefused(write(Arrays.copyOf(good, good.length + 1)), Code.TOO_LONG, Owner.INFRA);
    }

    @Test
    void a_flipped_bit_anywhere_is_damage() throws IOException {
        for (int at = 128; at < good.length; at += 1 + good.length / 50) {
            byte[] bytes = good.clone();
            bytes[at] ^= 0x10;
            OmomiException refused = refuse(write(bytes), LoadMode.COPY);
            assertTrue(
                    refused.code() == Code.DAMAGED || refused.code() == Code.MALFORMED || refused.code() == Code.TRUNCATED,
                    () -> refused.toString());
        }
    }

    private Path write(byte[] bytes) throws IOException {
        Path file = Files.createTempFile(folder, "damaged-", ".omomi");
        return Files.write(file, bytes);
    }

    private static void assertRefused(Path file, Code code, Owner owner) {
        for (LoadMode mode : LoadMode.values()) {
            OmomiException refused = refuse(file, mode);
            assertEquals(code, refused.code(), refused::toString);
            assertEquals(owner, refused.owner());
            assertTrue(refused.toString().contains(code.codeName()) && refused.toString().contains(owner.word()));
            assertTrue(!refused.getMessage().isEmpty() && !refused.action().isEmpty());
        }
    }

    private static OmomiException refuse(Path file, LoadMode mode) {
        return assertThrows(OmomiException.class, () -> Model.open(file, mode).close());
    }
}
