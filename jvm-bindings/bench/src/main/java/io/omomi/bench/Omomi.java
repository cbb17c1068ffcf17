package io.omomi.bench;

/** A contestant of this library, whose steps can be timed separately. */
public interface Omomi extends Contestant {
    /** Clears the request and sets every field of the context and of the candidates. */
    void fill(int request, int candidates);

    /** Scores the filled request. */
    void predict(int candidates);

    /** Returns the sum of the probabilities. */
    float read(int candidates);

    @Override
    default float score(int request, int candidates) {
        fill(request, candidates);
        predict(candidates);
        return read(candidates);
    }
}
