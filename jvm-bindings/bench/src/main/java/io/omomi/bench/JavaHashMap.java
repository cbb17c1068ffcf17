package io.omomi.bench;

import java.util.HashMap;
import java.util.Map;

/** {@code java.util.HashMap<String, Double>}. */
final class JavaHashMap extends NamedFeatures {
    private final Map<String, Double> weights = new HashMap<>();

    JavaHashMap(Traffic traffic) {
        super(traffic);
        fill(traffic, weights::put);
    }

    @Override
    protected double weight(String feature) {
        Double weight = weights.get(feature);
        return weight == null ? 0 : weight;
    }
}
