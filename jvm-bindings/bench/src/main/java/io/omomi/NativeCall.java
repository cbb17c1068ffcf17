package io.omomi;

/** The way into native code and back, with nothing done there: what every native call costs at least. */
public final class NativeCall {
    private NativeCall() {}

    /** Loads the library; {@link #empty} may be called from then on. */
    public static void load() {
        NativeLibrary.load();
    }

    /** Returns a constant of the native library. */
    public static int empty() {
        return Native.abiVersion();
    }
}
