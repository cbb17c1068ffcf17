package io.omomi.bench;

/** A server that looks up weights in a map: sums the context once, then each candidate. */
public abstract class OnHeap implements Contestant {
    private final double[] logits = new double[Traffic.CANDIDATES];
    private final float[] probabilities = new float[Traffic.CANDIDATES];

    /** Returns the sum of the weights of a request's context. */
    protected abstract double contextSum(int request);

    /** Returns the sum of the weights of one candidate. */
    protected abstract double candidateSum(int request, int candidate);

    @Override
    public final float score(int request, int candidates) {
        double shared = Weights.BIAS + contextSum(request);
        for (int i = 0; i < candidates; i++) {
            double logit = shared + candidateSum(request, i);
            logits[i] = logit;
            probabilities[i] = (float) (1 / (1 + Math.exp(-logit)));
        }
        float sum = 0;
        for (int i = 0; i < candidates; i++) {
            sum += probabilities[i];
        }
        return sum;
    }

    @Override
    public final double logit(int candidate) {
        return logits[candidate];
    }

    @Override
    public void close() {}
}
