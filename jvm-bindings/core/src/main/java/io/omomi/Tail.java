package io.omomi;

import java.nio.ByteBuffer;
import java.nio.LongBuffer;

/**
 * The tail of a request block: texts and lists, one behind the other. Texts gather in an array first and go to the block many
 * at a time, because a byte in an array costs a fraction of a byte in the block.
 */
final class Tail {
    /** Some hundred names of categories. */
    private static final int GATHERED_LEN_BYTES = 4096;
    /** Chars that fit there whatever they are. */
    private static final int GATHERED_CHARS = GATHERED_LEN_BYTES / Utf8.MAX_BYTES_PER_CHAR;

    private final ByteBuffer block;
    private final LongBuffer words;
    private final int offset;
    private final int capacity;
    private final byte[] gathered = new byte[GATHERED_LEN_BYTES];
    private int used;
    /** Of the bytes in use, those that are in the block; the others are gathered. */
    private int written;

    Tail(ByteBuffer block, LongBuffer words, RequestLayout layout) {
        this.block = block;
        this.words = words;
        this.offset = layout.tailOffset;
        this.capacity = layout.tailLenBytes();
    }

    /** Bytes in use. */
    int used() {
        return used;
    }

    void clear() {
        used = 0;
        written = 0;
    }

    /**
     * Appends a text and returns what refers to it in a row or a list.
     *
     * @throws OmomiException with {@link Code#TAIL_FULL} if it does not fit; nothing has been appended then
     */
    long putText(CharSequence text) {
        int start = used;
        int count = text.length();
        if (count > GATHERED_CHARS) {
            putLongText(text, count);
        } else {
            if (count * Utf8.MAX_BYTES_PER_CHAR > GATHERED_LEN_BYTES - (used - written)) {
                flush();
            }
            int at = used - written;
            take(Utf8.put(text, count, gathered, at) - at);
        }
        return reference(start, used - start);
    }

    /**
     * Takes room for a list of {@code count} values, with {@code textsLen} bytes behind it for its texts, and returns where
     * in the tail it begins. The texts are still to be put.
     *
     * @throws OmomiException with {@link Code#TAIL_FULL} if they do not fit; nothing has been taken then
     */
    int takeList(int count, long textsLen) {
        int start = (used + Block.SLOT_LEN - 1) & -Block.SLOT_LEN;
        int end = start + count * Block.SLOT_LEN;
        if (end + textsLen > capacity) {
            throw full(end + textsLen);
        }
        flush();
        used = end;
        written = end;
        return start;
    }

    /** Writes value {@code index} of the list that begins at {@code list}. */
    void setListed(int list, int index, long value) {
        words.put((offset + list) / Block.SLOT_LEN + index, value);
    }

    /** Brings the block up to date. */
    void flush() {
        int len = used - written;
        if (len > 0) {
            block.position(offset + written);
            block.put(gathered, 0, len);
            written = used;
        }
    }

    /** What refers to {@code count} bytes or values at {@code start}: two u32 as one little-endian u64. */
    static long reference(int start, int count) {
        return Integer.toUnsignedLong(start) | (long) count << Integer.SIZE;
    }

    /** By pieces, after a look at whether all of them fit. */
    private void putLongText(CharSequence text, int count) {
        long len = Utf8.len(text);
        if (len > capacity - used) {
            throw full(used + len);
        }
        int end;
        for (int first = 0; first < count; first = end) {
            end = Math.min(first + GATHERED_CHARS, count);
            // A pair of surrogates stays together.
            if (end < count && Character.isHighSurrogate(text.charAt(end - 1))) {
                end--;
            }
            flush();
            take(Utf8.putChars(text, first, end, gathered, 0));
        }
    }

    /** Takes {@code len} bytes that have been gathered behind the others. */
    private void take(int len) {
        if (len > capacity - used) {
            throw full((long) used + len);
        }
        used += len;
    }

    private OmomiException full(long needed) {
        return new OmomiException(
                Code.TAIL_FULL,
                "the request's tail is full: it has " + capacity + " bytes, " + needed
                        + " are needed; make the request's layout with a larger tail");
    }
}
