package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;

/**
 * Options of a {@link ServingLog}. Immutable. Options that can never work are rejected when a log is opened.
 *
 * <pre>{@code
 * LogOptions options = LogOptions.builder().name("ad-server-1").ringLenBytes(16L << 20).build();
 * }</pre>
 */
public final class LogOptions {
    private static final int NUMBERS_LEN = 3 * Integer.BYTES + 6 * Long.BYTES + 1;

    /** In the form that the native library reads: see {@code decode_log_options} there. */
    private final byte[] encoded;
    private final String description;

    private LogOptions(byte[] encoded, String description) {
        this.encoded = encoded;
        this.description = description;
    }

    /** Returns a builder with the default values. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns the default options. */
    public static LogOptions defaults() {
        return builder().build();
    }

    byte[] encoded() {
        return encoded;
    }

    /** Lists all options, for people. */
    @Override
    public String toString() {
        return "LogOptions(" + description + ")";
    }

    /** Changes options that differ from the defaults. For one thread. */
    public static final class Builder {
        // A test of the native library compares these values with its own defaults.
        private String name = "server";
        private int predictionsPerMillion = 1_000_000;
        private int detailsPerMillion = 1_000;
        private long salt = 0;
        private long ringLenBytes = 1L << 20;
        private int fallbacksPerSecond = 100;
        private long maxSegmentLenBytes = 64L << 20;
        private Duration maxSegmentAge = Duration.ofMillis(60_000);
        private long maxTotalLenBytes = 10L << 30;
        private Duration flushInterval = Duration.ofMillis(100);
        private boolean sync = false;

        private Builder() {}

        /** Sets the name of this server, at most 64 bytes of UTF-8, in the header of each segment. */
        public Builder name(String name) {
            this.name = given(name, "name");
            return this;
        }

        /** Sets how many requests in a million have their predictions logged: all of them by default. */
        public Builder predictionsPerMillion(int predictionsPerMillion) {
            this.predictionsPerMillion = predictionsPerMillion;
            return this;
        }

        /** Sets how many requests in a million have their details logged: 1,000 by default. */
        public Builder detailsPerMillion(int detailsPerMillion) {
            this.detailsPerMillion = detailsPerMillion;
            return this;
        }

        /** Sets the salt of the samples. Services with one salt choose the same requests. */
        public Builder salt(long salt) {
            this.salt = salt;
            return this;
        }

        /**
         * Sets the size of each ring, 4 KiB to 1 GiB, rounded up to a power of two: what a thread can record while the
         * writer is busy. The memory is outside the heap and counts against no limit of the JVM.
         */
        public Builder ringLenBytes(long ringLenBytes) {
            this.ringLenBytes = ringLenBytes;
            return this;
        }

        /** Sets how many records of a ring per second may have another source than the model. */
        public Builder fallbacksPerSecond(int fallbacksPerSecond) {
            this.fallbacksPerSecond = fallbacksPerSecond;
            return this;
        }

        /** Sets the length at which a segment is sealed, 4 KiB to 1 GiB. */
        public Builder maxSegmentLenBytes(long maxSegmentLenBytes) {
            this.maxSegmentLenBytes = maxSegmentLenBytes;
            return this;
        }

        /** Sets the age at which a segment is sealed, above 0. */
        public Builder maxSegmentAge(Duration maxSegmentAge) {
            this.maxSegmentAge = given(maxSegmentAge, "maxSegmentAge");
            return this;
        }

        /**
         * Sets the maximum total length of all segments in the folder, at least two segments. Where it would be
         * exceeded, the oldest sealed segments are deleted, and counted.
         */
        public Builder maxTotalLenBytes(long maxTotalLenBytes) {
            this.maxTotalLenBytes = maxTotalLenBytes;
            return this;
        }

        /** Sets how long a record may wait in memory before its block is written. */
        public Builder flushInterval(Duration flushInterval) {
            this.flushInterval = given(flushInterval, "flushInterval");
            return this;
        }

        /**
         * Sets whether a segment is made durable ({@code fsync}) before it is sealed. Without it, a power failure can
         * take what was written in the last seconds; the end of the process never does.
         */
        public Builder sync(boolean sync) {
            this.sync = sync;
            return this;
        }

        /**
         * Builds the options.
         *
         * @throws OmomiException with {@link Code#NOT_UTF8} for a name with an unpaired surrogate
         */
        public LogOptions build() {
            byte[] text = Utf8.strict(name, "the name");
            ByteBuffer bytes = ByteBuffer.allocate(NUMBERS_LEN + text.length).order(ByteOrder.LITTLE_ENDIAN);
            bytes.putInt(predictionsPerMillion).putInt(detailsPerMillion).putInt(fallbacksPerSecond);
            bytes.putLong(salt).putLong(ringLenBytes).putLong(maxSegmentLenBytes).putLong(maxTotalLenBytes);
            bytes.putLong(LiveOptions.nanos(maxSegmentAge)).putLong(LiveOptions.nanos(flushInterval));
            return new LogOptions(bytes.put((byte) (sync ? 1 : 0)).put(text).array(), description());
        }

        private String description() {
            return "name " + name + ", predictionsPerMillion " + predictionsPerMillion + ", detailsPerMillion "
                    + detailsPerMillion + ", salt " + Long.toUnsignedString(salt) + ", ringLenBytes " + ringLenBytes
                    + ", fallbacksPerSecond " + fallbacksPerSecond + ", maxSegmentLenBytes " + maxSegmentLenBytes
                    + ", maxSegmentAge " + maxSegmentAge + ", maxTotalLenBytes " + maxTotalLenBytes + ", flushInterval "
                    + flushInterval + ", sync " + sync;
        }

        private static <T> T given(T value, String argument) {
            if (value == null) {
                throw OmomiException.nullArgument(argument);
            }
            return value;
        }
    }
}
