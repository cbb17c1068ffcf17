package io.omomi;

import java.nio.ByteBuffer;
import java.nio.LongBuffer;

/**
 * The tail of a request block: texts and lists, one after the other. Texts are first gathered in an array and written
 * to the block many at a time, because a byte in an array costs a fraction of a byte in the block.
 */
final class Tail {
    /** Size of the array: room for some hundred category names. */
    private static final int GATHERED_LEN_BYTES = 4096;
    /** Number of chars that always fit into the array. */
    private static final int GATHERED_CHARS = GATHERED_LEN_BYTES / Utf8.MAX_BYTES_PER_CHAR;

    private final ByteBuffer block;
    private final LongBuffer words;
    private final int offset;
    private final int capacity;
    private final byte[] gathered = new byte[GATHERED_LEN_BYTES];
    private int used;
    /** Number of used bytes that are already in the block. The others are still gathered. */
    private int written;
    /** Where the next text of a list that replaces another one goes. */
    private int nextText;

    Tail(ByteBuffer block, LongBuffer words, RequestLayout layout) {
        this.block = block;
        this.words = words;
        this.offset = layout.tailOffset;
        this.capacity = layout.tailLenBytes();
    }

    /** Returns the number of bytes in use. */
    int used() {
        return used;
    }

    void clear() {
        used = 0;
        written = 0;
    }

    /**
     * Appends a text and returns the reference to it for a row or a list.
     *
     * @throws OmomiException with {@link Code#TAIL_FULL} if it does not fit; then nothing has been appended
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
     * Puts a text in place of the one that {@code old} refers to: into its room if it fits, and else into a new one
     * with room to spare, so that setting a field again and again does not fill the tail.
     *
     * @throws OmomiException with {@link Code#TAIL_FULL} if it does not fit; then nothing has changed
     */
    long putTextAgain(long old, CharSequence text) {
        long len = Utf8.len(text);
        long slot = takeAgain((int) old, roomLen(old, 1), roomClass(old), len, 1, len);
        writeText((int) slot, text);
        return slot;
    }

    /**
     * Reserves room for a list like {@link #takeList}, in place of the one that {@code old} refers to, and returns the
     * reference to it.
     */
    long takeListAgain(long old, boolean hasTexts, int count, long textsLen) {
        int start = (int) old;
        int len = roomLen(old, Block.SLOT_LEN);
        if (roomClass(old) == 0 && hasTexts) {
            for (int i = 0; i < count(old); i++) {
                long text = words.get((offset + start) / Block.SLOT_LEN + i);
                len = Math.max(len, (int) text + count(text) - start);
            }
        }
        long slot = takeAgain(
                start, len, roomClass(old), (long) count * Block.SLOT_LEN + textsLen, Block.SLOT_LEN, count);
        nextText = (int) slot + count * Block.SLOT_LEN;
        return slot;
    }

    /** Writes text {@code index} of a list from {@link #takeListAgain}; the texts are written in their order. */
    void putListedText(long list, int index, CharSequence text) {
        int len = (int) Utf8.len(text);
        writeText(nextText, text);
        setListed((int) list, index, reference(nextText, len));
        nextText += len;
    }

    /** Returns the reference to {@code count} bytes or values in a room of {@code len} bytes. */
    private long takeAgain(int start, int roomLen, int roomClass, long len, int alignment, long count) {
        flush();
        boolean isLast = start + roomLen == used && roomClass == 0;
        int kept = roomClass;
        int at = start;
        if (isLast) {
            if (len > capacity - start) {
                throw full(start + len);
            }
            used = start + (int) len;
        } else if (len <= roomLen) {
            if (kept == 0 && len != roomLen) {
                kept = Integer.SIZE - 1 - Integer.numberOfLeadingZeros(roomLen);
                kept = len <= 1L << kept ? kept : 0;
            }
        } else {
            at = (used + alignment - 1) & -alignment;
            if (len > capacity - at) {
                throw full(at + len);
            }
            kept = Integer.SIZE - Integer.numberOfLeadingZeros((int) len - 1);
            kept = 1L << kept <= capacity - at ? kept : 0;
            used = at + (kept == 0 ? (int) len : 1 << kept);
        }
        written = used;
        return reference(at, (int) count) | (long) kept << (Integer.SIZE + Block.REFERENCE_LEN_BITS);
    }

    /** Writes a text to the block, at bytes that were reserved before. */
    private void writeText(int start, CharSequence text) {
        int at = offset + start;
        int count = text.length();
        int end;
        for (int first = 0; first < count; first = end) {
            end = Math.min(first + GATHERED_CHARS, count);
            if (end < count && Character.isHighSurrogate(text.charAt(end - 1))) {
                end--;
            }
            int len = Utf8.putChars(text, first, end, gathered, 0);
            block.position(at);
            block.put(gathered, 0, len);
            at += len;
        }
    }

    static int count(long reference) {
        return (int) (reference >>> Integer.SIZE) & ((1 << Block.REFERENCE_LEN_BITS) - 1);
    }

    private static int roomClass(long reference) {
        return (int) (reference >>> (Integer.SIZE + Block.REFERENCE_LEN_BITS));
    }

    private static int roomLen(long reference, int elementLen) {
        int roomClass = roomClass(reference);
        return roomClass == 0 ? count(reference) * elementLen : 1 << roomClass;
    }

    /**
     * Reserves room for a list of {@code count} values, followed by {@code textsLen} bytes for its texts, and returns
     * its offset in the tail. The texts are put afterwards.
     *
     * @throws OmomiException with {@link Code#TAIL_FULL} if they do not fit; then nothing has been reserved
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

    /** Writes value {@code index} of the list at {@code list}. */
    void setListed(int list, int index, long value) {
        words.put((offset + list) / Block.SLOT_LEN + index, value);
    }

    /** Writes gathered texts to the block. */
    void flush() {
        int len = used - written;
        if (len > 0) {
            block.position(offset + written);
            block.put(gathered, 0, len);
            written = used;
        }
    }

    /** Returns the reference to {@code count} bytes or values at {@code start}: two u32 as one little-endian u64. */
    static long reference(int start, int count) {
        return Integer.toUnsignedLong(start) | (long) count << Integer.SIZE;
    }

    /** Appends a long text in pieces, after checking that all of it fits. */
    private void putLongText(CharSequence text, int count) {
        long len = Utf8.len(text);
        if (len > capacity - used) {
            throw full(used + len);
        }
        int end;
        for (int first = 0; first < count; first = end) {
            end = Math.min(first + GATHERED_CHARS, count);
            // Do not separate a pair of surrogates.
            if (end < count && Character.isHighSurrogate(text.charAt(end - 1))) {
                end--;
            }
            flush();
            take(Utf8.putChars(text, first, end, gathered, 0));
        }
    }

    /** Adds {@code len} bytes, already in the array, to the used part. */
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
