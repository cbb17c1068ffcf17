package io.omomi.bench;

import java.util.function.BiConsumer;

/** Features as texts such as {@code creative=42}: the first version of a server, with any map. */
public abstract class NamedFeatures extends OnHeap {
    private final Traffic traffic;

    /** Creates a contestant for the requests of {@code traffic}. */
    protected NamedFeatures(Traffic traffic) {
        this.traffic = traffic;
    }

    /** Returns the weight of a feature, or 0 if it has none. */
    protected abstract double weight(String feature);

    /** Puts all weights into the map. */
    protected final void fill(Traffic traffic, BiConsumer<String, Double> put) {
        boolean ids = traffic.kind() == Kind.ID;
        Weights.visit(traffic.kind(), (field, category, key, weight) ->
                put.accept(field + "=" + (ids ? Long.toString(category) : Weights.text(category)), (double) weight));
    }

    @Override
    protected final double contextSum(int request) {
        return traffic.kind() == Kind.ID
                ? sum(Weights.CONTEXT, traffic.context(request), 0)
                : sum(Weights.CONTEXT, traffic.contextTexts(request), 0);
    }

    @Override
    protected final double candidateSum(int request, int candidate) {
        return traffic.kind() == Kind.ID
                ? sum(Weights.CANDIDATE, traffic.candidates(request), candidate * Weights.FIELDS)
                : sum(Weights.CANDIDATE, traffic.candidateTexts(request), candidate * Weights.FIELDS);
    }

    private double sum(String[] fields, long[] ids, int first) {
        double sum = 0;
        for (int i = 0; i < Weights.FIELDS; i++) {
            sum += weight(fields[i] + "=" + ids[first + i]);
        }
        return sum;
    }

    private double sum(String[] fields, String[] texts, int first) {
        double sum = 0;
        for (int i = 0; i < Weights.FIELDS; i++) {
            sum += weight(fields[i] + "=" + texts[first + i]);
        }
        return sum;
    }
}
