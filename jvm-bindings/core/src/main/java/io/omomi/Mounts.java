package io.omomi;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Tells how the file system of a folder is mounted, for the remedy of a failure. */
final class Mounts {
    private Mounts() {}

    /** Returns options such as {@code ro} and {@code noexec}. Nothing if they cannot be found out. */
    static List<String> optionsOf(Path folder) {
        try {
            byte[] mounts = Files.readAllBytes(Paths.get("/proc/self/mounts"));
            return optionsIn(new String(mounts, StandardCharsets.UTF_8), folder.toRealPath());
        } catch (IOException | RuntimeException unreadable) {
            return Collections.emptyList();
        }
    }

    /** Returns the options of the mount that {@code folder}, an absolute path without links, is on. */
    static List<String> optionsIn(String mounts, Path folder) {
        Path longest = null;
        String options = "";
        for (String line : mounts.split("\n")) {
            String[] words = line.split(" ");
            if (words.length < 4) {
                continue;
            }
            Path mount = Paths.get(unescaped(words[1]));
            // Of two mounts at one place, the later one covers the earlier one.
            if (folder.startsWith(mount) && (longest == null || mount.startsWith(longest))) {
                longest = mount;
                options = words[3];
            }
        }
        return Arrays.asList(options.split(","));
    }

    /** The kernel writes a space, a tab, a newline and a backslash as three octal digits. */
    private static String unescaped(String path) {
        return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    }
}
