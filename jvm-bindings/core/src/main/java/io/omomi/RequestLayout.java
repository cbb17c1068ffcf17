package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Where everything lies in a request block: follows from a schema, a capacity, how candidates are named and the number of
 * models, and from nothing else, so that requests stay as they are when a model is replaced. Immutable and shareable; make one and open all scorers with it.
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
        long[] offsets = Native.layoutOffsets(encoded());
        this.contextOffset = Math.toIntExact(offsets[Block.CONTEXT_OFFSET_INDEX]);
        this.candidatesOffset = Math.toIntExact(offsets[Block.CANDIDATES_OFFSET_INDEX]);
        this.candidateStride = Math.toIntExact(offsets[Block.CANDIDATE_STRIDE_BYTES_INDEX]);
        this.resultsOffset = Math.toIntExact(offsets[Block.RESULTS_OFFSET_INDEX]);
        this.resultStride = Math.toIntExact(offsets[Block.RESULT_STRIDE_BYTES_INDEX]);
        this.tailOffset = Math.toIntExact(offsets[Block.TAIL_OFFSET_INDEX]);
        this.len = Math.toIntExact(offsets[Block.LEN_BYTES_INDEX]);
    }

    /**
     * The layout for requests of up to {@code candidates} candidates, with {@code tailLenBytes} bytes for texts and for
     * the values of {@code many} fields. A text takes its UTF-8 bytes, a value of a {@code many} field 8 bytes more.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} unless there are 1 to 65,536 candidates and 0 to 64 MiB of
     *     tail
     */
    public static RequestLayout of(Schema schema, int candidates, int tailLenBytes) {
        return new RequestLayout(schema, candidates, tailLenBytes, false, 1);
    }

    /**
     * The same for requests that name the candidates of a {@link CandidateSet} by index: {@link Request#setCandidate}. The
     * tail is for the context alone.
     */
    public static RequestLayout prepared(Schema schema, int candidates, int tailLenBytes) {
        return new RequestLayout(schema, candidates, tailLenBytes, true, 1);
    }

    /**
     * The same layout with answers of {@code modelCount} models, which score a request in one call.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} unless there are 1 to 16 models
     */
    public RequestLayout forModels(int modelCount) {
        return new RequestLayout(schema, candidates, tailLenBytes, isPrepared, modelCount);
    }

    /** The declaration. */
    public Schema schema() {
        return schema;
    }

    /** Most candidates of a request. */
    public int candidates() {
        return candidates;
    }

    /** Whether requests name prepared candidates by index instead of having their rows. */
    public boolean isPrepared() {
        return isPrepared;
    }

    /** Models that score a request in one call. */
    public int modelCount() {
        return modelCount;
    }

    /** Bytes of the tail: what was asked for, rounded up to a multiple of 8. */
    public int tailLenBytes() {
        return len - tailOffset;
    }

    /** Bytes of a request block; each scorer has one, outside the heap. */
    public int lenBytes() {
        return len;
    }

    /** The layout as the native library reads it: see {@code decode_layout} there. */
    byte[] encoded() {
        byte[] fields = schema.encoded();
        ByteBuffer bytes = ByteBuffer.allocate(4 * Integer.BYTES + fields.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putInt(candidates).putInt(tailLenBytes).putInt(isPrepared ? 1 : 0).putInt(modelCount).put(fields);
        return bytes.array();
    }
}
