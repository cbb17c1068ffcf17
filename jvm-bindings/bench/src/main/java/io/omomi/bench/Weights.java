package io.omomi.bench;

import io.omomi.Feature;

/**
 * The weights that all contestants score with, as a function: what {@code benches/jvm_weights.rs} put into the weight files.
 * Each is a multiple of 1/2048, so that every sum of them is exact in whatever order it is taken.
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

    /** What takes the weights one by one, to build a table of its own from them. */
    interface Visitor {
        void visit(String field, long category, long key, float weight);
    }

    private Weights() {}

    /** Categories of each field that have a weight: 0 up to this number, which is not among them. */
    static long knownCategories() {
        return Long.getLong("omomi.bench.weights") / (CONTEXT.length + CANDIDATE.length);
    }

    static int count() {
        return Math.toIntExact(knownCategories() * (CONTEXT.length + CANDIDATE.length));
    }

    /** What a text field holds for a category. */
    static String text(long category) {
        return String.format("category-%08d", category);
    }

    /** Shows every weight of the file for fields of {@code kind} to {@code visitor}. */
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

    /** The feature key, as {@link Feature#featureKey} makes it, without leaving Java. */
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
