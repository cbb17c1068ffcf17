package io.omomi.bench;

/**
 * The sum of each candidate's weights kept on the heap, and nothing looked up but the context: what preparing candidates comes
 * down to, as long as there is one model, no feature is made of both sides, and nobody replaces the weights.
 */
final class KeptSums extends OnHeap {
    private final FastutilKeys weights;
    private final int[] places;
    private final double[] sums;

    KeptSums(Traffic traffic) {
        weights = new FastutilKeys(traffic);
        // As a server has them: a request's candidates are not neighbours.
        places = traffic.shuffledCandidates();
        sums = new double[places.length];
        for (int i = 0; i < places.length; i++) {
            sums[places[i]] = weights.candidateSum(i / Traffic.CANDIDATES, i % Traffic.CANDIDATES);
        }
    }

    @Override
    protected double contextSum(int request) {
        return weights.contextSum(request);
    }

    @Override
    protected double candidateSum(int request, int candidate) {
        return sums[places[request * Traffic.CANDIDATES + candidate]];
    }
}
