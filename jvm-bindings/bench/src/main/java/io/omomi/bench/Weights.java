package io.omomi.bench;

import io.omomi.Feature;

/**
 * The weights of all contestants, as a function: the ones that {@code benches/jvm_weights.rs} wrote to the weight
 * files. Each is a multiple of 1/2048, so every sum is exact in any order.
 */
final class Weights {
    static final String[] CONTEXT = {
        "user", "device", "os", "region", "segment", "hour", "site", "slot", "size", "exchange"
    };
    static final String[] CANDIDATE = {
        "creative", "campaign", "advertiser", "category", "format", "theme", "landing", "agency", "brand", "placement"
    };
    static final int FIELDS = 10;
    static final double BIAS = -2.0;

    /** Receives the weights one by one, to build a table from them. */
    interface Visitor {
        void visit(String field, long category, long key, float weight);
    }

    private Weights() {}

    /** Returns the number of categories of each field that have a weight: 0 up to this number, exclusive. */
    static long knownCategories() {
        return Long.getLong("omomi.bench.weights") / (CONTEXT.length + CANDIDATE.length);
    }

    static int count() {
        return Math.toIntExact(knownCategories() * (CONTEXT.length + CANDIDATE.length));
    }

    /** Returns the text of a category. */
    static String text(long category) {
        return String.format("category-%08d", category);
    }

    /** Passes every weight of the file for fields of {@code kind} to {@code visitor}. */
    static void visit(Kind kind, Visitor visitor) {
        for (String[] side : new String[][] {CONTEXT, CANDIDATE}) {
            for (String field : side) {
                long seed = Feature.fieldSeed(field);
                for (long category = 0; category < knownCategories(); category++) {
                    long key = key(seed, kind.value(category));
                    visitor.visit(field, category, key, weight(key));
                }
            }
        }
    }

    static long[] seeds(String[] fields) {
        long[] seeds = new long[fields.length];
        for (int i = 0; i < seeds.length; i++) {
            seeds[i] = Feature.fieldSeed(fields[i]);
        }
        return seeds;
    }

    /** Computes the feature key like {@link Feature#featureKey}, in Java. */
    static long key(long seed, long value) {
        long x = seed ^ value;
        x = (x ^ x >>> 30) * 0xbf58476d1ce4e5b9L;
        x = (x ^ x >>> 27) * 0x94d049bb133111ebL;
        return x ^ x >>> 31;
    }

    static float weight(long key) {
        return (2 * (key >>> 54) - 1023) / 2048f;
    }
}
