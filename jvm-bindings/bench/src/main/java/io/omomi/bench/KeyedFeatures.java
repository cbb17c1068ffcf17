package io.omomi.bench;

/** Ids mixed into 64-bit feature keys like omomi's, and looked up in one table of primitives. */
abstract class KeyedFeatures extends OnHeap {
    private final Traffic traffic;
    private final long[] contextSeeds = Weights.seeds(Weights.CONTEXT);
    private final long[] candidateSeeds = Weights.seeds(Weights.CANDIDATE);

    KeyedFeatures(Traffic traffic) {
        this.traffic = traffic;
    }

    /** Returns the weight of a feature, or 0 if it has none. */
    abstract float weight(long key);

    @Override
    protected final double contextSum(int request) {
        return sum(contextSeeds, traffic.context(request), 0);
    }

    @Override
    protected final double candidateSum(int request, int candidate) {
        return sum(candidateSeeds, traffic.candidates(request), candidate * Weights.FIELDS);
    }

    private double sum(long[] seeds, long[] ids, int first) {
        double sum = 0;
        for (int i = 0; i < Weights.FIELDS; i++) {
            sum += weight(Weights.key(seeds[i], ids[first + i]));
        }
        return sum;
    }
}
