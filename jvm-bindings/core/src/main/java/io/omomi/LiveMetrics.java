package io.omomi;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/**
 * Metrics of a {@link LiveModel} at one moment. Immutable. Counts of events (requests, candidates, categories, latency,
 * swaps) begin at 0 when the live model is opened, and never decrease.
 */
public final class LiveMetrics {
    private final long predictionCount;
    private final long failedCount;
    private final long panicCount;
    private final long noModelCount;
    private final long offCount;
    private final long busyCount;
    private final long scoredCount;
    private final long refusedCount;
    private final long lateCount;
    private final long unseenCount;
    private final long missingCount;
    private final long invalidNumberCount;
    private final long[] latencyBoundsNanos;
    private final long[] latencyCounts;
    private final long latencySumNanos;
    private final long swapServedCount;
    private final long swapInterruptedCount;
    private final Map<Code, Long> swapRefusedCounts;
    private final Map<Code, Long> swapWithdrawnCounts;
    private final boolean isLive;
    private final boolean isReady;
    private final ServingState state;
    private final OptionalLong generation;
    private final OptionalLong trainingAgeSeconds;
    private final Map<Code, Long> reasonCounts;
    private final long quarantinedCount;
    private final long retiredCount;
    private final long mappedBytes;
    private final OptionalLong residentBytes;
    private final long sampledRequestCount;
    private final List<SampledField> fields;
    private final OptionalLong fallbackCount;

    LiveMetrics(byte[] bytes) {
        Encoded encoded = new Encoded(bytes);
        predictionCount = encoded.number();
        failedCount = encoded.number();
        panicCount = encoded.number();
        noModelCount = encoded.number();
        offCount = encoded.number();
        busyCount = encoded.number();
        scoredCount = encoded.number();
        refusedCount = encoded.number();
        lateCount = encoded.number();
        unseenCount = encoded.number();
        missingCount = encoded.number();
        invalidNumberCount = encoded.number();
        latencyBoundsNanos = encoded.numbers();
        latencyCounts = encoded.numbers();
        latencySumNanos = encoded.number();
        swapServedCount = encoded.number();
        swapInterruptedCount = encoded.number();
        swapRefusedCounts = encoded.codeCounts();
        swapWithdrawnCounts = encoded.codeCounts();
        isLive = encoded.flag();
        isReady = encoded.flag();
        state = ServingState.ofNumber(encoded.small());
        generation = encoded.optional();
        trainingAgeSeconds = encoded.optional();
        reasonCounts = encoded.codeCounts();
        quarantinedCount = encoded.number();
        retiredCount = encoded.number();
        mappedBytes = encoded.number();
        residentBytes = encoded.optional();
        sampledRequestCount = encoded.number();
        List<SampledField> all = new ArrayList<>();
        for (int left = encoded.count(); left > 0; left--) {
            all.add(new SampledField(encoded));
        }
        fields = Collections.unmodifiableList(all);
        fallbackCount = encoded.optional();
    }

    /** Returns the number of scored requests. */
    public long predictionCount() {
        return predictionCount;
    }

    /** Returns the number of refused requests, for example because of a malformed context. */
    public long failedCount() {
        return failedCount;
    }

    /** Returns the number of requests that panicked because of a defect in the library. The panic was caught. */
    public long panicCount() {
        return panicCount;
    }

    /** Returns the number of requests while there was no model. */
    public long noModelCount() {
        return noModelCount;
    }

    /** Returns the number of requests while scoring was switched off. */
    public long offCount() {
        return offCount;
    }

    /**
     * Returns the number of requests that found another thread in the native scorer. Those that a {@link LiveScorer}
     * itself rejects are not counted.
     */
    public long busyCount() {
        return busyCount;
    }

    /** Returns the number of scored candidates. */
    public long scoredCount() {
        return scoredCount;
    }

    /** Returns the number of malformed candidates. */
    public long refusedCount() {
        return refusedCount;
    }

    /** Returns the number of candidates that were not reached in time. */
    public long lateCount() {
        return lateCount;
    }

    /** Returns the number of categories without a weight. Crosses are not counted. */
    public long unseenCount() {
        return unseenCount;
    }

    /** Returns the number of fields that the model reads and that had no value in a request. */
    public long missingCount() {
        return missingCount;
    }

    /** Returns the number of numeric values outside the range of their field. They also count as missing. */
    public long invalidNumberCount() {
        return invalidNumberCount;
    }

    /** Returns the number of latency buckets: one below each bound, and one for requests longer than all bounds. */
    public int latencyBucketCount() {
        return latencyCounts.length;
    }

    /** Returns the bound of a latency bucket in nanoseconds, or {@link Long#MAX_VALUE} for the last. */
    public long latencyBoundNanos(int bucket) {
        return bucket == latencyBoundsNanos.length ? Long.MAX_VALUE : latencyBoundsNanos[bucket];
    }

    /** Returns the number of scored requests below the bound of that bucket and not below the previous bound. */
    public long latencyCount(int bucket) {
        return latencyCounts[bucket];
    }

    /** Returns the total duration of all scored requests. */
    public Duration latencySum() {
        return Duration.ofNanos(latencySumNanos);
    }

    /** Returns the number of attempts after which a generation was served. */
    public long swapServedCount() {
        return swapServedCount;
    }

    /** Returns the number of attempts that ended because of a new decision. */
    public long swapInterruptedCount() {
        return swapInterruptedCount;
    }

    /**
     * Returns the number of attempts after which a generation was refused, by code. Codes with a count of 0 are left
     * out.
     */
    public Map<Code, Long> swapRefusedCounts() {
        return swapRefusedCounts;
    }

    /** Returns the number of served generations that were taken out of service, by code. */
    public Map<Code, Long> swapWithdrawnCounts() {
        return swapWithdrawnCounts;
    }

    /** Returns whether the thread that follows the store works: see {@link LiveModel#isLive}. */
    public boolean isLive() {
        return isLive;
    }

    /** Returns whether requests may be sent here: see {@link LiveModel#isReady}. */
    public boolean isReady() {
        return isReady;
    }

    /** Returns whether requests get answers. */
    public ServingState state() {
        return state;
    }

    /** Returns the generation that answers, or that would answer if scoring were not switched off. */
    public OptionalLong generation() {
        return generation;
    }

    /** Returns the age of the training data of that generation, if known. */
    public OptionalLong trainingAgeSeconds() {
        return trainingAgeSeconds;
    }

    /** Returns the number of current problems, by code. */
    public Map<Code, Long> reasonCounts() {
        return reasonCounts;
    }

    /** Returns the number of contents that are not tried again. */
    public long quarantinedCount() {
        return quarantinedCount;
    }

    /** Returns the number of generations that are no longer served but still in memory. */
    public long retiredCount() {
        return retiredCount;
    }

    /** Returns the total size in bytes of all models in memory. */
    public long mappedBytes() {
        return mappedBytes;
    }

    /** Returns the resident bytes of all models, if the operating system reports them. */
    public OptionalLong residentBytes() {
        return residentBytes;
    }

    /** Returns the number of requests whose categories were counted by field. */
    public long sampledRequestCount() {
        return sampledRequestCount;
    }

    /** Returns the declared fields, context fields first, with their counts in sampled requests. */
    public List<SampledField> fields() {
        return fields;
    }

    /**
     * Returns the number of requests that {@link LiveScorer#predictFallback} answered, if there is a fallback file.
     * They are in no other count.
     */
    public OptionalLong fallbackCount() {
        return fallbackCount;
    }

    /** Gives the most important numbers, for people. */
    @Override
    public String toString() {
        return "LiveMetrics(" + state + ", generation " + (generation.isPresent() ? generation.getAsLong() : "none") + ", "
                + predictionCount + " scored requests, " + failedCount + " refused, " + (noModelCount + offCount)
                + " without a model, reasons " + reasonCounts + ")";
    }

    /** Category counts of one field in sampled requests. */
    public static final class SampledField {
        private final String name;
        private final long categoryCount;
        private final long unseenCount;
        private final long servedCategoryCount;
        private final long servedUnseenCount;

        private SampledField(Encoded encoded) {
            name = encoded.text();
            categoryCount = encoded.number();
            unseenCount = encoded.number();
            servedCategoryCount = encoded.number();
            servedUnseenCount = encoded.number();
        }

        /** Returns the name of the field. */
        public String name() {
            return name;
        }

        /** Returns the number of categories, over all generations. Never decreases. */
        public long categoryCount() {
            return categoryCount;
        }

        /** Returns the number of categories without a weight, over all generations. Never decreases. */
        public long unseenCount() {
            return unseenCount;
        }

        /**
         * Returns the share of categories without a weight since the served generation was swapped in, from 0 to 1, or
         * NaN if there was no category. It rises when the two sides drift apart.
         */
        public double unseenRatio() {
            return servedCategoryCount == 0 ? Double.NaN : (double) servedUnseenCount / servedCategoryCount;
        }
    }
}
