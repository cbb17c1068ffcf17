package io.omomi.bench;

import io.omomi.Feature;

/** The type of all fields: there is a weight file for each. */
public enum Kind {
    ID {
        @Override
        long value(long category) {
            return category;
        }
    },
    TEXT {
        @Override
        long value(long category) {
            return Feature.textValue(Weights.text(category));
        }
    };

    /** What a category's feature key is made from. */
    abstract long value(long category);
}
