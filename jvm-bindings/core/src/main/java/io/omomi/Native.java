package io.omomi;

import java.nio.ByteBuffer;

/**
 * The native calls that are made once: opening, closing, asking. The one that is made for each request is {@link
 * AbstractScorer}'s. All throw {@link OmomiException}; text travels as UTF-8 bytes, because JNI's own encoding of strings is
 * not UTF-8. No caller may pass a handle that was closed: the classes that have handles see to that.
 */
final class Native {
    private Native() {}

    static native int abiVersion();

    static native void checkSchema(byte[] schema);

    static native long[] layoutOffsets(byte[] layout);

    /** Address of a direct buffer's first byte. */
    static native long address(ByteBuffer buffer);

    static native long openModel(byte[] path, int loadMode);

    /** One more reference, to be closed as well. */
    static native long shareModel(long model);

    static native void closeModel(long model);

    /** Generation, number of weights, length of the file in bytes. */
    static native long[] modelNumbers(long model);

    static native String modelLogicId(long model);

    static native String modelContract(long model);

    /** Keeps the address of {@code block}, and references of its own to the models and the set, which is 0 for none. */
    static native long openScorer(long[] models, byte[] layout, long set, ByteBuffer block);

    static native void closeScorer(long scorer);

    /** Throws what the scorer's last predict failed with; {@code code} is what it returned. */
    static native void throwPredictError(long scorer, int code);

    /** A {@code String[]} of names, a {@code long[]} of feature keys and a {@code double[]}: see {@link Explanation}. */
    static native Object[] explain(long scorer, int candidate);

    /** Keeps the address of {@code block}, from whose candidate 0 the rows come. */
    static native long openCandidateSet(byte[] layout, int capacity, int valuesPerField, ByteBuffer block);

    static native void closeCandidateSet(long set);

    static native int addCandidate(long set);

    static native void putCandidate(long set, int index);

    /** 1 if there was one, otherwise 0. */
    static native int removeCandidate(long set, int index);

    static native long candidateCount(long set);

    /** Starts a thread; returns when the store has been looked at once. */
    static native long openLiveModel(byte[] dir, byte[] schema, byte[] options);

    /** Ends the thread. */
    static native void closeLiveModel(long live);

    static native void lookNow(long live);

    /** The ordinal of a {@link ServingState}. */
    static native int servingState(long live);

    /** What {@link LiveStatus} reads. */
    static native byte[] liveStatus(long live);

    /** What {@link LiveMetrics} reads. */
    static native byte[] liveMetrics(long live);

    /**
     * Writes Prometheus text into a direct buffer between two positions, and returns its length; where that is greater than
     * the room, what was written is of no use.
     */
    static native long livePrometheus(long live, ByteBuffer buffer, int position, int limit);

    /** Bit 0: live; bit 1: ready. */
    static native int liveHealth(long live);

    /** Keeps the address of {@code block}, and references of its own to what it needs; the set is 0 for none. */
    static native long openLiveScorer(long live, byte[] layout, long set, ByteBuffer block);

    /** The serving logic of a generation that answers a live scorer, or did lately. */
    static native String liveLogicId(long scorer, long generation);

    static native long textValue(byte[] text);

    static native long fieldSeed(byte[] name);

    static native long featureKey(long seed, long value);

    static native long crossStep(long state, long memberKey);
}
