package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** The native arithmetic that Java calls is the one that made the vectors. */
final class FeatureKeysTest {
    @Test
    void a_feature_key_is_a_mix_of_the_fields_seed_and_the_value() {
        long seed = Feature.fieldSeed("creative_id");
        assertEquals(Feature.featureKey(seed, 42), mix(seed ^ 42));
        assertEquals(Feature.crossStep(seed, 7), mix(Long.rotateLeft(seed, 23) ^ 7));
        // XXH3-64 of no bytes, known to every implementation.
        assertEquals(0x2d06800538d394c2L, Feature.textValue(""));
    }

    private static long mix(long x) {
        x ^= x >>> 30;
        x *= 0xbf58476d1ce4e5b9L;
        x ^= x >>> 27;
        x *= 0x94d049bb133111ebL;
        return x ^ x >>> 31;
    }
}
