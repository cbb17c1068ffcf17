package io.omomi;

/**
 * Joins a prediction with its events: 16 bytes that follow from the request id, the impression and the candidate. Put
 * it into the URLs that report wins and clicks. It is no secret. Immutable.
 *
 * <pre>{@code
 * String url = "https://track.example/click?p=" + PredictionId.of(requestId, impression, candidate);
 * }</pre>
 */
public final class PredictionId {
    /** Length in bytes. */
    public static final int LEN_BYTES = 16;

    private static final int HEX_LEN = 2 * LEN_BYTES;
    private static final char[] DIGITS = "0123456789abcdef".toCharArray();

    /** The bytes, as two little-endian numbers. */
    final long first;
    final long second;

    private PredictionId(long first, long second) {
        this.first = first;
        this.second = second;
    }

    /**
     * Returns the id of a prediction. {@code impression} is empty if the request has only one, and {@code candidate} is
     * the index in the request. {@link Served#putPredictionId} does the same without an allocation.
     *
     * @throws OmomiException with {@link Code#RECORD_INVALID} if the request id does not have 1 to 128 bytes of UTF-8,
     *     the impression has more than 64, or the candidate is negative; {@link Code#NOT_UTF8} for an unpaired
     *     surrogate
     */
    public static PredictionId of(CharSequence requestId, CharSequence impression, int candidate) {
        if (requestId == null) {
            throw OmomiException.nullArgument("requestId");
        }
        if (impression == null) {
            throw OmomiException.nullArgument("impression");
        }
        NativeLibrary.load();
        byte[] request = Utf8.strict(requestId, "requestId");
        long[] halves = Native.predictionId(request, Utf8.strict(impression, "impression"), candidate);
        return new PredictionId(halves[0], halves[1]);
    }

    /**
     * Returns the id that has been written as 32 hexadecimal digits in lower case.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} for anything else: it may come from a URL that somebody
     *     has changed
     */
    public static PredictionId parse(CharSequence text) {
        if (text == null) {
            throw OmomiException.nullArgument("text");
        }
        if (text.length() != HEX_LEN) {
            throw noId("a text of " + text.length() + " chars");
        }
        return new PredictionId(half(text, 0), half(text, LEN_BYTES));
    }

    /**
     * Returns the id with these bytes.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} unless there are 16
     */
    public static PredictionId ofBytes(byte[] bytes) {
        if (bytes == null) {
            throw OmomiException.nullArgument("bytes");
        }
        if (bytes.length != LEN_BYTES) {
            throw OmomiException.invalidArgument("bytes", "expected " + LEN_BYTES + " bytes, found " + bytes.length);
        }
        return new PredictionId(half(bytes, 0), half(bytes, Long.BYTES));
    }

    /** Returns the bytes of the id, in a new array. */
    public byte[] toBytes() {
        byte[] bytes = new byte[LEN_BYTES];
        for (int i = 0; i < LEN_BYTES; i++) {
            bytes[i] = (byte) byteAt(i);
        }
        return bytes;
    }

    /** Returns 32 hexadecimal digits in lower case, as the tools write the id. */
    @Override
    public String toString() {
        char[] text = new char[HEX_LEN];
        for (int i = 0; i < LEN_BYTES; i++) {
            text[2 * i] = DIGITS[byteAt(i) >> 4];
            text[2 * i + 1] = DIGITS[byteAt(i) & 0xf];
        }
        return new String(text);
    }

    /** Returns whether {@code other} is the same id. */
    @Override
    public boolean equals(Object other) {
        if (!(other instanceof PredictionId)) {
            return false;
        }
        PredictionId id = (PredictionId) other;
        return id.first == first && id.second == second;
    }

    @Override
    public int hashCode() {
        // The bytes are a hash already.
        return Long.hashCode(first);
    }

    private int byteAt(int index) {
        long half = index < Long.BYTES ? first : second;
        return (int) (half >>> index * Byte.SIZE) & 0xff;
    }

    private static long half(byte[] bytes, int start) {
        long half = 0;
        for (int i = 0; i < Long.BYTES; i++) {
            half |= (long) (bytes[start + i] & 0xff) << i * Byte.SIZE;
        }
        return half;
    }

    private static long half(CharSequence text, int start) {
        long half = 0;
        for (int i = 0; i < Long.BYTES; i++) {
            long one = digit(text, start + 2 * i) << 4 | digit(text, start + 2 * i + 1);
            half |= one << i * Byte.SIZE;
        }
        return half;
    }

    private static int digit(CharSequence text, int index) {
        char c = text.charAt(index);
        if (c >= '0' && c <= '9') {
            return c - '0';
        }
        if (c >= 'a' && c <= 'f') {
            return c - 'a' + 10;
        }
        throw noId("another character at " + index);
    }

    private static OmomiException noId(String found) {
        return OmomiException.invalidArgument(
                "text", "expected " + HEX_LEN + " hexadecimal digits in lower case, found " + found);
    }
}
