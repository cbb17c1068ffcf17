package io.omomi;

/**
 * The numbers of a request block that do not depend on the schema, and the version of the native interface. {@code
 * src/request/REQUEST.md} specifies them; a test of the native library compares each with its own.
 */
interface Block {
    int ABI_VERSION = 8;

    int LAYOUT_VERSION = 1;
    int LAYOUT_VERSION_OFFSET = 0;
    int TAIL_USED_OFFSET = 4;
    int FILLED_COUNT_OFFSET = 8;
    int GAP_COUNT_OFFSET = 12;

    int GENERATION_OFFSET = 0;
    int SCORED_COUNT_OFFSET = 8;
    int REFUSED_COUNT_OFFSET = 12;
    int LATE_COUNT_OFFSET = 16;
    int UNSEEN_COUNT_OFFSET = 20;
    int MISSING_COUNT_OFFSET = 24;
    int INVALID_NUMBER_COUNT_OFFSET = 28;
    int OUTCOME_LEN = 64;

    int ROW_PRESENT_OFFSET = 0;
    int ROW_INLINE_TEXT_OFFSET = 8;
    int ROW_SLOTS_OFFSET = 16;
    int SLOT_LEN = 8;

    int ANSWER_LOGIT_OFFSET = 0;
    int ANSWER_PROBABILITY_OFFSET = 8;
    int ANSWER_STATUS_OFFSET = 12;
    int ANSWER_LEN = 16;

    /** Length of the index that names a prepared candidate in a request: a u32. */
    int INDEX_LEN = 4;

    /** In a reference to the tail: the number of bits of the length, or of the number of values. */
    int REFERENCE_LEN_BITS = 27;

    int MAX_VALUES_PER_FIELD = 1024;

    /** Indices into the result of {@link Native#layoutOffsets}. */
    int CONTEXT_OFFSET_INDEX = 0;
    int CANDIDATES_OFFSET_INDEX = 1;
    int CANDIDATE_STRIDE_BYTES_INDEX = 2;
    int RESULTS_OFFSET_INDEX = 3;
    int RESULT_STRIDE_BYTES_INDEX = 4;
    int TAIL_OFFSET_INDEX = 5;
    int LEN_BYTES_INDEX = 6;

    /** Alignment of the block in bytes. A row then crosses no more cache lines than necessary. */
    int ALIGNMENT = 64;
}
