package io.omomi.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A table off the heap without native code: open addressing over a mapped file, with slots of 16 bytes for a key and a
 * weight, and a load factor of at most three quarters.
 */
final class MappedTable extends KeyedFeatures {
    private static final int SLOT_LEN = 16;
    private static final int WEIGHT_OFFSET = 8;
    /** Key of a free slot. No feature of the benchmark has it. */
    private static final long FREE = 0;

    private final MappedByteBuffer slots;
    private final int mask;

    MappedTable(Traffic traffic) {
        super(traffic);
        int count = Integer.highestOneBit(Weights.count() / 3 * 4) * 2;
        mask = count - 1;
        slots = map((long) count * SLOT_LEN);
        Weights.visit(Kind.ID, (field, category, key, weight) -> put(key, weight));
    }

    private static MappedByteBuffer map(long len) {
        try {
            Path file = Files.createTempFile("omomi-bench-", ".table");
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                MappedByteBuffer mapped = channel.map(FileChannel.MapMode.READ_WRITE, 0, len);
                mapped.order(ByteOrder.nativeOrder());
                return mapped;
            } finally {
                // The mapping stays valid without the name.
                Files.delete(file);
            }
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    private void put(long key, float weight) {
        int at = (int) key & mask;
        while (slots.getLong(at * SLOT_LEN) != FREE) {
            at = at + 1 & mask;
        }
        slots.putLong(at * SLOT_LEN, key);
        slots.putFloat(at * SLOT_LEN + WEIGHT_OFFSET, weight);
    }

    @Override
    float weight(long key) {
        int at = (int) key & mask;
        while (true) {
            long found = slots.getLong(at * SLOT_LEN);
            if (found == key) {
                return slots.getFloat(at * SLOT_LEN + WEIGHT_OFFSET);
            }
            if (found == FREE) {
                return 0;
            }
            at = at + 1 & mask;
        }
    }
}
