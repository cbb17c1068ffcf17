package io.omomi.bench;

import it.unimi.dsi.fastutil.longs.Long2FloatOpenHashMap;

/** fastutil's map from long to float: no boxes, no texts, one array of keys and one of weights. */
final class FastutilKeys extends KeyedFeatures {
    private final Long2FloatOpenHashMap weights = new Long2FloatOpenHashMap(Weights.count());

    FastutilKeys(Traffic traffic) {
        super(traffic);
        Weights.visit(Kind.ID, (field, category, key, weight) -> weights.put(key, weight));
    }

    @Override
    float weight(long key) {
        return weights.get(key);
    }
}
