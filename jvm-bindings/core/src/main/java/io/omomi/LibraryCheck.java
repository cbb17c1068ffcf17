package io.omomi;

/**
 * Loads the native library like the first call of a server does, and says whether that worked. The build runs it before
 * it makes a jar. People may run it on a new machine: {@code java -cp omomi.jar io.omomi.LibraryCheck}. With the
 * argument {@value #PLATFORM}, it loads nothing, and prints the name of the platform, which is also the classifier of
 * its jar.
 */
public final class LibraryCheck {
    private static final String PLATFORM = "--platform";

    private LibraryCheck() {}

    /** Prints the result in one line. Exits with 1 if the library cannot be loaded. */
    public static void main(String[] arguments) {
        if (arguments.length == 1 && arguments[0].equals(PLATFORM)) {
            System.out.println(Platform.name());
            return;
        }
        try {
            NativeLibrary.load();
            String found = Platform.name() + " (libc: " + Platform.libc() + ", omomi " + Release.version() + ")";
            System.out.println("the native library loads on " + found);
        } catch (OmomiException refused) {
            System.err.println(refused.getMessage().replace('\n', ' ') + "; " + refused.action());
            System.exit(1);
        }
    }
}
