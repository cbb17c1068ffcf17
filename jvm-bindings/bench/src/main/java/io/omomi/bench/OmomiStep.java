package io.omomi.bench;

/**
 * One step of a contestant of this library, on a request as the other steps leave it. Shows the step's share of the
 * time.
 */
final class OmomiStep implements Contestant {
    private final Omomi omomi;
    private final boolean fills;
    /** The contestant whose records are timed, or null. */
    private final OmomiLogged logged;
    private int next;
    /** Number of candidates with answers to read. */
    private int answered;

    private OmomiStep(Omomi omomi, boolean fills, OmomiLogged logged) {
        this.omomi = omomi;
        this.fills = fills;
        this.logged = logged;
    }

    /** Fills requests without scoring them. */
    static OmomiStep filling(Omomi omomi) {
        return new OmomiStep(omomi, true, null);
    }

    /** Reads the answers of one request repeatedly. */
    static OmomiStep reading(Omomi omomi) {
        return new OmomiStep(omomi, false, null);
    }

    /** Records the candidates of one request repeatedly, one at a time. */
    static OmomiStep recording(OmomiLogged omomi) {
        return new OmomiStep(omomi, false, omomi);
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
        if (logged != null) {
            next = next + 1 < candidates ? next + 1 : 0;
            logged.record(next);
            return 0;
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
