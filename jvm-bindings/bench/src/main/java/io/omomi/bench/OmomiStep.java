package io.omomi.bench;

/** One step of a contestant of this library, as the other steps leave the request: to tell which share of the time it has. */
final class OmomiStep implements Contestant {
    private final Omomi omomi;
    private final boolean fills;
    /** Candidates that have answers to be read. */
    private int answered;

    private OmomiStep(Omomi omomi, boolean fills) {
        this.omomi = omomi;
        this.fills = fills;
    }

    /** Fills requests that nobody scores. */
    static OmomiStep filling(Omomi omomi) {
        return new OmomiStep(omomi, true);
    }

    /** Reads the answers of one request again and again. */
    static OmomiStep reading(Omomi omomi) {
        return new OmomiStep(omomi, false);
    }

    @Override
    public float score(int request, int candidates) {
        if (fills) {
            omomi.fill(request, candidates);
            return 0;
        }
        if (answered != candidates) {
            omomi.score(request, candidates);
            answered = candidates;
        }
        return omomi.read(candidates);
    }

    @Override
    public double logit(int candidate) {
        return omomi.logit(candidate);
    }

    @Override
    public void close() {
        omomi.close();
    }
}
