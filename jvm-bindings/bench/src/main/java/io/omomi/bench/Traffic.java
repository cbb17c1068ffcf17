package io.omomi.bench;

import io.omomi.Feature;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * The requests that all contestants score. They are always the same, and need more weights than the caches of a
 * processor core hold. Nine of ten values have a weight.
 */
public final class Traffic {
    /** Number of different requests. */
    public static final int REQUESTS = 64;
    /** Number of candidates in each request. */
    public static final int CANDIDATES = 500;

    private static final double KNOWN = 0.9;
    private static final long SEED = 20_260_101;

    private final Kind kind;
    private final long[][] context = new long[REQUESTS][];
    private final long[][] candidates = new long[REQUESTS][];
    private final String[][] contextTexts = new String[REQUESTS][];
    private final String[][] candidateTexts = new String[REQUESTS][];

    /** Creates the traffic. Texts are created for {@link Kind#TEXT} only. */
    public Traffic(Kind kind) {
        this.kind = kind;
        SplittableRandom random = new SplittableRandom(SEED);
        // Like in a server, whose creatives hold their texts: one object per text, distinct from the keys of a map.
        Map<Long, String> texts = new HashMap<>();
        for (int request = 0; request < REQUESTS; request++) {
            context[request] = draw(random, Weights.FIELDS);
            candidates[request] = draw(random, CANDIDATES * Weights.FIELDS);
            if (kind == Kind.TEXT) {
                contextTexts[request] = texts(context[request], texts);
                candidateTexts[request] = texts(candidates[request], texts);
            }
        }
    }

    /** Returns the type of all values. */
    public Kind kind() {
        return kind;
    }

    /** Returns the values of a request's context, in the order of {@link Weights#CONTEXT}. */
    public long[] context(int request) {
        return context[request];
    }

    /**
     * Returns the values of a request's candidates, one candidate after the other, in the order of {@link
     * Weights#CANDIDATE}.
     */
    public long[] candidates(int request) {
        return candidates[request];
    }

    /** Returns the values of {@link #context} as texts. */
    public String[] contextTexts(int request) {
        return contextTexts[request];
    }

    /** Returns the values of {@link #candidates} as texts. */
    public String[] candidateTexts(int request) {
        return candidateTexts[request];
    }

    /**
     * Returns an index for each candidate of each request, one request after the other: all numbers from 0 on, in
     * random order.
     */
    public int[] shuffledCandidates() {
        int[] places = new int[REQUESTS * CANDIDATES];
        SplittableRandom random = new SplittableRandom(SEED);
        for (int i = 0; i < places.length; i++) {
            int other = random.nextInt(i + 1);
            places[i] = places[other];
            places[other] = i;
        }
        return places;
    }

    /** Returns the logit that a candidate must get, computed from the definition of the weights without a table. */
    public double expectedLogit(int request, int candidate) {
        double sum = Weights.BIAS;
        for (int field = 0; field < Weights.FIELDS; field++) {
            sum += weight(Weights.CONTEXT[field], context[request][field])
                    + weight(Weights.CANDIDATE[field], candidates[request][candidate * Weights.FIELDS + field]);
        }
        return sum;
    }

    private double weight(String field, long category) {
        if (category >= Weights.knownCategories()) {
            return 0;
        }
        return Weights.weight(Weights.key(Feature.fieldSeed(field), kind.value(category)));
    }

    private static long[] draw(SplittableRandom random, int count) {
        long known = Weights.knownCategories();
        boolean uniform = "uniform".equals(System.getProperty("omomi.bench.skew"));
        long[] drawn = new long[count];
        for (int i = 0; i < count; i++) {
            // Category k has a probability proportional to 1 / (k + 1), the logarithmic approximation of Zipf's law.
            double rank = uniform ? random.nextDouble() * known : Math.expm1(random.nextDouble() * Math.log1p(known));
            long category = Math.min((long) rank, known - 1);
            drawn[i] = random.nextDouble() < KNOWN ? category : known + category;
        }
        return drawn;
    }

    private static String[] texts(long[] categories, Map<Long, String> texts) {
        String[] found = new String[categories.length];
        for (int i = 0; i < found.length; i++) {
            found[i] = texts.computeIfAbsent(categories[i], Weights::text);
        }
        return found;
    }
}
