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
    private static final int HALF_HEX_LEN = LEN_BYTES;
    private static final char[] DIGITS = "0123456789abcdef".toCharArray();

    /** The bytes, as two big-endian numbers. */
    final long high;
    final long low;

    private PredictionId(long high, long low) {
        this.high = high;
        this.low = low;
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
        return new PredictionId(half(text, 0), half(text, HALF_HEX_LEN));
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
        for (int i = 0; i < Long.BYTES; i++) {
            int shift = Long.SIZE - (i + 1) * Byte.SIZE;
            bytes[i] = (byte) (high >>> shift);
            bytes[Long.BYTES + i] = (byte) (low >>> shift);
        }
        return bytes;
    }

    /** Returns 32 hexadecimal digits in lower case, as the tools write the id. */
    @Override
    public String toString() {
        char[] text = new char[HEX_LEN];
        for (int i = 0; i < HALF_HEX_LEN; i++) {
            int shift = Long.SIZE - (i + 1) * 4;
            text[i] = DIGITS[(int) (high >>> shift) & 0xf];
            text[HALF_HEX_LEN + i] = DIGITS[(int) (low >>> shift) & 0xf];
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
        return id.high == high && id.low == low;
    }

    @Override
    public int hashCode() {
        // The bytes are a hash already.
        return Long.hashCode(high);
    }

    private static long half(byte[] bytes, int first) {
        long half = 0;
        for (int i = 0; i < Long.BYTES; i++) {
            half = half << Byte.SIZE | bytes[first + i] & 0xff;
        }
        return half;
    }

    private static long half(CharSequence text, int first) {
        long half = 0;
        for (int i = first; i < first + HALF_HEX_LEN; i++) {
            char c = text.charAt(i);
            int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
            if (digit < 0) {
                throw noId("another character at " + i);
            }
            half = half << 4 | digit;
        }
        return half;
    }

    private static OmomiException noId(String found) {
        return OmomiException.invalidArgument(
                "text", "expected " + HEX_LEN + " hexadecimal digits in lower case, found " + found);
    }
}
