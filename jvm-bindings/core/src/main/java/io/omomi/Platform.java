package io.omomi;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/** The platform that the native library must fit: operating system, processor and C library. */
final class Platform {
    /** What a release has libraries for, unless its list of missing ones names it. The thin jars have these names. */
    static final List<String> RELEASED = Collections.unmodifiableList(Arrays.asList(
            "linux-x86_64", "linux-aarch64", "linux-x86_64-musl", "linux-aarch64-musl", "macos-aarch64"));

    private static final String MUSL_SUFFIX = "-musl";

    private Platform() {}

    /** Returns the name of the platform's folder in the jar, for example {@code linux-x86_64}. */
    static String name() {
        return names().get(0);
    }

    /** Returns {@link #name}, and behind it the name for musl if the C library is unknown: one of the two loads. */
    static List<String> names() {
        return names(os(), arch(), libc());
    }

    static List<String> names(String os, String arch, String libc) {
        String name = os + "-" + arch;
        if (!os.equals("linux") || libc.equals("glibc")) {
            return Collections.singletonList(name);
        }
        return libc.equals("musl")
                ? Collections.singletonList(name + MUSL_SUFFIX)
                : Arrays.asList(name, name + MUSL_SUFFIX);
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
        try {
            // ISO 8859-1 decodes any path of a mapping.
            return libcIn(new String(Files.readAllBytes(Paths.get("/proc/self/maps")), StandardCharsets.ISO_8859_1));
        } catch (IOException | RuntimeException unreadable) {
            return "unknown";
        }
    }

    /**
     * Returns the C library that is mapped. Only the files of a C library count, not a folder of that name, and not
     * what is installed: a machine may have both.
     */
    static String libcIn(String maps) {
        for (String line : maps.split("\n")) {
            String file = line.substring(line.lastIndexOf('/') + 1);
            // The C library of musl is its loader. Some systems call the file libc.so; that of glibc is never mapped.
            if (file.startsWith("ld-musl-") || file.startsWith("libc.musl-") || file.equals("libc.so")) {
                return "musl";
            }
            if (file.equals("libc.so.6") || file.startsWith("libc-2.")) {
                return "glibc";
            }
        }
        return "unknown";
    }
}
