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
     * Takes the result of {@link Native#explain}: names, feature keys, weights, the logit followed by the bias, and the
     * sources of the weights. And the values that were set, by the names of their fields.
     */
    Explanation(Object[] answer, Map<String, String> values) {
        this.values = values;
        String[] names = (String[]) answer[0];
        long[] keys = (long[]) answer[1];
        double[] weights = (double[]) answer[2];
        double[] sums = (double[]) answer[3];
        long[] sources = (long[]) answer[4];
        List<Part> all = new ArrayList<>(names.length);
        for (int i = 0; i < names.length; i++) {
            all.add(new Part(names[i], keys[i], weights[i], sources[i]));
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
        private final double weight;
        private final long source;

        /** Sources of a weight, as the library numbers them. Otherwise the file has it for the category. */
        private static final long UNSEEN = 0;
        private static final long MISSING = 2;

        Part(String name, long featureKey, double weight, long source) {
            this.name = name;
            this.featureKey = featureKey;
            this.weight = weight;
            this.source = source;
        }

        /** Returns the field's name, or the names of a cross's members joined by {@code *}. */
        public String name() {
            return name;
        }

        /** Returns the key of the feature in the weight file, or 0 for a field without a value. */
        public long featureKey() {
            return featureKey;
        }

        /** Returns whether it is a category for which the model has no weight of its own. */
        public boolean isUnseen() {
            return source == UNSEEN;
        }

        /** Returns whether the field has no value. Such parts exist only if the file has default weights. */
        public boolean isMissing() {
            return source == MISSING;
        }

        /** Returns its contribution to the logit. An unseen category adds 0, unless the file has default weights. */
        public double weight() {
            return weight;
        }

        @Override
        public String toString() {
            String what = isMissing() ? "without a value" : Long.toHexString(featureKey);
            return name + " " + what + " " + weight + (isUnseen() ? " (unseen)" : "");
        }
    }
}
