package io.omomi;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/**
 * The numbers of a {@link LiveModel} at one moment. Immutable. Those that are called counts of what happened (requests, candidates,
 * categories, latency, swaps) are since the live model was opened and never go down.
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
    }

    /** Requests that were scored. */
    public long predictionCount() {
        return predictionCount;
    }

    /** Requests that were refused, such as one whose context is malformed. */
    public long failedCount() {
        return failedCount;
    }

    /** Requests that ended in a defect of the library, which was caught. */
    public long panicCount() {
        return panicCount;
    }

    /** Requests while there was no model. */
    public long noModelCount() {
        return noModelCount;
    }

    /** Requests while scoring was switched off. */
    public long offCount() {
        return offCount;
    }

    /** Requests that met another thread in the native scorer; those that a {@link LiveScorer} itself turns away are not among them. */
    public long busyCount() {
        return busyCount;
    }

    /** Candidates that were scored. */
    public long scoredCount() {
        return scoredCount;
    }

    /** Candidates that were malformed. */
    public long refusedCount() {
        return refusedCount;
    }

    /** Candidates that were not reached in time. */
    public long lateCount() {
        return lateCount;
    }

    /** Categories without a weight; crosses do not count. */
    public long unseenCount() {
        return unseenCount;
    }

    /** Fields that the model reads and that had no value. */
    public long missingCount() {
        return missingCount;
    }

    /** Numbers outside the range of their field, which count as missing, too. */
    public long invalidNumberCount() {
        return invalidNumberCount;
    }

    /** Latency buckets: one below each bound, and one for what took longer than all. */
    public int latencyBucketCount() {
        return latencyCounts.length;
    }

    /** The bound of a latency bucket, {@link Long#MAX_VALUE} for the last. */
    public long latencyBoundNanos(int bucket) {
        return bucket == latencyBoundsNanos.length ? Long.MAX_VALUE : latencyBoundsNanos[bucket];
    }

    /** Scored requests that took less than the bound of that bucket and not less than the one before. */
    public long latencyCount(int bucket) {
        return latencyCounts[bucket];
    }

    /** What all scored requests took together. */
    public Duration latencySum() {
        return Duration.ofNanos(latencySumNanos);
    }

    /** Attempts after which a generation was served. */
    public long swapServedCount() {
        return swapServedCount;
    }

    /** Attempts that were given up because people decided otherwise meanwhile. */
    public long swapInterruptedCount() {
        return swapInterruptedCount;
    }

    /** Attempts after which a generation was refused, by the reason; reasons without one are not in the map. */
    public Map<Code, Long> swapRefusedCounts() {
        return swapRefusedCounts;
    }

    /** Generations that were taken out of service, by the reason. */
    public Map<Code, Long> swapWithdrawnCounts() {
        return swapWithdrawnCounts;
    }

    /** As {@link LiveModel#isLive}. */
    public boolean isLive() {
        return isLive;
    }

    /** As {@link LiveModel#isReady}. */
    public boolean isReady() {
        return isReady;
    }

    /** Whether requests get answers. */
    public ServingState state() {
        return state;
    }

    /** The generation that answers, or would if scoring were not switched off. */
    public OptionalLong generation() {
        return generation;
    }

    /** How long ago the data ends that it was trained on, where that is known. */
    public OptionalLong trainingAgeSeconds() {
        return trainingAgeSeconds;
    }

    /** What is not as it should be at present, by code. */
    public Map<Code, Long> reasonCounts() {
        return reasonCounts;
    }

    /** Contents that are not tried again. */
    public long quarantinedCount() {
        return quarantinedCount;
    }

    /** Generations that are no longer served and still in memory. */
    public long retiredCount() {
        return retiredCount;
    }

    /** Bytes of all models in memory. */
    public long mappedBytes() {
        return mappedBytes;
    }

    /** Of these, the bytes that lie in memory now, where the system says. */
    public OptionalLong residentBytes() {
        return residentBytes;
    }

    /** Requests whose categories were counted by field. */
    public long sampledRequestCount() {
        return sampledRequestCount;
    }

    /** The declared fields, those of the context first, with what was counted on sampled requests. */
    public List<SampledField> fields() {
        return fields;
    }

    /** Categories of one field in the requests that were sampled. */
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

        /** The field's name. */
        public String name() {
            return name;
        }

        /** Categories, of all generations. Never goes down. */
        public long categoryCount() {
            return categoryCount;
        }

        /** Of these, the ones without a weight. Never goes down. */
        public long unseenCount() {
            return unseenCount;
        }

        /**
         * Share of the categories without a weight since the served generation is served, 0 to 1; NaN where there was no
         * category. It rises when the two sides drift apart.
         */
        public double unseenRatio() {
            return servedCategoryCount == 0 ? Double.NaN : (double) servedUnseenCount / servedCategoryCount;
        }
    }
}
