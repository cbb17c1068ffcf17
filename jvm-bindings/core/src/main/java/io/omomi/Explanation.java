package io.omomi;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** Explains the logit of one candidate: the bias and the weight of each of its features, in the order of summation. */
public final class Explanation {
    private final double logit;
    private final double bias;
    private final List<Part> parts;
    private final Map<String, String> values;

    /**
     * Takes the result of {@link Native#explain}: names, feature keys, weights, and the logit followed by the bias. And
     * the values that were set, by the names of their fields.
     */
    Explanation(Object[] answer, Map<String, String> values) {
        this.values = values;
        String[] names = (String[]) answer[0];
        long[] keys = (long[]) answer[1];
        double[] weights = (double[]) answer[2];
        double[] sums = (double[]) answer[3];
        List<Part> all = new ArrayList<>(names.length);
        for (int i = 0; i < names.length; i++) {
            all.add(new Part(names[i], keys[i], weights[i]));
        }
        parts = Collections.unmodifiableList(all);
        logit = sums[0];
        bias = sums[1];
    }

    /** Returns the logit, bit for bit as predict computes it. */
    public double logit() {
        return logit;
    }

    /** Returns the bias of the model. */
    public double bias() {
        return bias;
    }

    /** Returns the features of the context and of the candidate, and their crosses. */
    public List<Part> parts() {
        return parts;
    }

    /**
     * Returns the values that were set in the request, as texts, by the names of their fields: those of the context,
     * then those of the candidate. A field that was not set is missing. A list is in brackets, and a text that was set
     * by its value is {@code text value} with hexadecimal digits. Values of a prepared candidate are in its set, and
     * not here.
     */
    public Map<String, String> values() {
        return values;
    }

    /** Returns one line for each value that was set, and one for each part, for people. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder("logit ").append(logit);
        for (Map.Entry<String, String> value : values.entrySet()) {
            text.append("\n  ").append(value.getKey()).append(" = ").append(value.getValue());
        }
        text.append("\n  bias ").append(bias);
        for (Part part : parts) {
            text.append("\n  ").append(part);
        }
        return text.toString();
    }

    /** One feature and its contribution to the logit. */
    public static final class Part {
        private final String name;
        private final long featureKey;
        /** NaN for an unseen category. */
        private final double weight;

        Part(String name, long featureKey, double weight) {
            this.name = name;
            this.featureKey = featureKey;
            this.weight = weight;
        }

        /** Returns the field's name, or the names of a cross's members joined by {@code *}. */
        public String name() {
            return name;
        }

        /** Returns the key of the feature in the weight file. */
        public long featureKey() {
            return featureKey;
        }

        /** Returns whether the model has no weight for it. */
        public boolean isUnseen() {
            return Double.isNaN(weight);
        }

        /** Returns its contribution to the logit, or 0 for an unseen category. */
        public double weight() {
            return isUnseen() ? 0 : weight;
        }

        @Override
        public String toString() {
            return name + " " + Long.toHexString(featureKey) + (isUnseen() ? " unseen" : " " + weight);
        }
    }
}
