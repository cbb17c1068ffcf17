package io.omomi.bench;

/** A contestant of this library, whose steps can be timed one by one. */
public interface Omomi extends Contestant {
    /** Clears the request and sets every field of the context and of the candidates. */
    void fill(int request, int candidates);

    /** Scores what was filled in. */
    void predict(int candidates);

    /** The sum of the probabilities. */
    float read(int candidates);

    @Override
    default float score(int request, int candidates) {
        fill(request, candidates);
        predict(candidates);
        return read(candidates);
    }
}
