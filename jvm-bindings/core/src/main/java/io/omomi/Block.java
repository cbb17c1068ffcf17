package io.omomi;

/**
 * The bytes of a request block that do not depend on the schema, and the version of the native interface. Written down
 * in {@code src/score/REQUEST.md}; a test of the native library reads this file and holds each number against its own.
 */
interface Block {
    int ABI_VERSION = 3;

    int LAYOUT_VERSION = 1;
    int LAYOUT_VERSION_OFFSET = 0;
    int TAIL_USED_OFFSET = 4;

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

    /** A prepared candidate in a request: its index in the candidate set, a u32. */
    int INDEX_LEN = 4;

    int MAX_VALUES_PER_FIELD = 1024;

    /** Where in the answer of {@link Native#layoutOffsets} each number stands. */
    int CONTEXT_OFFSET_INDEX = 0;
    int CANDIDATES_OFFSET_INDEX = 1;
    int CANDIDATE_STRIDE_BYTES_INDEX = 2;
    int RESULTS_OFFSET_INDEX = 3;
    int RESULT_STRIDE_BYTES_INDEX = 4;
    int TAIL_OFFSET_INDEX = 5;
    int LEN_BYTES_INDEX = 6;

    /** The block starts at a multiple of this many bytes: a row then never straddles more cache lines than it must. */
    int ALIGNMENT = 64;
}
