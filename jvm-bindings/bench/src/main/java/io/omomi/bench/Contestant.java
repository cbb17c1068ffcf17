package io.omomi.bench;

/** One way to keep the weights and to score requests with them. Belongs to one thread. */
public interface Contestant extends AutoCloseable {
    /**
     * Takes a request from the server's own objects to probabilities, for its first {@code candidates} candidates, and
     * returns their sum, so that each of them is read.
     */
    float score(int request, int candidates);

    /** The logit of a candidate of the last request. */
    double logit(int candidate);

    @Override
    void close();
}
