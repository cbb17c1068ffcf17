package io.omomi;

/**
 * Where everything lies in a request block: follows from a schema and a capacity, and from nothing else, so that requests
 * stay as they are when a model is replaced. Immutable and shareable; make one and open all scorers with it.
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

    private RequestLayout(Schema schema, int candidates, long[] offsets) {
        this.schema = schema;
        this.candidates = candidates;
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
        if (schema == null) {
            throw OmomiException.nullArgument("schema");
        }
        return new RequestLayout(schema, candidates, Native.layoutOffsets(schema.encoded(), candidates, tailLenBytes));
    }

    /** The declaration. */
    public Schema schema() {
        return schema;
    }

    /** Most candidates of a request. */
    public int candidates() {
        return candidates;
    }

    /** Bytes of the tail: what was asked for, rounded up to a multiple of 8. */
    public int tailLenBytes() {
        return len - tailOffset;
    }

    /** Bytes of a request block; each scorer has one, outside the heap. */
    public int lenBytes() {
        return len;
    }
}
