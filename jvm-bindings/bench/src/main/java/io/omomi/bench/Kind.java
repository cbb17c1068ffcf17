package io.omomi.bench;

import io.omomi.Feature;

/** The type of all fields. There is one weight file for each. */
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

    /** Returns the value from which a category's feature key is computed. */
    abstract long value(long category);
}
