package io.omomi;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Loads the native library, once for each class loader. If the property {@value #PATH_PROPERTY} is set, loads the file
 * that it names, and nothing else. Otherwise copies the library from the jar to a temporary file of its own, which is
 * deleted once it is loaded.
 */
final class NativeLibrary {
    static final String PATH_PROPERTY = "io.omomi.library.path";
    static final String FOLDER_PROPERTY = "io.omomi.tmpdir";
    private static final String RESOURCE_ROOT = "/io/omomi/native/";

    private static volatile boolean loaded;
    private static @Nullable OmomiException failure;

    private NativeLibrary() {}

    /**
     * Loads the library if that has not happened yet. A failure is remembered: later calls throw the same error.
     *
     * @throws OmomiException with {@link Code#LIBRARY_NOT_LOADED} or {@link Code#ABI_MISMATCH}
     */
    static void load() {
        if (!loaded) {
            loadOnce();
        }
    }

    /**
     * Loads the library, and returns whether that succeeded. For what belongs into static fields: an exception there
     * would become an {@link ExceptionInInitializerError}, and every later use of the class a {@link
     * NoClassDefFoundError} without the reason.
     */
    static boolean isLoaded() {
        try {
            load();
            return true;
        } catch (OmomiException remembered) {
            return false;
        }
    }

    private static synchronized void loadOnce() {
        if (loaded) {
            return;
        }
        if (failure != null) {
            throw new OmomiException(failure.code(), failure.getMessage(), failure);
        }
        try {
            checkPackage();
            checkOneRelease();
            String path = System.getProperty(PATH_PROPERTY);
            if (path != null) {
                loadFile(path);
            } else {
                loadResource();
            }
            checkAbi();
            loaded = true;
        } catch (OmomiException refused) {
            failure = refused;
            throw refused;
        } catch (RuntimeException | LinkageError cause) {
            failure = notLoaded(problemOf(cause), cause);
            throw failure;
        }
    }

    /** The native library exports its functions under the name of this package. */
    private static void checkPackage() {
        // A tool that relocates packages also rewrites names in string constants, so this one is not written as a name.
        String expected = "io omomi".replace(' ', '.');
        String name = NativeLibrary.class.getName();
        String found = name.substring(0, name.lastIndexOf('.'));
        if (!found.equals(expected)) {
            throw notLoaded(
                    "expected its classes in the package " + expected + ", found them relocated to " + found
                            + "; exclude " + expected + " from the relocation of the shading plugin",
                    null);
        }
    }

    private static void checkOneRelease() {
        String mixture;
        try {
            mixture = Release.mixture();
        } catch (IOException cause) {
            throw notLoaded("cannot read the versions of the jars on the class path", cause);
        }
        if (mixture != null) {
            throw notLoaded(
                    "more than one version of omomi is on the class path: " + mixture
                            + "; keep one of them (`mvn dependency:tree` and sbt's `dependencyTree` show who asks for"
                            + " the other)",
                    null);
        }
    }

    /** Describes what no step of loading expects, and what to do about it. */
    private static String problemOf(Throwable cause) {
        // Compared by name, because Java 8 does not have the class.
        if (cause.getClass().getName().equals("java.lang.IllegalCallerException")) {
            return "this JVM denies native access; start it with --enable-native-access=" + moduleName();
        }
        if (cause instanceof InvalidPathException) {
            return "the locale of this JVM cannot spell a path; start it with LC_ALL=C.UTF-8, or correct the properties"
                    + " " + PATH_PROPERTY + ", " + FOLDER_PROPERTY + " and java.io.tmpdir";
        }
        return "loading failed in an unexpected way";
    }

    /** Returns the name of this module, or that of all classes on the class path. By reflection, for Java 8. */
    private static String moduleName() {
        try {
            Object module = Class.class.getMethod("getModule").invoke(NativeLibrary.class);
            Object name = module.getClass().getMethod("getName").invoke(module);
            return name == null ? "ALL-UNNAMED" : name.toString();
        } catch (ReflectiveOperationException noModules) {
            return "ALL-UNNAMED";
        }
    }

    private static void loadFile(String path) {
        Path file = Paths.get(path).toAbsolutePath();
        if (!Files.isRegularFile(file)) {
            throw notLoaded("there is no file " + file + ", which the property " + PATH_PROPERTY + " names", null);
        }
        try {
            System.load(file.toString());
        } catch (UnsatisfiedLinkError cause) {
            if (String.valueOf(cause.getMessage()).contains("already loaded in another classloader")) {
                // The JVM ties a file to one class loader, so a second class loader loads a copy of the file.
                try (InputStream bytes = Files.newInputStream(file)) {
                    loadCopy(bytes, file.getFileName().toString(), sha256(file));
                    return;
                } catch (IOException unreadable) {
                    throw notLoaded("cannot read " + file, unreadable);
                }
            }
            throw notLoaded(
                    "cannot load " + file + ", which the property " + PATH_PROPERTY + " names"
                            + remedyOf(cause, file.getParent(), "put the file into another folder"),
                    cause);
        }
    }

    /** Loads the library of this platform from the jar. If the C library is unknown, tries one after the other. */
    private static void loadResource() {
        String fileName = System.mapLibraryName("omomi");
        OmomiException refused = null;
        for (String platform : Platform.names()) {
            String resource = resource(platform, fileName);
            try (InputStream bytes = NativeLibrary.class.getResourceAsStream(resource)) {
                if (bytes == null) {
                    continue;
                }
                String expected = Release.read(resource + ".sha256");
                loadCopy(bytes, fileName, expected == null ? "(none: the jar has no digest)" : expected);
                return;
            } catch (OmomiException cause) {
                refused = refused == null ? cause : refused;
            } catch (IOException cause) {
                throw notLoaded("cannot read " + resource + " from the jar", cause);
            }
        }
        if (refused != null) {
            throw refused;
        }
        try {
            throw notLoaded(whyNotInJar(Platform.name()), null);
        } catch (IOException cause) {
            throw notLoaded("cannot read the jar", cause);
        }
    }

    private static String resource(String platform, String fileName) {
        return RESOURCE_ROOT + platform + "/" + fileName;
    }

    /** Says whether the release, or only this jar, has no library for the platform, and what to do. */
    private static String whyNotInJar(String platform) throws IOException {
        String build = "build it there (`cargo build --profile dist -p omomi --lib`) and name the file by the property "
                + PATH_PROPERTY;
        String reason = Release.whyMissing(platform);
        if (reason != null) {
            return "it is missing from this release, because " + reason + "; " + build;
        }
        String inJar = String.join(", ", platformsInJar());
        String holds = inJar.isEmpty() ? "this jar has no library" : "this jar has the library for " + inJar + " only";
        if (Platform.RELEASED.contains(platform)) {
            return holds + "; use the jar without a classifier, which has all of them, or the one with the classifier "
                    + platform + ", or name a library by the property " + PATH_PROPERTY;
        }
        return "omomi is not released for this platform (" + holds + "); " + build;
    }

    private static List<String> platformsInJar() {
        List<String> found = new ArrayList<>();
        for (String platform : Platform.RELEASED) {
            String fileName = platform.startsWith("macos") ? "libomomi.dylib" : "libomomi.so";
            if (NativeLibrary.class.getResource(resource(platform, fileName)) != null) {
                found.add(platform);
            }
        }
        return found;
    }

    /** Loads a private copy of {@code bytes}, whose SHA-256 must be {@code expected}. */
    private static void loadCopy(InputStream bytes, String fileName, String expected) {
        String folderName = System.getProperty(FOLDER_PROPERTY, System.getProperty("java.io.tmpdir"));
        Path folder = Paths.get(folderName);
        Path copy;
        try {
            copy = Files.createTempFile(folder, "omomi-", "-" + fileName);
        } catch (IOException cause) {
            throw notLoaded(whyNotWritable(folder), cause);
        }
        try {
            try (OutputStream out = Files.newOutputStream(copy)) {
                transfer(bytes, out);
            }
            String found = sha256(copy);
            if (!found.equals(expected)) {
                throw notLoaded(
                        "the copy in " + folderName + " is damaged: expected SHA-256 " + expected + ", found " + found
                                + "; check the jar",
                        null);
            }
            System.load(copy.toAbsolutePath().toString());
        } catch (UnsatisfiedLinkError cause) {
            String elsewhere = "name another folder by the property " + FOLDER_PROPERTY + ", or an installed library by"
                    + " the property " + PATH_PROPERTY;
            throw notLoaded("cannot load the copy in " + folderName + remedyOf(cause, folder, elsewhere), cause);
        } catch (IOException cause) {
            throw notLoaded(
                    "cannot copy the library to the folder " + folderName + "; make room there, or name another folder"
                            + " by the property " + FOLDER_PROPERTY,
                    cause);
        } finally {
            try {
                // The mapping stays valid without the name, and no file is left however the process ends.
                Files.deleteIfExists(copy);
            } catch (IOException stillThere) {
                copy.toFile().deleteOnExit();
            }
        }
    }

    private static String whyNotWritable(Path folder) {
        String another = "name a folder that this user can write to by the property " + FOLDER_PROPERTY;
        if (!Files.isDirectory(folder)) {
            return "there is no folder " + folder + "; create it, or " + another;
        }
        if (Mounts.optionsOf(folder).contains("ro")) {
            return "the folder " + folder + " is on a read-only file system; mount a writable one, such as a tmpfs or an"
                    + " emptyDir, and name it by the property " + FOLDER_PROPERTY
                    + ", or put the library into the image and name the file by the property " + PATH_PROPERTY;
        }
        return "cannot write to the folder " + folder + "; " + another;
    }

    /** Returns why the system's linker refused a file in {@code folder}, and what to do. */
    private static String remedyOf(UnsatisfiedLinkError cause, Path folder, String elsewhere) {
        String said = String.valueOf(cause.getMessage());
        if (Mounts.optionsOf(folder).contains("noexec")) {
            return ", because the folder is mounted noexec; " + elsewhere;
        }
        if (said.contains("GLIBC_")) {
            return ", because it needs a newer glibc than this machine has; name a library that was built on a machine"
                    + " like this one by the property " + PATH_PROPERTY;
        }
        if (said.contains("Permission denied") || said.contains("Operation not permitted")) {
            return ", because the system does not let this process run code from there (SELinux or the like?); allow"
                    + " it, or " + elsewhere;
        }
        return "; if it was built for another processor or C library, name one for this machine by the property "
                + PATH_PROPERTY;
    }

    private static void checkAbi() {
        int found;
        try {
            found = Native.abiVersion();
        } catch (UnsatisfiedLinkError cause) {
            throw notLoaded("the loaded library is not omomi's", cause);
        }
        if (found != Block.ABI_VERSION) {
            throw new OmomiException(
                    Code.ABI_MISMATCH,
                    "the native library has ABI version " + found + ", the caller was made for " + Block.ABI_VERSION
                            + ": deploy both from one release");
        }
    }

    private static OmomiException notLoaded(String problem, @Nullable Throwable cause) {
        String reason = cause == null ? "" : ": " + cause;
        return new OmomiException(
                Code.LIBRARY_NOT_LOADED,
                "the native library of omomi " + Release.version() + " is not loaded on " + Platform.name() + " (libc: "
                        + Platform.libc() + "): " + problem + reason,
                cause);
    }

    private static String sha256(Path file) throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every JVM has SHA-256", impossible);
        }
        try (InputStream in = Files.newInputStream(file)) {
            byte[] buffer = new byte[1 << 16];
            for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
                digest.update(buffer, 0, read);
            }
        }
        StringBuilder text = new StringBuilder();
        for (byte one : digest.digest()) {
            text.append(Character.forDigit(one >> 4 & 15, 16)).append(Character.forDigit(one & 15, 16));
        }
        return text.toString();
    }

    private static void transfer(InputStream in, OutputStream out) throws IOException {
        byte[] buffer = new byte[1 << 16];
        for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
            out.write(buffer, 0, read);
        }
    }
}
