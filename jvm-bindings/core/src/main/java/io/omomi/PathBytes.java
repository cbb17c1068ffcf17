package io.omomi;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Translates a path into the bytes by which the operating system knows it. The text of a path is not enough: where the
 * locale cannot spell a name (JDK 17 with {@code LC_ALL=C}), it has other characters in place of the real ones.
 */
final class PathBytes {
    private static final int RADIX = 16;
    /** Takes the place of what the locale cannot decode. */
    private static final char REPLACEMENT = '\uFFFD';

    private PathBytes() {}

    /**
     * Returns the bytes of {@code path}, which is made absolute as the JVM does it: from the property {@code user.dir}.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} for a path of another file system, and for a relative
     *     path if the locale cannot spell the folder that it begins in
     */
    static byte[] of(Path path, String argument) {
        String kind = path.getFileSystem().provider().getScheme();
        if (path.getFileSystem() != FileSystems.getDefault() || !"file".equalsIgnoreCase(kind)) {
            throw OmomiException.invalidArgument(
                    argument,
                    "expected a path of the default file system, found " + path + " in another one of the kind `" + kind
                            + "`; copy it to a disk first");
        }
        if (File.separatorChar != '/') {
            return Utf8.strict(path.toAbsolutePath().toString(), argument);
        }
        if (!path.isAbsolute() && System.getProperty("user.dir").indexOf(REPLACEMENT) >= 0) {
            throw OmomiException.invalidArgument(
                    argument,
                    "expected an absolute path, found " + path + " in a folder that the locale of this JVM cannot"
                            + " spell; start it with LC_ALL=C.UTF-8, or pass an absolute path");
        }
        // On Unix, a URI has the path's own bytes, each as itself or as % and two digits.
        byte[] bytes = decoded(path.toUri().getRawPath());
        int len = bytes.length;
        while (len > 1 && bytes[len - 1] == '/') {
            // A URI of a folder ends with a slash.
            len--;
        }
        return Arrays.copyOf(bytes, len);
    }

    private static byte[] decoded(String text) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(text.length());
        for (int i = 0; i < text.length(); i++) {
            if (text.charAt(i) == '%') {
                bytes.write(Integer.parseInt(text.substring(i + 1, i + 3), RADIX));
                i += 2;
            } else {
                bytes.write(text.charAt(i));
            }
        }
        return bytes.toByteArray();
    }
}
