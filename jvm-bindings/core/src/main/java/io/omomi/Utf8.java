package io.omomi;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Text to bytes: without garbage into a request's tail, or strictly for the calls that are made once. */
final class Utf8 {
    /** What {@link #put} answers if a text does not fit. */
    static final int NO_ROOM = -1;

    private static final int EIGHT = 8;

    private Utf8() {}

    /**
     * Bytes that {@link #put} writes for {@code text}. An unpaired surrogate takes 3 bytes that are not UTF-8: the
     * native library sees them and refuses the candidate, as it would refuse them from any caller.
     */
    static long len(CharSequence text) {
        return len(text, 0);
    }

    private static long len(CharSequence text, int first) {
        int count = text.length();
        long len = count - first;
        for (int i = first; i < count; i++) {
            char c = text.charAt(i);
            if (c >= 0x80) {
                if (c < 0x800) {
                    len += 1;
                } else if (isPair(c, text, i, count)) {
                    // Two chars, four bytes.
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
     * Writes {@code text} at {@code start} of a little-endian buffer and returns the position behind it, or {@link #NO_ROOM}
     * if that is behind {@code limit}; what is written there then means nothing.
     */
    static int put(CharSequence text, ByteBuffer bytes, int start, int limit) {
        int count = text.length();
        int first = 0;
        int at = start;
        while (first + EIGHT <= count && at + EIGHT <= limit && putEight(text, first, bytes, at)) {
            first += EIGHT;
            at += EIGHT;
        }
        if (at + len(text, first) > limit) {
            return NO_ROOM;
        }
        for (int i = first; i < count; i++) {
            char c = text.charAt(i);
            if (c < 0x80) {
                bytes.put(at++, (byte) c);
            } else if (c < 0x800) {
                bytes.put(at++, (byte) (0xc0 | c >> 6));
                bytes.put(at++, (byte) (0x80 | c & 0x3f));
            } else if (isPair(c, text, i, count)) {
                int point = Character.toCodePoint(c, text.charAt(++i));
                bytes.put(at++, (byte) (0xf0 | point >> 18));
                bytes.put(at++, (byte) (0x80 | point >> 12 & 0x3f));
                bytes.put(at++, (byte) (0x80 | point >> 6 & 0x3f));
                bytes.put(at++, (byte) (0x80 | point & 0x3f));
            } else {
                bytes.put(at++, (byte) (0xe0 | c >> 12));
                bytes.put(at++, (byte) (0x80 | c >> 6 & 0x3f));
                bytes.put(at++, (byte) (0x80 | c & 0x3f));
            }
        }
        return at;
    }

    /** Writes the eight characters from {@code i} on at once if all are ASCII, as they mostly are, and nothing otherwise. */
    private static boolean putEight(CharSequence text, int i, ByteBuffer bytes, int at) {
        char a = text.charAt(i);
        char b = text.charAt(i + 1);
        char c = text.charAt(i + 2);
        char d = text.charAt(i + 3);
        char e = text.charAt(i + 4);
        char f = text.charAt(i + 5);
        char g = text.charAt(i + 6);
        char h = text.charAt(i + 7);
        if ((a | b | c | d | e | f | g | h) >= 0x80) {
            return false;
        }
        long low = a | b << 8 | c << 16 | d << 24;
        long high = e | f << 8 | g << 16 | h << 24;
        bytes.putLong(at, low | high << 32);
        return true;
    }

    private static boolean isPair(char c, CharSequence text, int i, int count) {
        return Character.isHighSurrogate(c) && i + 1 < count && Character.isLowSurrogate(text.charAt(i + 1));
    }

    /**
     * The bytes of {@code text} as a new array.
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
