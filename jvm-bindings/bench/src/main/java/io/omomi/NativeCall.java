package io.omomi;

/** An empty native call: the minimum cost of every native call. */
public final class NativeCall {
    private NativeCall() {}

    /** Loads the library. Call it before {@link #empty}. */
    public static void load() {
        NativeLibrary.load();
    }

    /** Returns a constant of the native library. */
    public static int empty() {
        return Native.abiVersion();
    }
}
