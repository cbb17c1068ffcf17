package io.omomi;

/**
 * The numbers of the memory of an {@link ExperimentScorer}. {@code src/jni/answered.rs} specifies them; a test of the
 * native library compares each with its own.
 */
interface AnsweredBlock {
    int VERSION_OFFSET = 0;
    int PROPENSITY_OFFSET = 8;
    int ARM_OFFSET = 16;
    int BUCKET_OFFSET = 20;
    int IS_CONTROL_OFFSET = 24;
    int FELL_BACK_OFFSET = 28;
    int SHADOW_COUNT_OFFSET = 32;
    int CANDIDATE_OFFSET = 36;
    int IS_EXPLORING_OFFSET = 40;
    int REQUEST_ID_LEN_OFFSET = 44;
    int REQUEST_ID_OFFSET = 48;
    int UTILITIES_OFFSET = 176;
}
