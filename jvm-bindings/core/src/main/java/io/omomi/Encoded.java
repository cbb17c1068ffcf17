package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;
import java.util.OptionalLong;

/** Reads the encoded status and metrics of a live model: see {@code live_answers} in the native library. */
final class Encoded {
    private final ByteBuffer bytes;

    Encoded(byte[] bytes) {
        this.bytes = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    int small() {
        return bytes.get();
    }

    boolean flag() {
        return bytes.get() != 0;
    }

    long number() {
        return bytes.getLong();
    }

    OptionalLong optional() {
        return flag() ? OptionalLong.of(number()) : OptionalLong.empty();
    }

    Code code() {
        return Code.ofNumber(bytes.getInt());
    }

    String text() {
        byte[] text = new byte[bytes.getInt()];
        bytes.get(text);
        return new String(text, StandardCharsets.UTF_8);
    }

    /** Reads the number of elements of the list that follows. */
    int count() {
        return Math.toIntExact(number());
    }

    long[] numbers() {
        long[] numbers = new long[count()];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = number();
        }
        return numbers;
    }

    Map<Code, Long> codeCounts() {
        Map<Code, Long> counts = new EnumMap<>(Code.class);
        for (int left = count(); left > 0; left--) {
            counts.put(code(), number());
        }
        return Collections.unmodifiableMap(counts);
    }
}
