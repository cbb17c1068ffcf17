package io.omomi.bench;

/**
 * One step of a contestant of this library, on a request as the other steps leave it. Shows the step's share of the
 * time.
 */
final class OmomiStep implements Contestant {
    private final Omomi omomi;
    private final boolean fills;
    /** Number of candidates with answers to read. */
    private int answered;

    private OmomiStep(Omomi omomi, boolean fills) {
        this.omomi = omomi;
        this.fills = fills;
    }

    /** Fills requests without scoring them. */
    static OmomiStep filling(Omomi omomi) {
        return new OmomiStep(omomi, true);
    }

    /** Reads the answers of one request repeatedly. */
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
