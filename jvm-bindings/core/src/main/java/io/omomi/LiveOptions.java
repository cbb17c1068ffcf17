package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Options of a {@link LiveModel}. Immutable. The defaults suit a server that trusts its disk. Options that can never
 * work are rejected when a live model is opened.
 *
 * <pre>{@code
 * LiveOptions options = LiveOptions.builder().name("ad-server-1").loadMode(LoadMode.COPY).build();
 * }</pre>
 */
public final class LiveOptions {
    private static final int NUMBERS_LEN = 6 * Integer.BYTES + 7 * Long.BYTES + 3;

    /** In the form that the native library reads: see {@code decode_live_options} there. */
    private final byte[] encoded;
    private final String description;

    private LiveOptions(byte[] encoded, String description) {
        this.encoded = encoded;
        this.description = description;
    }

    /** Returns a builder with the default values. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns the default options. */
    public static LiveOptions defaults() {
        return builder().build();
    }

    /** Durations of centuries are clamped, which makes no difference. */
    static long nanos(Duration duration) {
        try {
            return duration.toNanos();
        } catch (ArithmeticException beyond) {
            return duration.isNegative() ? -1 : Long.MAX_VALUE;
        }
    }

    byte[] encoded() {
        return encoded;
    }

    /** Lists all options, for people. */
    @Override
    public String toString() {
        return "LiveOptions(" + description + ")";
    }

    /** Changes options that differ from the defaults. For one thread. */
    public static final class Builder {
        // A test of the native library compares these values with its own defaults.
        private String name = "server";
        private LoadMode loadMode = LoadMode.AUTO;
        private Duration pollInterval = Duration.ofMillis(1_000);
        private Duration trial = Duration.ofMillis(30_000);
        private int maxDeaths = 1;
        private Duration retryAfterDeath = Duration.ofMillis(600_000);
        private long maxFileLenBytes = Long.MAX_VALUE;
        private long memoryBudgetBytes = Long.MAX_VALUE;
        private long minGeneration = 0;
        private SignaturePolicy signature = SignaturePolicy.OFF;
        private boolean allowWritableFiles = false;
        private boolean lockMemory = false;
        private boolean hasFallback = false;
        private long[] contractFingerprints = new long[0];
        private Path[] trustedKeys = new Path[0];
        /** Null for no limit. */
        private @Nullable Duration maxTrainingAge;
        private @Nullable Path fallbackFile;

        private Builder() {}

        /**
         * Sets the name of this serving process, unique among the processes that share the store. Its journal,
         * quarantine and report are in {@code state/<name>}. Letters, digits, {@code -}, {@code _} and {@code .}; the
         * first character is not {@code .}.
         */
        public Builder name(String name) {
            this.name = given(name, "name");
            return this;
        }

        /** Sets how weight files are brought into memory. */
        public Builder loadMode(LoadMode loadMode) {
            this.loadMode = given(loadMode, "loadMode");
            return this;
        }

        /** Sets the interval between looks at the store. Each wait is up to a fifth longer or shorter. */
        public Builder pollInterval(Duration pollInterval) {
            this.pollInterval = given(pollInterval, "pollInterval");
            return this;
        }

        /**
         * Sets how long a new generation is on trial. Meanwhile the last good one stays in memory, and takes over
         * immediately if scoring panics.
         */
        public Builder trial(Duration trial) {
            this.trial = given(trial, "trial");
            return this;
        }

        /**
         * Sets the maximum number of process deaths during trials of one generation. One more puts the generation into
         * quarantine.
         */
        public Builder maxDeaths(int maxDeaths) {
            this.maxDeaths = maxDeaths;
            return this;
        }

        /**
         * Sets how long after its start a process waits before it retries a generation whose trial the previous process
         * did not survive.
         */
        public Builder retryAfterDeath(Duration retryAfterDeath) {
            this.retryAfterDeath = given(retryAfterDeath, "retryAfterDeath");
            return this;
        }

        /** Sets the maximum length of a weight file in bytes. */
        public Builder maxFileLenBytes(long maxFileLenBytes) {
            this.maxFileLenBytes = maxFileLenBytes;
            return this;
        }

        /** Sets the maximum total size in bytes of all models in memory, including the one to load. */
        public Builder memoryBudgetBytes(long memoryBudgetBytes) {
            this.memoryBudgetBytes = memoryBudgetBytes;
            return this;
        }

        /** Sets the minimum generation that is served, even by a pin. */
        public Builder minGeneration(long minGeneration) {
            this.minGeneration = minGeneration;
            return this;
        }

        /**
         * Sets the fingerprints of the contracts that are accepted. If there are none, every contract that binds is
         * accepted.
         */
        public Builder contractFingerprints(long... contractFingerprints) {
            this.contractFingerprints = given(contractFingerprints, "contractFingerprints").clone();
            return this;
        }

        /** Sets how signatures are checked before a weight file is served. */
        public Builder signature(SignaturePolicy signature) {
            this.signature = given(signature, "signature");
            return this;
        }

        /**
         * Sets the files with trusted public keys, as {@code omomi keygen} creates them; two while one key replaces
         * another. They are read when a live model is opened.
         */
        public Builder trustedKeys(Path... trustedKeys) {
            this.trustedKeys = given(trustedKeys, "trustedKeys").clone();
            for (Path key : this.trustedKeys) {
                given(key, "an element of trustedKeys");
            }
            return this;
        }

        /**
         * Sets the maximum age of the training data, above 0. Older data adds a reason; serving continues. No limit by
         * default.
         */
        public Builder maxTrainingAge(Duration maxTrainingAge) {
            this.maxTrainingAge = given(maxTrainingAge, "maxTrainingAge");
            return this;
        }

        /** Sets whether to serve files that their group or everybody may write. */
        public Builder allowWritableFiles(boolean allowWritableFiles) {
            this.allowWritableFiles = allowWritableFiles;
            return this;
        }

        /**
         * Sets whether to lock the pages of the served file in memory. If the operating system refuses, serving
         * continues and a reason is added.
         */
        public Builder lockMemory(boolean lockMemory) {
            this.lockMemory = lockMemory;
            return this;
        }

        /** Sets whether the server has its own answer when there is no model. It then counts as ready without one. */
        public Builder hasFallback(boolean hasFallback) {
            this.hasFallback = hasFallback;
            return this;
        }

        /**
         * Sets the weight file with which {@link LiveScorer#predictFallback} answers, such as one of {@code omomi
         * baseline}. It is loaded and verified when a live model is opened, and stays in memory unchanged: neither the
         * store nor an order concerns it. A server with it counts as ready without a model. None by default.
         */
        public Builder fallbackFile(Path fallbackFile) {
            this.fallbackFile = given(fallbackFile, "fallbackFile");
            return this;
        }

        /**
         * Builds the options.
         *
         * @throws OmomiException with {@link Code#NOT_UTF8} for a name with an unpaired surrogate, and {@link
         *     Code#INVALID_ARGUMENT} for a key or a fallback file in another file system than the default one
         */
        public LiveOptions build() {
            byte[] text = Utf8.strict(name, "the name");
            byte[] fallback = fallbackFile == null ? new byte[0] : PathBytes.of(fallbackFile, "fallbackFile");
            byte[][] paths = new byte[trustedKeys.length][];
            int len = NUMBERS_LEN + contractFingerprints.length * Long.BYTES + fallback.length + text.length;
            for (int i = 0; i < paths.length; i++) {
                paths[i] = PathBytes.of(trustedKeys[i], "an element of trustedKeys");
                len += Integer.BYTES + paths[i].length;
            }
            ByteBuffer bytes = ByteBuffer.allocate(len).order(ByteOrder.LITTLE_ENDIAN);
            bytes.putInt(loadMode.ordinal()).putInt(signature.ordinal()).putInt(maxDeaths);
            bytes.putLong(nanos(pollInterval)).putLong(nanos(trial)).putLong(nanos(retryAfterDeath));
            bytes.putLong(maxTrainingAge == null ? 0 : nanos(maxTrainingAge));
            bytes.putLong(maxFileLenBytes).putLong(memoryBudgetBytes).putLong(minGeneration);
            for (boolean flag : new boolean[] {allowWritableFiles, lockMemory, hasFallback}) {
                bytes.put((byte) (flag ? 1 : 0));
            }
            bytes.putInt(contractFingerprints.length);
            for (long fingerprint : contractFingerprints) {
                bytes.putLong(fingerprint);
            }
            bytes.putInt(paths.length);
            for (byte[] path : paths) {
                bytes.putInt(path.length).put(path);
            }
            bytes.putInt(fallback.length).put(fallback);
            return new LiveOptions(bytes.put(text).array(), description());
        }

        private String description() {
            return "name " + name + ", loadMode " + loadMode + ", pollInterval " + pollInterval + ", trial " + trial
                    + ", maxDeaths " + maxDeaths + ", retryAfterDeath " + retryAfterDeath + ", maxFileLenBytes "
                    + limit(maxFileLenBytes) + ", memoryBudgetBytes " + limit(memoryBudgetBytes) + ", minGeneration "
                    + minGeneration + ", contractFingerprints " + Arrays.toString(contractFingerprints) + ", signature "
                    + signature + ", trustedKeys " + Arrays.toString(trustedKeys) + ", allowWritableFiles "
                    + allowWritableFiles + ", maxTrainingAge " + (maxTrainingAge == null ? "none" : maxTrainingAge)
                    + ", lockMemory " + lockMemory + ", hasFallback " + hasFallback + ", fallbackFile "
                    + (fallbackFile == null ? "none" : fallbackFile);
        }

        private static String limit(long bytes) {
            return bytes == Long.MAX_VALUE ? "none" : Long.toString(bytes);
        }

        private static <T> T given(T value, String argument) {
            if (value == null) {
                throw OmomiException.nullArgument(argument);
            }
            return value;
        }

    }
}
