package io.omomi;

/** Computes feature keys from fields and categories with the native library's own code, for callers and tests. */
public final class Feature {
    private Feature() {}

    /**
     * Computes the value of a text: XXH3-64 of its UTF-8 bytes. A server may keep the value of a text that recurs all
     * day, and pass it to {@link Row#setTextValue}.
     *
     * @throws OmomiException with {@link Code#NOT_UTF8} for an unpaired surrogate
     */
    public static long textValue(CharSequence text) {
        return Native.textValue(bytes(text, "text"));
    }

    /** Computes the seed of a field from its name, or of a cross from its members' names joined by {@code *}. */
    public static long fieldSeed(CharSequence name) {
        return Native.fieldSeed(bytes(name, "name"));
    }

    /**
     * Computes the feature key of a value (an id, {@link #textValue}, or a bucket index) in the field with that seed.
     */
    public static long featureKey(long seed, long value) {
        NativeLibrary.load();
        return Native.featureKey(seed, value);
    }

    /** Computes one step of a cross: starts from the seed, and adds each member's feature key in contract order. */
    public static long crossStep(long state, long memberKey) {
        NativeLibrary.load();
        return Native.crossStep(state, memberKey);
    }

    private static byte[] bytes(CharSequence text, String argument) {
        if (text == null) {
            throw OmomiException.nullArgument(argument);
        }
        NativeLibrary.load();
        return Utf8.strict(text, argument);
    }
}
