package io.omomi;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
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

    /** Describes what no step of loading expects, and what to do about it. */
    private static String problemOf(Throwable cause) {
        // Compared by name, because Java 8 does not have the class.
        if (cause.getClass().getName().equals("java.lang.IllegalCallerException")) {
            return "this JVM denies native access; start it with --enable-native-access=ALL-UNNAMED, or with the name"
                    + " of omomi's module, if it is on the module path";
        }
        if (cause instanceof InvalidPathException) {
            return "the locale of this JVM cannot spell a path; start it with LC_ALL=C.UTF-8, or correct the properties"
                    + " " + PATH_PROPERTY + ", " + FOLDER_PROPERTY + " and java.io.tmpdir";
        }
        return "loading failed in an unexpected way";
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
                    loadCopy(bytes, file.getFileName().toString(), sha256AndLen(file));
                    return;
                } catch (IOException unreadable) {
                    throw notLoaded("cannot read " + file, unreadable);
                }
            }
            throw notLoaded("cannot load " + file + ", which the property " + PATH_PROPERTY + " names", cause);
        }
    }

    private static void loadResource() {
        String fileName = System.mapLibraryName("omomi");
        String resource = RESOURCE_ROOT + Platform.name() + "/" + fileName;
        try (InputStream bytes = NativeLibrary.class.getResourceAsStream(resource)) {
            if (bytes == null) {
                throw notLoaded(
                        "the jar has no " + resource + "; add the jar that was built for this platform, or build the"
                                + " library and name it by the property " + PATH_PROPERTY,
                        null);
            }
            loadCopy(bytes, fileName, readText(resource + ".sha256"));
        } catch (IOException cause) {
            throw notLoaded("cannot read " + resource + " from the jar", cause);
        }
    }

    /** Loads a private copy of {@code bytes}, whose SHA-256 and length must be {@code expected}. */
    private static void loadCopy(InputStream bytes, String fileName, String expected) {
        String folderName = System.getProperty(FOLDER_PROPERTY, System.getProperty("java.io.tmpdir"));
        Path copy;
        try {
            copy = Files.createTempFile(Paths.get(folderName), "omomi-", "-" + fileName);
        } catch (IOException cause) {
            throw notLoaded(
                    "cannot write to the folder " + folderName + "; name a folder that exists and can be written to by the"
                            + " property " + FOLDER_PROPERTY,
                    cause);
        }
        try {
            try (OutputStream out = Files.newOutputStream(copy)) {
                transfer(bytes, out);
            }
            String found = sha256AndLen(copy);
            if (!found.equals(expected)) {
                throw notLoaded(
                        "the copy in " + folderName + " is damaged: expected SHA-256 and length " + expected + ", found "
                                + found + "; check the jar and the space left in the folder",
                        null);
            }
            System.load(copy.toAbsolutePath().toString());
        } catch (UnsatisfiedLinkError cause) {
            throw notLoaded(
                    "cannot load the copy in " + folderName + "; if the folder is mounted noexec, name another one by the"
                            + " property " + FOLDER_PROPERTY + "; if the C library is another one or older, name a library"
                            + " built for it by the property " + PATH_PROPERTY,
                    cause);
        } catch (IOException cause) {
            throw notLoaded("cannot copy the library to the folder " + folderName, cause);
        } finally {
            try {
                // The mapping stays valid without the name, and no file is left however the process ends.
                Files.deleteIfExists(copy);
            } catch (IOException stillThere) {
                copy.toFile().deleteOnExit();
            }
        }
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
                "the native library is not loaded on " + Platform.name() + " (libc: " + Platform.libc() + "): " + problem
                        + reason,
                cause);
    }

    private static String sha256AndLen(Path file) throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every JVM has SHA-256", impossible);
        }
        long len = 0;
        try (InputStream in = Files.newInputStream(file)) {
            byte[] buffer = new byte[1 << 16];
            for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
                digest.update(buffer, 0, read);
                len += read;
            }
        }
        StringBuilder text = new StringBuilder();
        for (byte one : digest.digest()) {
            text.append(Character.forDigit(one >> 4 & 15, 16)).append(Character.forDigit(one & 15, 16));
        }
        return text.append(' ').append(len).toString();
    }

    private static String readText(String resource) throws IOException {
        try (InputStream in = NativeLibrary.class.getResourceAsStream(resource)) {
            if (in == null) {
                return "(none: " + resource + " is missing)";
            }
            ByteArrayOutputStream text = new ByteArrayOutputStream();
            transfer(in, text);
            return new String(text.toByteArray(), StandardCharsets.US_ASCII).trim();
        }
    }

    private static void transfer(InputStream in, OutputStream out) throws IOException {
        byte[] buffer = new byte[1 << 16];
        for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
            out.write(buffer, 0, read);
        }
    }
}
