package io.omomi;

/**
 * Loads the native library like the first call of a server does, and says whether that worked. The build runs it before
 * it makes a jar. People may run it on a new machine: {@code java -cp omomi.jar io.omomi.LibraryCheck}.
 */
public final class LibraryCheck {
    private LibraryCheck() {}

    /** Prints the result in one line. Exits with 1 if the library cannot be loaded. */
    public static void main(String[] arguments) {
        try {
            NativeLibrary.load();
            System.out.println("the native library loads on " + Platform.name() + " (libc: " + Platform.libc() + ", omomi "
                    + Release.version() + ")");
        } catch (OmomiException refused) {
            System.err.println(refused.getMessage().replace('\n', ' ') + "; " + refused.action());
            System.exit(1);
        }
    }
}
