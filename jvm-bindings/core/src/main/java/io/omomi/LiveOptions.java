package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;

/**
 * How a server wants its models served: what it accepts, and how patient it is. Immutable. The defaults are fit for a server
 * that trusts its disk. What would never work is refused when a {@link LiveModel} is opened.
 *
 * <pre>{@code
 * LiveOptions options = LiveOptions.builder().name("ad-server-1").loadMode(LoadMode.COPY).build();
 * }</pre>
 */
public final class LiveOptions {
    private static final int NUMBERS_LEN = 5 * Integer.BYTES + 7 * Long.BYTES + 3;

    /** As the native library reads them: see {@code decode_live_options} there. */
    private final byte[] encoded;

    private LiveOptions(byte[] encoded) {
        this.encoded = encoded;
    }

    /** Options that begin with the defaults. */
    public static Builder builder() {
        return new Builder();
    }

    /** The defaults. */
    public static LiveOptions defaults() {
        return builder().build();
    }

    byte[] encoded() {
        return encoded;
    }

    /** Changes what differs from the defaults. For one thread. */
    public static final class Builder {
        // A test of the native library reads these and holds them against its own.
        private String name = "server";
        private LoadMode loadMode = LoadMode.MAP;
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
        private Duration maxTrainingAge;

        private Builder() {}

        /**
         * Name of this serving process among those that share the store: its journal, quarantine and report lie in {@code
         * state/<name>}. Letters, digits, {@code -}, {@code _} and {@code .}, and another one for each process.
         */
        public Builder name(String name) {
            this.name = given(name, "name");
            return this;
        }

        /** How weight files come into memory. */
        public Builder loadMode(LoadMode loadMode) {
            this.loadMode = given(loadMode, "loadMode");
            return this;
        }

        /** How often the store is looked at; each wait is up to a fifth longer or shorter. */
        public Builder pollInterval(Duration pollInterval) {
            this.pollInterval = given(pollInterval, "pollInterval");
            return this;
        }

        /**
         * How long a new generation is on trial. The last good one stays in memory meanwhile, and takes over at once if scoring
         * panics.
         */
        public Builder trial(Duration trial) {
            this.trial = given(trial, "trial");
            return this;
        }

        /**
         * Deaths of the process during trials of one generation that are put down to chance; one more, and it goes into
         * quarantine.
         */
        public Builder maxDeaths(int maxDeaths) {
            this.maxDeaths = maxDeaths;
            return this;
        }

        /** How long after a start a generation whose trial the last process did not survive is tried once more. */
        public Builder retryAfterDeath(Duration retryAfterDeath) {
            this.retryAfterDeath = given(retryAfterDeath, "retryAfterDeath");
            return this;
        }

        /** Most bytes of a weight file. */
        public Builder maxFileLenBytes(long maxFileLenBytes) {
            this.maxFileLenBytes = maxFileLenBytes;
            return this;
        }

        /** Most bytes of all models in memory together, the one to load included. */
        public Builder memoryBudgetBytes(long memoryBudgetBytes) {
            this.memoryBudgetBytes = memoryBudgetBytes;
            return this;
        }

        /** No generation below this one is served, not even by a pin. */
        public Builder minGeneration(long minGeneration) {
            this.minGeneration = minGeneration;
            return this;
        }

        /** Fingerprints of the contracts that are served; any contract that binds if there are none. */
        public Builder contractFingerprints(long... contractFingerprints) {
            this.contractFingerprints = given(contractFingerprints, "contractFingerprints").clone();
            return this;
        }

        /** What signatures have to do with whether a weight file is served. */
        public Builder signature(SignaturePolicy signature) {
            this.signature = given(signature, "signature");
            return this;
        }

        /**
         * Files with the public keys whose signatures count, as {@code omomi keygen} makes them; two while one takes the place of
         * the other. They are read when a live model is opened.
         */
        public Builder trustedKeys(Path... trustedKeys) {
            this.trustedKeys = given(trustedKeys, "trustedKeys").clone();
            for (Path key : this.trustedKeys) {
                given(key, "an element of trustedKeys");
            }
            return this;
        }

        /** The age of the training data, above 0, from which on a reason says that it is stale; serving goes on. No limit by default. */
        public Builder maxTrainingAge(Duration maxTrainingAge) {
            this.maxTrainingAge = given(maxTrainingAge, "maxTrainingAge");
            return this;
        }

        /** Whether to serve files that their group or everybody may write, too. */
        public Builder allowWritableFiles(boolean allowWritableFiles) {
            this.allowWritableFiles = allowWritableFiles;
            return this;
        }

        /** Whether to keep the served file's pages in memory. Where the system refuses, serving goes on and a reason says so. */
        public Builder lockMemory(boolean lockMemory) {
            this.lockMemory = lockMemory;
            return this;
        }

        /** Whether the server answers by itself where there is no model; then it is ready without one. */
        public Builder hasFallback(boolean hasFallback) {
            this.hasFallback = hasFallback;
            return this;
        }

        /**
         * The options.
         *
         * @throws OmomiException with {@link Code#NOT_UTF8} for a name with an unpaired surrogate
         */
        public LiveOptions build() {
            byte[] text = Utf8.strict(name, "the name");
            byte[][] paths = new byte[trustedKeys.length][];
            int len = NUMBERS_LEN + contractFingerprints.length * Long.BYTES + text.length;
            for (int i = 0; i < paths.length; i++) {
                paths[i] = Utf8.strict(trustedKeys[i].toString(), "the path of a key");
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
            return new LiveOptions(bytes.put(text).array());
        }

        private static <T> T given(T value, String argument) {
            if (value == null) {
                throw OmomiException.nullArgument(argument);
            }
            return value;
        }

        /** Centuries are as good as for ever. */
        private static long nanos(Duration duration) {
            try {
                return duration.toNanos();
            } catch (ArithmeticException beyond) {
                return duration.isNegative() ? -1 : Long.MAX_VALUE;
            }
        }
    }
}
