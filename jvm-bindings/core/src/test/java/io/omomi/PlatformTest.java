package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

final class PlatformTest {
    private static String maps(String... files) {
        StringBuilder maps = new StringBuilder("7ffc1000-7ffc2000 rw-p 00000000 00:00 0          [stack]\n");
        for (String file : files) {
            maps.append("7f001000-7f002000 r-xp 00000000 fe:00 1234                       ").append(file).append('\n');
        }
        return maps.toString();
    }

    @Test
    void the_mapped_c_library_decides_under_any_of_its_names() {
        assertEquals("glibc", Platform.libcIn(maps("/usr/lib/jvm/bin/java", "/usr/lib/x86_64-linux-gnu/libc.so.6")));
        assertEquals("glibc", Platform.libcIn(maps("/lib64/libc-2.17.so")));
        assertEquals("glibc", Platform.libcIn(maps("/nix/store/0k3-glibc-2.38/lib/libc.so.6")));
        assertEquals("musl", Platform.libcIn(maps("/usr/bin/java", "/lib/ld-musl-x86_64.so.1")));
        // Where the loader is a link to the C library.
        assertEquals("musl", Platform.libcIn(maps("/usr/lib/aarch64-linux-musl/libc.so")));
    }

    @Test
    void other_files_and_folders_with_such_names_do_not_count() {
        String glibc = "/lib/x86_64-linux-gnu/libc.so.6";
        assertEquals("glibc", Platform.libcIn(maps("/opt/ld-musl-tools/app.jar", "/srv/libc.so.d/a.jar", glibc)));
        assertEquals("unknown", Platform.libcIn(maps("/opt/libc.so.6/app.jar")));
        assertEquals("unknown", Platform.libcIn(""));
    }

    @Test
    void an_unknown_c_library_leaves_two_libraries_to_try_on_linux_alone() {
        assertEquals(List.of("linux-x86_64"), Platform.names("linux", "x86_64", "glibc"));
        assertEquals(List.of("linux-aarch64-musl"), Platform.names("linux", "aarch64", "musl"));
        assertEquals(List.of("linux-x86_64", "linux-x86_64-musl"), Platform.names("linux", "x86_64", "unknown"));
        assertEquals(List.of("macos-aarch64"), Platform.names("macos", "aarch64", "unknown"));
    }

    @Test
    void the_options_are_those_of_the_nearest_mount() {
        String mounts = """
                /dev/vda / ext4 rw,relatime 0 0
                tmpfs /tmp tmpfs rw,noexec 0 0
                tmpfs /tmp/with\\040space tmpfs ro 0 0
                /dev/vdb /srv ext4 rw 0 0
                tmpfs /srv tmpfs rw,nosuid 0 0
                a broken line
                """;
        assertEquals(List.of("rw", "relatime"), Mounts.optionsIn(mounts, Path.of("/tmpfile")));
        assertEquals(List.of("rw", "noexec"), Mounts.optionsIn(mounts, Path.of("/tmp/a/b")));
        assertEquals(List.of("ro"), Mounts.optionsIn(mounts, Path.of("/tmp/with space")));
        assertEquals(List.of("rw", "nosuid"), Mounts.optionsIn(mounts, Path.of("/srv/ads")));
        assertEquals(List.of(""), Mounts.optionsIn("", Path.of("/")));
    }

    @Test
    void the_options_of_this_machine_are_found() {
        if (Files.exists(Path.of("/proc/self/mounts"))) {
            List<String> options = Mounts.optionsOf(Path.of("/proc"));
            assertTrue(options.contains("rw") || options.contains("ro"), options.toString());
        }
    }
}
