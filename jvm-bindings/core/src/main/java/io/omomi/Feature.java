package io.omomi;

/** How a field and a category become a feature key: the native library's own arithmetic, for callers and tests. */
public final class Feature {
    private Feature() {}

    /**
     * The value of a text, to be kept by a server for texts that recur all day and passed to {@link Row#setTextValue}:
     * XXH3-64 of the UTF-8 bytes.
     *
     * @throws OmomiException with {@link Code#NOT_UTF8} for an unpaired surrogate
     */
    public static long textValue(CharSequence text) {
        return Native.textValue(bytes(text, "text"));
    }

    /** The seed of a field or of a cross: of its name, or of its members' names joined by {@code *}. */
    public static long fieldSeed(CharSequence name) {
        return Native.fieldSeed(bytes(name, "name"));
    }

    /** The feature key of a value (an id, {@link #textValue}, or the index of a bucket) in the field with that seed. */
    public static long featureKey(long seed, long value) {
        NativeLibrary.load();
        return Native.featureKey(seed, value);
    }

    /** One step of a cross: starts from its seed, takes in each member's feature key in contract order. */
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
