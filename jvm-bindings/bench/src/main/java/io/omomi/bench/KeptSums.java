package io.omomi.bench;

/**
 * Keeps the sum of each candidate's weights on the heap, and looks up only the context. That is the ideal of preparing
 * candidates, if there is one model, no feature combines both sides, and the weights are never replaced.
 */
final class KeptSums extends OnHeap {
    private final FastutilKeys weights;
    private final int[] places;
    private final double[] sums;

    KeptSums(Traffic traffic) {
        weights = new FastutilKeys(traffic);
        // Like in a server, the candidates of a request are not neighbors.
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
