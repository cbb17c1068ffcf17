package io.omomi.bench;

import java.util.HashMap;
import java.util.Map;

/**
 * {@code java.util.HashMap<String, Double>} with every {@code field=value} of the traffic created beforehand, outside
 * the measured time, and its hash cached in the text. Shows the cost of the map alone.
 */
final class JavaHashMapReady extends OnHeap {
    private final Map<String, Double> weights = new HashMap<>();
    private final String[][] context = new String[Traffic.REQUESTS][];
    private final String[][] candidates = new String[Traffic.REQUESTS][];

    JavaHashMapReady(Traffic traffic) {
        Weights.visit(Kind.ID, (field, category, key, weight) -> weights.put(field + "=" + category, (double) weight));
        Map<String, String> names = new HashMap<>();
        for (int request = 0; request < Traffic.REQUESTS; request++) {
            context[request] = named(Weights.CONTEXT, traffic.context(request), names);
            candidates[request] = named(Weights.CANDIDATE, traffic.candidates(request), names);
        }
    }

    private static String[] named(String[] fields, long[] ids, Map<String, String> names) {
        String[] features = new String[ids.length];
        for (int i = 0; i < ids.length; i++) {
            features[i] = names.computeIfAbsent(fields[i % fields.length] + "=" + ids[i], name -> name);
        }
        return features;
    }

    @Override
    protected double contextSum(int request) {
        return sum(context[request], 0);
    }

    @Override
    protected double candidateSum(int request, int candidate) {
        return sum(candidates[request], candidate * Weights.FIELDS);
    }

    private double sum(String[] features, int first) {
        double sum = 0;
        for (int i = 0; i < Weights.FIELDS; i++) {
            Double weight = weights.get(features[first + i]);
            sum += weight == null ? 0 : weight;
        }
        return sum;
    }
}
