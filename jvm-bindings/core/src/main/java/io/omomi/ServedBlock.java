package io.omomi;

/**
 * The numbers of the memory of a {@link Served}. {@code src/jni/served.rs} specifies them; a test of the native library
 * compares each with its own.
 */
interface ServedBlock {
    int AT_UNIX_MS_OFFSET = 0;
    int LATENCY_NS_OFFSET = 8;
    int PROPENSITY_OFFSET = 16;
    int BID_MICROS_OFFSET = 24;
    int POSITION_OFFSET = 32;
    int BUCKET_OFFSET = 36;
    int OWN_PROBABILITY_OFFSET = 40;
    int MODEL_OFFSET = 44;
    int SOURCE_OFFSET = 48;
    int BASIS_OFFSET = 52;
    int CURRENCY_OFFSET = 56;
    int TEXT_LENS_OFFSET = 60;
    int REQUEST_ID_OFFSET = 76;
    int IMPRESSION_OFFSET = 204;
    int EXPERIMENT_OFFSET = 268;
    int ARM_OFFSET = 332;
    int PREDICTION_ID_OFFSET = 396;
    int LEN = 412;

    int MAX_REQUEST_ID_LEN_BYTES = 128;
    int MAX_IMPRESSION_LEN_BYTES = 64;
    int MAX_LABEL_LEN_BYTES = 64;
}
