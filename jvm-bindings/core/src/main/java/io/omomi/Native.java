package io.omomi;

import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The native methods for rare calls: opening, closing, querying. {@link AbstractScorer}, {@link LiveScorer}, {@link
 * ExperimentScorer} and {@link LogRing} have those for each request.
 * All throw {@link OmomiException}. Text is passed as UTF-8 bytes, because JNI's own encoding of strings is not UTF-8;
 * paths are passed as {@link PathBytes}. No caller may pass a closed handle; the classes that own handles make sure of
 * that.
 */
final class Native {
    private Native() {}

    static native int abiVersion();

    static native void checkSchema(byte[] schema);

    /** Returns the declaration of a contract's fields, in the form of {@link Schema#encoded}. */
    static native byte[] contractSchema(byte[] contract);

    static native long[] layoutOffsets(byte[] layout);

    /** Returns the address of a direct buffer's first byte. */
    static native long address(ByteBuffer buffer);

    static native long openModel(byte[] path, int loadMode);

    /** Returns another reference, which must be closed as well. */
    static native long shareModel(long model);

    static native void closeModel(long model);

    /** Returns the generation, the number of weights, and the length of the file in bytes. */
    static native long[] modelNumbers(long model);

    static native String modelLogicId(long model);

    static native String modelContract(long model);

    /** Returns the memory of a block to the system. It stays readable, with any contents, and writable. */
    static native void releasePages(ByteBuffer block);

    /** Keeps the address of {@code block}, and its own references to the models and the set, which is 0 for none. */
    static native long openScorer(long[] models, byte[] layout, long set, ByteBuffer block);

    static native void closeScorer(long scorer);

    /** Throws the error of the scorer's last predict, which returned {@code code}. */
    static native void throwPredictError(long scorer, int code);

    /**
     * Returns a {@code String[]} of names, a {@code long[]} of feature keys and two {@code double[]}: see {@link
     * Explanation}.
     */
    static native Object[] explain(long scorer, int candidate);

    /** Keeps the address of {@code block}, whose candidate 0 carries the rows. */
    static native long openCandidateSet(byte[] layout, int capacity, int valuesPerField, ByteBuffer block);

    static native void closeCandidateSet(long set);

    static native int addCandidate(long set);

    static native void putCandidate(long set, int index);

    /** Returns 1 if there was a candidate, otherwise 0. */
    static native int removeCandidate(long set, int index);

    static native long candidateCount(long set);

    /** Starts a thread, and returns after the first look at the store. */
    static native long openLiveModel(byte[] dir, byte[] schema, byte[] options);

    /** Ends the thread of the live model. */
    static native void closeLiveModel(long live);

    static native void lookNow(long live);

    /** Returns the ordinal of a {@link ServingState}. */
    static native int servingState(long live);

    /** Returns the bytes that {@link LiveStatus} reads. */
    static native byte[] liveStatus(long live);

    /** Returns the bytes that {@link LiveMetrics} reads. */
    static native byte[] liveMetrics(long live);

    /**
     * Writes Prometheus text into a direct buffer, between two positions, and returns the length of the text. If that
     * is more than the room, the written text is incomplete.
     */
    static native long livePrometheus(long live, ByteBuffer buffer, int position, int limit);

    /** Returns the health: bit 0 is live, bit 1 is ready. */
    static native int liveHealth(long live);

    /** Keeps the address of {@code block}, and its own references to what it needs. The set is 0 for none. */
    static native long openLiveScorer(long live, byte[] layout, long set, ByteBuffer block);

    /**
     * Returns the logic id of a generation that answers or answered a live scorer, or the last arm of an experiment
     * scorer, recently.
     */
    static native String liveLogicId(long scorer, long generation);

    /** Returns the logic id of the fallback file of a live scorer or an experiment scorer, or null if there is none. */
    static native String fallbackLogicId(long scorer);

    /** Returns the logic id of a live model's fallback file, or null if there is none. */
    static native @Nullable String liveFallbackLogicId(long live);

    /** Starts a thread and those of its stores, and returns after the first look at the file and the stores. */
    static native long openExperiment(byte[] file, byte[] schema, byte[] options);

    /** Ends the threads of the experiment. */
    static native void closeExperiment(long experiment);

    static native void lookAtExperiment(long experiment);

    static native String experimentStatusJson(long experiment);

    /** Returns the bytes that {@link ExperimentStatus} reads. */
    static native byte[] experimentStatus(long experiment);

    /** Writes Prometheus text like {@link #livePrometheus}. */
    static native long experimentPrometheus(long experiment, ByteBuffer buffer, int position, int limit);

    /** Keeps the addresses of {@code block} and {@code memory}, like {@link #openLiveScorer}. */
    static native long openExperimentScorer(
            long experiment, byte[] layout, long set, ByteBuffer block, ByteBuffer memory);

    /** Returns the names of the experiment and of an arm, by the number of the arm. */
    static native String[] armNames(long scorer, int arm);

    /** Starts a thread. */
    static native long openServingLog(byte[] folder, byte[] options);

    /** Writes what was recorded, and ends the thread of the log. */
    static native void closeServingLog(long log);

    static native boolean flushServingLog(long log, long timeoutMs);

    /** Returns the bytes that {@link LogMetrics} reads. */
    static native byte[] servingLogMetrics(long log);

    /** Writes Prometheus text like {@link #livePrometheus}. */
    static native long servingLogPrometheus(long log, ByteBuffer buffer, int position, int limit);

    /** Keeps the address of the scorer's block, and its own references to what it needs. */
    static native long openLogRing(long log, long scorer);

    static native long openEventRing(long log);

    static native void closeLogRing(long ring);

    /** Throws the error of the ring's last record, which returned {@code -code}. */
    static native void throwRecordError(long ring, int code);

    /** Returns the two halves of a prediction id, as little-endian numbers. */
    static native long[] predictionId(byte[] requestId, byte[] impression, int candidate);

    /** Writes a prediction id into the block of a {@link Served}, which is at {@code address}. */
    static native void putPredictionId(ByteBuffer block, long address, int candidate);

    static native int samplePlace(long salt, byte[] requestId);

    static native long textValue(byte[] text);

    static native long fieldSeed(byte[] name);

    static native long featureKey(long seed, long value);

    static native long crossStep(long state, long memberKey);
}
