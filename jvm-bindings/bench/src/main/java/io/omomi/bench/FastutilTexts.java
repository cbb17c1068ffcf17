package io.omomi.bench;

import it.unimi.dsi.fastutil.objects.Object2FloatOpenHashMap;
import java.util.HashMap;
import java.util.Map;

/**
 * One fastutil map per field, keyed by the text itself: nothing is concatenated, and a text caches its hash. There is
 * no faster way from a text to a weight on the heap without giving up the text.
 */
final class FastutilTexts extends OnHeap {
    private final Traffic traffic;
    private final Object2FloatOpenHashMap<String>[] context;
    private final Object2FloatOpenHashMap<String>[] candidate;

    FastutilTexts(Traffic traffic) {
        this.traffic = traffic;
        Map<String, Object2FloatOpenHashMap<String>> maps = new HashMap<>();
        Weights.visit(Kind.TEXT, (field, category, key, weight) -> maps.computeIfAbsent(
                        field, name -> new Object2FloatOpenHashMap<>(Math.toIntExact(Weights.knownCategories())))
                .put(Weights.text(category), weight));
        context = inOrder(Weights.CONTEXT, maps);
        candidate = inOrder(Weights.CANDIDATE, maps);
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Object2FloatOpenHashMap<String>[] inOrder(
            String[] fields, Map<String, Object2FloatOpenHashMap<String>> maps) {
        Object2FloatOpenHashMap<String>[] found = new Object2FloatOpenHashMap[fields.length];
        for (int i = 0; i < fields.length; i++) {
            found[i] = maps.get(fields[i]);
        }
        return found;
    }

    @Override
    protected double contextSum(int request) {
        return sum(context, traffic.contextTexts(request), 0);
    }

    @Override
    protected double candidateSum(int request, int number) {
        return sum(candidate, traffic.candidateTexts(request), number * Weights.FIELDS);
    }

    private static double sum(Object2FloatOpenHashMap<String>[] maps, String[] texts, int first) {
        double sum = 0;
        for (int i = 0; i < Weights.FIELDS; i++) {
            sum += maps[i].getFloat(texts[first + i]);
        }
        return sum;
    }
}
