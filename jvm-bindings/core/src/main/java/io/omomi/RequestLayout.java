package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The positions in a request block. They depend only on a schema, a capacity, how candidates are named and the number
 * of models, so requests stay valid when a model is replaced. Immutable; threads may share it. Create one, and open all
 * scorers with it.
 */
public final class RequestLayout {
    final int contextOffset;
    final int candidatesOffset;
    final int candidateStride;
    final int resultsOffset;
    final int resultStride;
    final int tailOffset;
    final int len;

    private final Schema schema;
    private final int candidates;
    private final int tailLenBytes;
    private final boolean isPrepared;
    private final int modelCount;

    private RequestLayout(Schema schema, int candidates, int tailLenBytes, boolean isPrepared, int modelCount) {
        if (schema == null) {
            throw OmomiException.nullArgument("schema");
        }
        this.schema = schema;
        this.candidates = candidates;
        this.tailLenBytes = tailLenBytes;
        this.isPrepared = isPrepared;
        this.modelCount = modelCount;
        // Without a library, nothing can use the layout: see NativeLibrary.isLoaded.
        long[] none = new long[Block.LEN_BYTES_INDEX + 1];
        long[] offsets = NativeLibrary.isLoaded() ? Native.layoutOffsets(encoded()) : none;
        this.contextOffset = Math.toIntExact(offsets[Block.CONTEXT_OFFSET_INDEX]);
        this.candidatesOffset = Math.toIntExact(offsets[Block.CANDIDATES_OFFSET_INDEX]);
        this.candidateStride = Math.toIntExact(offsets[Block.CANDIDATE_STRIDE_BYTES_INDEX]);
        this.resultsOffset = Math.toIntExact(offsets[Block.RESULTS_OFFSET_INDEX]);
        this.resultStride = Math.toIntExact(offsets[Block.RESULT_STRIDE_BYTES_INDEX]);
        this.tailOffset = Math.toIntExact(offsets[Block.TAIL_OFFSET_INDEX]);
        this.len = Math.toIntExact(offsets[Block.LEN_BYTES_INDEX]);
    }

    /**
     * Creates the layout of requests with up to {@code candidates} candidates, with {@code tailLenBytes} bytes for
     * texts and for the values of {@code many} fields. A text takes its UTF-8 bytes; a value of a {@code many} field
     * takes 8 more. Succeeds without a native library too, so that a layout may be in a static field; whatever uses it
     * then throws {@link Code#LIBRARY_NOT_LOADED}.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} unless there are 1 to 65,536 candidates and 0 to 64 MiB
     *     of tail
     */
    public static RequestLayout of(Schema schema, int candidates, int tailLenBytes) {
        return new RequestLayout(schema, candidates, tailLenBytes, false, 1);
    }

    /**
     * Creates the layout of requests that name the candidates of a {@link CandidateSet} by index: see {@link
     * Request#setCandidate}. The tail is for the context alone. Throws like {@link #of}.
     */
    public static RequestLayout prepared(Schema schema, int candidates, int tailLenBytes) {
        return new RequestLayout(schema, candidates, tailLenBytes, true, 1);
    }

    /**
     * Returns this layout with answers of {@code modelCount} models, which score a request in one call.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} unless there are 1 to 16 models
     */
    public RequestLayout forModels(int modelCount) {
        return new RequestLayout(schema, candidates, tailLenBytes, isPrepared, modelCount);
    }

    /** Returns the declaration. */
    public Schema schema() {
        return schema;
    }

    /** Returns the maximum number of candidates in a request. */
    public int candidates() {
        return candidates;
    }

    /** Returns whether requests name prepared candidates by index instead of having their rows. */
    public boolean isPrepared() {
        return isPrepared;
    }

    /** Returns the number of models that score a request in one call. */
    public int modelCount() {
        return modelCount;
    }

    /** Returns the length of the tail in bytes: the requested length, rounded up to a multiple of 8. */
    public int tailLenBytes() {
        NativeLibrary.load();
        return len - tailOffset;
    }

    /** Returns the length of a request block in bytes. Each scorer has one, outside the heap. */
    public int lenBytes() {
        NativeLibrary.load();
        return len;
    }

    /** Describes the capacity, for people. */
    @Override
    public String toString() {
        return "RequestLayout(" + candidates + (isPrepared ? " prepared candidates, " : " candidates, ") + tailLenBytes
                + " bytes of tail" + (modelCount == 1 ? ")" : ", " + modelCount + " models)");
    }

    /** Returns the layout in the form that the native library reads: see {@code decode_layout} there. */
    byte[] encoded() {
        byte[] fields = schema.encoded();
        ByteBuffer bytes = ByteBuffer.allocate(4 * Integer.BYTES + fields.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putInt(candidates).putInt(tailLenBytes).putInt(isPrepared ? 1 : 0).putInt(modelCount).put(fields);
        return bytes.array();
    }
}
