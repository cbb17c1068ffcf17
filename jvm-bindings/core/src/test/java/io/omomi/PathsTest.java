package io.omomi;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.common.jimfs.Configuration;
import com.google.common.jimfs.Jimfs;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Paths reach the native library as the JVM itself uses them, or are refused. */
final class PathsTest {
    @TempDir
    Path folder;

    /** The library once opened the file on disk that has the same name as the one in the archive. */
    @Test
    void paths_inside_of_an_archive_are_refused_by_every_call_that_takes_a_path() throws Exception {
        Path onDisk = Files.copy(Fixture.weightFile(), folder.resolve("model.omomi"));
        URI archive = URI.create("jar:" + folder.resolve("files.zip").toUri());
        try (FileSystem zip = FileSystems.newFileSystem(archive, Map.of("create", "true"))) {
            assertRefusedEverywhere(zip.getPath(onDisk.toString()), onDisk, "`jar`");
            assertRefusedEverywhere(zip.getPath("model.omomi"), onDisk, "`jar`");
        }
    }

    @Test
    void paths_of_a_file_system_in_memory_are_refused_by_every_call_that_takes_a_path() throws Exception {
        Path onDisk = Files.copy(Fixture.weightFile(), folder.resolve("model.omomi"));
        for (Configuration kind : List.of(Configuration.unix(), Configuration.osX(), Configuration.windows())) {
            try (FileSystem memory = Jimfs.newFileSystem(kind)) {
                Path inside = Files.copy(Fixture.weightFile(), memory.getPath("model.omomi"));
                assertRefusedEverywhere(inside, onDisk, "`jimfs`");
                assertRefusedEverywhere(inside.toAbsolutePath(), onDisk, "`jimfs`");
            }
        }
        try (FileSystem memory = Jimfs.newFileSystem(Configuration.unix())) {
            // The file on disk has this name; the one in memory does not exist.
            assertRefusedEverywhere(memory.getPath(onDisk.toString()), onDisk, "`jimfs`");
        }
    }

    private static void assertRefusedEverywhere(Path inside, Path onDisk, String kind) {
        assertRefused(() -> Model.open(inside), "path: ", "model.omomi", kind, "copy it to a disk");
        for (LoadMode mode : LoadMode.values()) {
            assertRefused(() -> Model.open(inside, mode), "path: ", kind);
        }
        assertRefused(() -> LiveModel.open(inside, Fixture.SCHEMA), "dir: ", kind);
        assertRefused(() -> LiveOptions.builder().trustedKeys(onDisk, inside).build(), "trustedKeys: ", kind);
    }

    private static void assertRefused(Runnable call, String... words) {
        OmomiException refused = assertThrows(OmomiException.class, call::run);
        assertEquals(Code.INVALID_ARGUMENT, refused.code());
        for (String word : words) {
            assertTrue(refused.getMessage().contains(word), () -> word + " in: " + refused.getMessage());
        }
    }

    @Test
    void the_bytes_of_a_path_are_those_of_the_operating_system() {
        for (String text : List.of("/", "/a b/%41/model.omomi", "/#?;&+\\\"[]{}|^`~", folder.toString())) {
            assertArrayEquals(
                    text.getBytes(StandardCharsets.UTF_8), PathBytes.of(Path.of(text), "path"), () -> "path " + text);
        }
        String absolute = Path.of("").toAbsolutePath().toString();
        assertEquals(absolute, new String(PathBytes.of(Path.of(""), "path"), StandardCharsets.UTF_8));
    }

    @Test
    void files_and_stores_with_japanese_names_open_in_every_locale() throws Exception {
        Path models = Files.createDirectory(folder.resolve("models"));
        Path stores = Files.createDirectory(folder.resolve("stores"));
        // By a child, because the locale of this JVM may not be able to spell the names.
        ChildJvm utf8 = new ChildJvm().environment("LC_ALL", "C.UTF-8");
        assertEquals("", utf8.run("create-in", models.toString(), stores.toString()));
        for (String locale : List.of("C", "POSIX", "C.UTF-8")) {
            ChildJvm jvm = new ChildJvm().environment("LC_ALL", locale);
            assertEquals("generation 42\n", jvm.run("models-in", models.toString()), locale);
            assertEquals("generation 3\n", jvm.run("stores-in", stores.toString()), locale);
        }
    }

    /** A JVM in the locale C, whose paths come from one that can spell them. */
    @Test
    void paths_that_the_locale_cannot_spell_are_refused_with_the_remedy() throws Exception {
        ChildJvm utf8 = new ChildJvm().environment("LC_ALL", "C.UTF-8");
        String said = utf8.run("unspelled", folder.toString());
        String[] refusals = said.split("OmomiException ");
        assertEquals(4, refusals.length, said);
        for (int i = 1; i < refusals.length; i++) {
            String code = i < 3 ? "library_not_loaded: " : "invalid_argument: path: expected an absolute path";
            assertTrue(refusals[i].startsWith(code) && refusals[i].contains("LC_ALL=C.UTF-8"), said);
        }
    }

    @Test
    void a_relative_path_begins_at_user_dir() throws Exception {
        Files.copy(Fixture.weightFile(), folder.resolve("relative.omomi"));
        new Store(folder.resolve("store")).publish(4);
        ChildJvm jvm = new ChildJvm().option("-Duser.dir=" + folder);
        assertEquals("generation 42\n", jvm.run("model", "relative.omomi"));
        assertEquals("generation 4\n", jvm.run("store", "store"));
        Files.createDirectory(folder.resolve("below"));
        ChildJvm below = new ChildJvm().option("-Duser.dir=" + folder.resolve("below"));
        for (String up : List.of("../", "./../", "../below/../")) {
            assertEquals("generation 42\n", below.run("model", up + "relative.omomi"), up);
            assertEquals("generation 4\n", below.run("store", up + "store"), up);
        }
        // An empty path is the folder itself.
        ChildJvm inStore = new ChildJvm().option("-Duser.dir=" + folder.resolve("store"));
        assertEquals("generation 4\n", inStore.run("store", ""));
        // The same relative path somewhere else is not found.
        assertTrue(new ChildJvm().run("model", "relative.omomi").startsWith("OmomiException file: "));
    }

    /** What a child JVM does: opens paths, which it may have to list because its locale cannot spell them. */
    static final class Program {
        public static void main(String[] words) throws Exception {
            Path path = Path.of(words[1]);
            try {
                switch (words[0]) {
                    case "model" -> model(path);
                    case "store" -> store(path);
                    case "create-in" -> {
                        Files.copy(Fixture.weightFile(), path.resolve("モデル.omomi"));
                        new Store(Path.of(words[2]).resolve("店")).publish(3);
                    }
                    case "unspelled" -> {
                        Path inside = Files.createDirectory(path.resolve("仮"));
                        String property = "-D" + NativeLibrary.FOLDER_PROPERTY + "=" + inside;
                        System.out.println(inLocaleC().option(property).run("model", "any.omomi"));
                        property = "-D" + NativeLibrary.PATH_PROPERTY + "=" + inside.resolve("libomomi.so");
                        System.out.println(inLocaleC().option(property).run("model", "any.omomi"));
                        System.out.println(inLocaleC().directory(inside).run("model", "any.omomi"));
                    }
                    case "models-in" -> model(onlyFileIn(path));
                    case "stores-in" -> store(onlyFileIn(path));
                    default -> throw new IllegalArgumentException(words[0]);
                }
            } catch (OmomiException refused) {
                System.out.println("OmomiException " + refused.code().codeName() + ": " + refused.getMessage());
            }
        }

        private static ChildJvm inLocaleC() {
            return new ChildJvm().environment("LC_ALL", "C");
        }

        private static Path onlyFileIn(Path folder) throws Exception {
            try (var files = Files.newDirectoryStream(folder)) {
                return files.iterator().next();
            }
        }

        private static void model(Path path) {
            try (Model model = Model.open(path)) {
                System.out.println("generation " + model.generation());
            }
        }

        private static void store(Path path) {
            Schema schema = Schema.builder()
                    .id("media_id", Side.CONTEXT)
                    .text("region", Side.CONTEXT)
                    .texts("interest", Side.CONTEXT)
                    .ids("segment_id", Side.CONTEXT)
                    .number("floor_price", Side.CONTEXT, "JPY per 1,000 impressions", 0, 1000)
                    .id("creative_id", Side.CANDIDATE)
                    .text("category", Side.CANDIDATE)
                    .texts("label", Side.CANDIDATE)
                    .ids("campaign_id", Side.CANDIDATE)
                    .number("creative_age", Side.CANDIDATE, "hours", 0, 2400)
                    .build();
            try (LiveModel live = LiveModel.open(path, schema)) {
                LiveStatus status = live.status();
                var generation = status.served().map(served -> "generation " + served.generation());
                System.out.println(generation.orElse(status.json()));
            }
        }
    }
}
