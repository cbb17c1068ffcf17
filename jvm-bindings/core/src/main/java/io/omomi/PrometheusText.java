package io.omomi;

import java.nio.Buffer;
import java.nio.ByteBuffer;

/** Writes Prometheus text into the buffer of a caller. */
final class PrometheusText {
    private PrometheusText() {}

    /** A native method that writes between two positions, and returns the length of the whole text. */
    interface Source {
        long write(long address, ByteBuffer buffer, int position, int limit);
    }

    /** Writes the text of a handle at the position of a direct buffer, and moves the position. */
    static void write(SharedHandle handle, ByteBuffer buffer, Source source) {
        if (buffer == null) {
            throw OmomiException.nullArgument("buffer");
        }
        if (!buffer.isDirect() || buffer.isReadOnly()) {
            throw OmomiException.invalidArgument(
                    "buffer", "expected a direct buffer that is not read-only, found another one");
        }
        long address = handle.begin();
        try {
            long len = source.write(address, buffer, buffer.position(), buffer.limit());
            if (len > buffer.remaining()) {
                throw new OmomiException(
                        Code.WRONG_SIZE,
                        "the buffer has the wrong size: expected room for " + len + " bytes, found "
                                + buffer.remaining());
            }
            // Cast to Buffer, because older JDKs have the method only there.
            ((Buffer) buffer).position(buffer.position() + (int) len);
        } finally {
            handle.end();
        }
    }
}
