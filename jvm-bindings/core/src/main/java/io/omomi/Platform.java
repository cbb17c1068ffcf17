package io.omomi;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Locale;

/** The platform that the native library must fit: operating system, processor and C library. */
final class Platform {
    private Platform() {}

    /** Returns the name of the platform's folder in the jar, for example {@code linux-x86_64}. */
    static String name() {
        return os() + "-" + arch();
    }

    private static String os() {
        String os = System.getProperty("os.name", "unknown").toLowerCase(Locale.ROOT);
        if (os.startsWith("mac")) {
            return "macos";
        }
        return os.startsWith("windows") ? "windows" : os.replace(' ', '_');
    }

    private static String arch() {
        String arch = System.getProperty("os.arch", "unknown").toLowerCase(Locale.ROOT);
        if (arch.equals("amd64") || arch.equals("x64")) {
            return "x86_64";
        }
        return arch.equals("arm64") ? "aarch64" : arch;
    }

    /** Returns {@code glibc}, {@code musl}, or {@code unknown} if the mappings of the process do not show it. */
    static String libc() {
        Path maps = Paths.get("/proc/self/maps");
        try {
            // ISO 8859-1 decodes any path of a mapping.
            String mapped = new String(Files.readAllBytes(maps), StandardCharsets.ISO_8859_1);
            if (mapped.contains("/ld-musl-")) {
                return "musl";
            }
            return mapped.contains("/libc.so.6") || mapped.contains("/libc-2.") ? "glibc" : "unknown";
        } catch (IOException | RuntimeException unreadable) {
            return "unknown";
        }
    }
}
