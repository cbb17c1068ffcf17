package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Each test loads the classes, and so the library, in its own class loader. */
final class NativeLibraryTest {
    private static final String RESOURCE = "io/omomi/native/" + Platform.name() + "/" + System.mapLibraryName("omomi");

    @TempDir
    Path folder;

    @Test
    void two_class_loaders_load_the_library_from_the_jar_and_leave_no_file_behind() throws Exception {
        Map<String, String> properties = Map.of(NativeLibrary.FOLDER_PROPERTY, folder.toString());
        try (Loader first = new Loader(); Loader second = new Loader()) {
            assertEquals("", first.load(properties));
            assertEquals("", second.load(properties));
            assertNotSame(first.model(), second.model());
            assertEquals(first.textValue("東京"), second.textValue("東京"));
            assertEquals("[]", Files.list(folder).toList().toString());
        }
    }

    @Test
    void two_class_loaders_load_the_file_that_the_property_names() throws Exception {
        Path library = extract();
        Map<String, String> properties = Map.of(NativeLibrary.PATH_PROPERTY, library.toString());
        try (Loader first = new Loader(); Loader second = new Loader()) {
            assertEquals("", first.load(properties));
            assertEquals("", second.load(properties));
            assertEquals(first.textValue("東京"), second.textValue("東京"));
        }
    }

    @Test
    void a_path_to_a_missing_file_is_refused_even_though_the_jar_has_the_library() throws Exception {
        String refusal = refusal(Map.of(NativeLibrary.PATH_PROPERTY, folder.resolve("no.so").toString()));
        assertContains(refusal, "library_not_loaded", "no.so", NativeLibrary.PATH_PROPERTY);
    }

    @Test
    void a_path_to_a_file_that_is_not_a_library_is_refused() throws Exception {
        Path text = Files.writeString(folder.resolve("libtext.so"), "not a library");
        String refusal = refusal(Map.of(NativeLibrary.PATH_PROPERTY, text.toString()));
        assertContains(refusal, "library_not_loaded", "libtext.so", Platform.name());
    }

    @Test
    void a_path_to_another_library_is_refused() throws Exception {
        String refusal = refusal(Map.of(NativeLibrary.PATH_PROPERTY, otherLibrary().toString()));
        assertContains(refusal, "library_not_loaded", "not omomi's");
    }

    @Test
    void an_unwritable_folder_is_named_with_platform_and_remedy() throws Exception {
        String refusal = refusal(Map.of(NativeLibrary.FOLDER_PROPERTY, folder.resolve("none").toString()));
        assertContains(
                refusal, "library_not_loaded", "none", Platform.name(), Platform.libc(), NativeLibrary.FOLDER_PROPERTY);
    }

    @Test
    void a_folder_that_is_mounted_noexec_is_named_with_the_remedy() throws Exception {
        String said = mounted("noexec");
        assertContains(
                said,
                "library_not_loaded",
                "cannot load the copy in " + mount() + ", because the folder is mounted noexec; name another folder",
                NativeLibrary.FOLDER_PROPERTY,
                NativeLibrary.PATH_PROPERTY);
    }

    @Test
    void a_read_only_folder_is_named_with_the_remedy() throws Exception {
        String said = mounted("ro");
        assertContains(
                said,
                "library_not_loaded",
                "the folder " + mount() + " is on a read-only file system; mount a writable one",
                NativeLibrary.FOLDER_PROPERTY,
                NativeLibrary.PATH_PROPERTY);
    }

    @Test
    void a_full_folder_is_named_with_the_remedy() throws Exception {
        String said = mounted("size=64k");
        assertContains(
                said,
                "library_not_loaded",
                "cannot copy the library to the folder " + mount() + "; make room there",
                "No space left on device");
    }

    @Test
    void a_library_for_a_newer_glibc_is_refused_with_the_way_to_get_another() throws Exception {
        String bytes = Files.readString(extract(), StandardCharsets.ISO_8859_1);
        assumeTrue(bytes.contains("GLIBC_2."), "the library needs no glibc");
        Path newer = folder.resolve("libnewer.so");
        Files.writeString(newer, bytes.replace("GLIBC_2.", "GLIBC_9."), StandardCharsets.ISO_8859_1);
        String refusal = refusal(Map.of(NativeLibrary.PATH_PROPERTY, newer.toString()));
        assertContains(refusal, "library_not_loaded", "because it needs a newer glibc than this machine has", "GLIBC_9.");
    }

    /** The remedy once was to name another temporary folder, which has no effect on a file that has a name. */
    @Test
    void a_file_on_a_noexec_mount_is_refused_with_its_own_remedy() throws Exception {
        Path library = extract();
        String said = mounting("noexec", "cp '" + library + "' \"$0\"")
                .option("-D" + NativeLibrary.PATH_PROPERTY + "=" + mount().resolve(library.getFileName()))
                .run("model", "any.omomi");
        assertContains(said, "because the folder is mounted noexec; put the file into another folder");
    }

    /** Loads the library from the jar where the temporary folder is a file system with these options. */
    private String mounted(String options) throws Exception {
        return mounting(options, "true")
                .option("-D" + NativeLibrary.FOLDER_PROPERTY + "=" + mount())
                .run("model", "any.omomi");
    }

    /** A JVM that sees a file system with these options at {@link #mount}, after a command of the shell. */
    private ChildJvm mounting(String options, String command) throws Exception {
        Files.createDirectories(mount());
        String script = "mount -t tmpfs -o " + options + " tmpfs \"$0\" && " + command + " && exec \"$@\"";
        List<String> launcher = List.of(
                "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, mount().toString());
        List<String> probe = new ArrayList<>(launcher);
        probe.add("true");
        assumeTrue(succeeds(probe), "this machine lets no process mount a file system of its own");
        return new ChildJvm().launcher(launcher);
    }

    private Path mount() {
        return folder.resolve("mount");
    }

    private static boolean succeeds(List<String> command) throws InterruptedException {
        try {
            return new ProcessBuilder(command).redirectErrorStream(true).start().waitFor() == 0;
        } catch (IOException noSuchCommand) {
            return false;
        }
    }

    @Test
    void a_platform_that_the_release_lacks_is_refused_with_the_reason_of_the_release() throws Exception {
        Path root = folder.resolve("jar");
        String list = "plan9-mips it is old\n" + Platform.name() + " no compiler was there\n";
        resource(root, Release.MISSING_RESOURCE, list);
        try (Loader loader = new Loader(false, root.toUri().toURL())) {
            assertContains(
                    loader.load(Map.of()),
                    "library_not_loaded",
                    "it is missing from this release, because no compiler was there; build it there",
                    NativeLibrary.PATH_PROPERTY);
        }
    }

    @Test
    void a_jar_without_any_library_names_the_one_to_take() throws Exception {
        try (Loader loader = new Loader(false)) {
            assertContains(
                    loader.load(Map.of()),
                    "library_not_loaded",
                    "this jar has no library; use the jar without a classifier",
                    "the classifier " + Platform.name());
        }
    }

    @Test
    void a_platform_that_no_release_has_is_refused_with_the_way_to_build_it() throws Exception {
        String said = new ChildJvm().option("-Dos.arch=mips").run("model", "any.omomi");
        assertContains(
                said,
                "is not loaded on linux-mips",
                "omomi is not released for this platform",
                "cargo build --profile dist -p omomi --lib",
                NativeLibrary.PATH_PROPERTY);
    }

    /** Which classes a server got once depended on the order of its jars, and no message said so. */
    @Test
    void two_versions_on_one_class_path_are_refused_with_both_places() throws Exception {
        Path root = folder.resolve("omomi-0.0.9.jar");
        resource(root, Release.VERSION_RESOURCE, "0.0.9\n");
        try (Loader loader = new Loader(root.toUri().toURL())) {
            String refusal = loader.load(Map.of());
            assertContains(
                    refusal,
                    "library_not_loaded",
                    "more than one version of omomi is on the class path",
                    "0.0.9 in file:" + root,
                    Release.version() + " in " + own().toString().replaceFirst("/$", ""),
                    "keep one of them");
        }
    }

    @Test
    void the_same_version_twice_and_another_version_in_a_parent_are_harmless() throws Exception {
        Path twice = folder.resolve("twice");
        resource(twice, Release.VERSION_RESOURCE, Release.version());
        try (Loader loader = new Loader(twice.toUri().toURL())) {
            assertEquals("", loader.load(Map.of()));
        }
        // A web application with its own release, in a server that has another one.
        Path server = folder.resolve("server");
        resource(server, Release.VERSION_RESOURCE, "0.0.9\n");
        try (URLClassLoader parent = new URLClassLoader(
                        new URL[] {server.toUri().toURL()}, ClassLoader.getPlatformClassLoader());
                Loader loader = new Loader(parent)) {
            assertEquals("", loader.load(Map.of()));
        }
    }

    private static void resource(Path root, String name, String text) throws IOException {
        Path file = root.resolve(name);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }

    private static URL own() {
        return Model.class.getProtectionDomain().getCodeSource().getLocation();
    }

    @Test
    void a_damaged_resource_is_refused_before_it_is_loaded() throws Exception {
        Path root = folder.resolve("jar");
        Path resource = root.resolve(RESOURCE);
        Files.createDirectories(resource.getParent());
        Files.writeString(resource, "not the library");
        Files.writeString(resource.resolveSibling(resource.getFileName() + ".sha256"), "00");
        try (Loader loader = new Loader(root.toUri().toURL())) {
            String refusal = loader.load(Map.of(NativeLibrary.FOLDER_PROPERTY, folder.toString()));
            assertContains(refusal, "library_not_loaded", "damaged", "expected SHA-256 00,");
            // The failure is remembered; it does not become a NoClassDefFoundError.
            assertContains(loader.load(Map.of()), "library_not_loaded", "damaged", "expected SHA-256 00,");
        }
        assertEquals("[jar]", Files.list(folder).map(path -> path.getFileName().toString()).toList().toString());
    }

    @Test
    void a_library_without_its_digest_is_refused() throws Exception {
        Path root = folder.resolve("jar");
        Path resource = root.resolve(RESOURCE);
        Files.createDirectories(resource.getParent());
        Files.writeString(resource, "not the library");
        try (Loader loader = new Loader(false, root.toUri().toURL())) {
            String refusal = loader.load(Map.of());
            assertContains(refusal, "library_not_loaded", "expected SHA-256 (none: the jar has no digest)");
        }
    }

    /**
     * A static schema once turned every later use of its class into a NoClassDefFoundError, without the reason.
     */
    @Test
    void a_schema_and_a_layout_in_static_fields_need_no_library_and_their_users_say_why() throws Exception {
        String missing = folder.resolve("none.so").toString();
        ChildJvm jvm = new ChildJvm().option("-D" + NativeLibrary.PATH_PROPERTY + "=" + missing).main(Static.class);
        String said = jvm.run();
        assertEquals(2, said.split("served by a 1-candidate layout", -1).length - 1, said);
        assertEquals(6, said.split("library_not_loaded: ", -1).length - 1, said);
        assertEquals(6, said.split("none\\.so", -1).length - 1, said);
        assertTrue(!said.contains("Error"), said);
    }

    /** What a server's class has in static fields, and calls that use it. */
    static final class Static {
        static final class Feed {
            static final Schema SCHEMA = Schema.builder().id("creative_id", Side.CANDIDATE).build();
            static final Field CREATIVE_ID = SCHEMA.field("creative_id");
            static final RequestLayout LAYOUT = RequestLayout.of(SCHEMA, 1, 0);
        }

        public static void main(String[] words) {
            for (int i = 0; i < 2; i++) {
                System.out.println("served by a " + Feed.LAYOUT.candidates() + "-candidate layout");
                attempt(() -> Feed.LAYOUT.lenBytes());
                attempt(() -> LiveModel.open(Path.of("store"), Feed.SCHEMA));
                attempt(() -> CandidateSet.open(Feed.SCHEMA, 1, 0));
            }
        }

        private static void attempt(Runnable call) {
            try {
                call.run();
            } catch (OmomiException refused) {
                System.out.println(refused.code().codeName() + ": " + refused.getMessage());
            }
        }
    }

    @Test
    void denied_native_access_is_refused_with_the_option_that_grants_it() throws Exception {
        assumeTrue(Runtime.version().feature() >= 24, "this JDK does not deny native access");
        String said = new ChildJvm().option("--illegal-native-access=deny").run("model", "any.omomi");
        assertContains(said, "OmomiException library_not_loaded: ", "--enable-native-access=ALL-UNNAMED");
    }

    /** The message was once that the library is not omomi's. */
    @Test
    void relocated_classes_are_refused_with_both_packages_and_the_remedy() throws Exception {
        try (Relocated classes = new Relocated()) {
            Class<?> feature = classes.loadClass("my.omomi.Feature");
            InvocationTargetException thrown = assertThrows(
                    InvocationTargetException.class,
                    () -> feature.getMethod("textValue", CharSequence.class).invoke(null, "x"));
            assertEquals("my.omomi.OmomiException", thrown.getCause().getClass().getName());
            String refusal = thrown.getCause().toString();
            assertContains(refusal, "library_not_loaded", "package io.omomi", "my.omomi", "exclude io.omomi");
        }
    }

    /** Rewrites the package in every constant of the classes, like a shading tool does. */
    private static final class Relocated extends URLClassLoader {
        Relocated() {
            super(new URL[0], ClassLoader.getPlatformClassLoader());
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            String original = "/" + name.replace('.', '/').replaceFirst("^my/", "io/") + ".class";
            try (var stream = NativeLibraryTest.class.getResourceAsStream(original)) {
                if (stream == null) {
                    throw new ClassNotFoundException(name);
                }
                // One byte per char, and the new name has the old length.
                String bytes = new String(stream.readAllBytes(), StandardCharsets.ISO_8859_1);
                byte[] relocated = bytes.replace("io/omomi", "my/omomi")
                        .replace("io.omomi", "my.omomi")
                        .getBytes(StandardCharsets.ISO_8859_1);
                return defineClass(name, relocated, 0, relocated.length);
            } catch (IOException unreadable) {
                throw new ClassNotFoundException(name, unreadable);
            }
        }
    }

    private static void assertContains(String text, String... words) {
        for (String word : words) {
            assertTrue(text.contains(word), () -> "expected `" + word + "` in: " + text);
        }
    }

    private static String refusal(Map<String, String> properties) throws Exception {
        try (Loader loader = new Loader()) {
            return loader.load(properties);
        }
    }

    private Path extract() throws IOException {
        Path library = folder.resolve(System.mapLibraryName("omomi"));
        try (var bytes = NativeLibraryTest.class.getResourceAsStream("/" + RESOURCE)) {
            if (bytes == null) {
                return Fixture.path(NativeLibrary.PATH_PROPERTY);
            }
            Files.copy(bytes, library);
        }
        return library;
    }

    /** Returns a library that every JVM has loaded and that is not ours, under a new name. */
    private Path otherLibrary() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/maps"), StandardCharsets.ISO_8859_1)) {
            if (line.contains("/libm.so") || line.contains("/libm-")) {
                return Files.copy(Path.of(line.substring(line.indexOf('/'))), folder.resolve("libother.so"));
            }
        }
        throw new IllegalStateException("the JVM has not loaded libm");
    }

    /** Loads the library's classes again. Paths in front come first, like another jar on a class path. */
    private static final class Loader extends URLClassLoader {
        Loader(URL... front) throws IOException {
            this(true, front);
        }

        Loader(boolean withLibrary, URL... front) throws IOException {
            super(urls(withLibrary, front), ClassLoader.getPlatformClassLoader());
        }

        Loader(ClassLoader parent) throws IOException {
            super(urls(true, new URL[0]), parent);
        }

        private static URL[] urls(boolean withLibrary, URL[] front) throws IOException {
            List<URL> urls = new ArrayList<>(List.of(front));
            urls.add(own());
            if (!withLibrary) {
                Path classes = Files.createTempDirectory("omomi-classes-");
                classes.toFile().deleteOnExit();
                copyClasses(Path.of(own().getPath()), classes);
                urls.set(urls.size() - 1, classes.toUri().toURL());
            }
            return urls.toArray(new URL[0]);
        }

        private static void copyClasses(Path from, Path to) throws IOException {
            Path target = to.resolve("io/omomi");
            Files.createDirectories(target);
            try (var classes = Files.newDirectoryStream(from.resolve("io/omomi"), "*.class")) {
                for (Path one : classes) {
                    Path copy = Files.copy(one, target.resolve(one.getFileName()));
                    copy.toFile().deleteOnExit();
                }
            }
        }

        Class<?> model() throws ClassNotFoundException {
            return loadClass("io.omomi.Model");
        }

        long textValue(String text) throws Exception {
            return (Long) loadClass("io.omomi.Feature").getMethod("textValue", CharSequence.class).invoke(null, text);
        }

        /** Loads the library with these properties. Returns the refusal, or nothing. */
        String load(Map<String, String> properties) throws Exception {
            Map<String, String> before = new TreeMap<>();
            for (String name : List.of(NativeLibrary.PATH_PROPERTY, NativeLibrary.FOLDER_PROPERTY)) {
                String value = System.getProperty(name);
                if (value != null) {
                    before.put(name, value);
                    System.clearProperty(name);
                }
            }
            properties.forEach(System::setProperty);
            try {
                textValue("x");
                return "";
            } catch (InvocationTargetException thrown) {
                return thrown.getCause().toString();
            } finally {
                properties.keySet().forEach(System::clearProperty);
                before.forEach(System::setProperty);
            }
        }
    }
}
