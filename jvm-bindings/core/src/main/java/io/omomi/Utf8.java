package io.omomi;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Encodes text as UTF-8: without allocation into a request's tail, or strictly for rare calls. */
final class Utf8 {
    /** Maximum number of bytes per char. A pair of surrogates takes four bytes together. */
    static final int MAX_BYTES_PER_CHAR = 3;

    /** In place of the length of a text that does not fit. */
    static final int TOO_LONG = -1;

    private static final int EIGHT = 8;

    private Utf8() {}

    /**
     * Returns the number of bytes that {@link #put} writes for {@code text}. An unpaired surrogate takes 3 bytes that
     * are not valid UTF-8: the native library detects them and refuses the candidate, as from any caller.
     */
    static long len(CharSequence text) {
        int count = text.length();
        long len = count;
        for (int i = 0; i < count; i++) {
            char c = text.charAt(i);
            if (c >= 0x80) {
                if (c < 0x800) {
                    len += 1;
                } else if (isPair(c, text, i, count)) {
                    // Two chars become four bytes.
                    len += 2;
                    i++;
                } else {
                    len += 2;
                }
            }
        }
        return len;
    }

    /**
     * Writes {@code text}, whose length is {@code count}, at {@code start} of an array, and returns the position after
     * it. The array must have room for {@link #MAX_BYTES_PER_CHAR} bytes per char.
     */
    static int put(CharSequence text, int count, byte[] bytes, int start) {
        // Nearly every category is an ASCII string, whose bytes are copied as they are.
        if (text instanceof String && isAscii((String) text, count)) {
            putAscii((String) text, count, bytes, start);
            return start + count;
        }
        return putChars(text, 0, count, bytes, start);
    }

    /**
     * Writes {@code text} at {@code offset} of a block with {@code room} bytes for it, and returns its length in bytes,
     * or {@link #TOO_LONG}. The text goes through {@code bytes}, which has room for {@link #MAX_BYTES_PER_CHAR} bytes
     * per char of {@code room} chars. Allocates nothing.
     */
    static int put(CharSequence text, byte[] bytes, ByteBuffer block, int offset, int room) {
        int count = text.length();
        int len = count > room ? room + 1 : put(text, count, bytes, 0);
        if (len > room) {
            return TOO_LONG;
        }
        block.position(offset);
        block.put(bytes, 0, len);
        return len;
    }

    /**
     * Writes the chars of {@code text} from {@code first} up to {@code end}, like {@link #put}. The range must not
     * separate a pair of surrogates.
     */
    static int putChars(CharSequence text, int first, int end, byte[] bytes, int start) {
        int at = start;
        for (int i = first; i < end; i++) {
            char c = text.charAt(i);
            if (c < 0x80) {
                bytes[at++] = (byte) c;
            } else if (c < 0x800) {
                bytes[at++] = (byte) (0xc0 | c >> 6);
                bytes[at++] = (byte) (0x80 | c & 0x3f);
            } else if (isPair(c, text, i, end)) {
                int point = Character.toCodePoint(c, text.charAt(++i));
                bytes[at++] = (byte) (0xf0 | point >> 18);
                bytes[at++] = (byte) (0x80 | point >> 12 & 0x3f);
                bytes[at++] = (byte) (0x80 | point >> 6 & 0x3f);
                bytes[at++] = (byte) (0x80 | point & 0x3f);
            } else {
                bytes[at++] = (byte) (0xe0 | c >> 12);
                bytes[at++] = (byte) (0x80 | c >> 6 & 0x3f);
                bytes[at++] = (byte) (0x80 | c & 0x3f);
            }
        }
        return at;
    }

    /**
     * Checks eight chars at a time, unrolled by hand: if many setters are compiled into one method, the JVM no longer
     * unrolls loops.
     */
    private static boolean isAscii(String text, int count) {
        int i = 0;
        for (; i <= count - EIGHT; i += EIGHT) {
            int any = text.charAt(i) | text.charAt(i + 1) | text.charAt(i + 2) | text.charAt(i + 3)
                    | text.charAt(i + 4) | text.charAt(i + 5) | text.charAt(i + 6) | text.charAt(i + 7);
            if (any >= 0x80) {
                return false;
            }
        }
        for (; i < count; i++) {
            if (text.charAt(i) >= 0x80) {
                return false;
            }
        }
        return true;
    }

    /**
     * Copies the lower byte of each char, which is all of an ASCII char. The method is deprecated because it does so
     * with any text.
     */
    @SuppressWarnings("deprecation")
    private static void putAscii(String text, int count, byte[] bytes, int start) {
        text.getBytes(0, count, bytes, start);
    }

    private static boolean isPair(char c, CharSequence text, int i, int count) {
        return Character.isHighSurrogate(c) && i + 1 < count && Character.isLowSurrogate(text.charAt(i + 1));
    }

    /**
     * Returns the bytes of {@code text} as a new array.
     *
     * @throws OmomiException with {@link Code#NOT_UTF8} for an unpaired surrogate
     */
    static byte[] strict(CharSequence text, String what) {
        try {
            ByteBuffer encoded = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
            byte[] bytes = new byte[encoded.remaining()];
            encoded.get(bytes);
            return bytes;
        } catch (CharacterCodingException cause) {
            throw new OmomiException(Code.NOT_UTF8, what + " has an unpaired surrogate", cause);
        }
    }
}
