package io.omomi;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/** Status of a {@link LiveModel} at its last look. Immutable. */
public final class LiveStatus {
    private final ServingState state;
    private final String control;
    private final @Nullable Served served;
    private final long retiredCount;
    private final long mappedBytes;
    private final OptionalLong residentBytes;
    private final List<Reason> reasons;
    private final long quarantinedCount;
    private final Instant heartbeat;
    private final String json;

    LiveStatus(byte[] bytes) {
        Encoded encoded = new Encoded(bytes);
        state = ServingState.ofNumber(encoded.small());
        control = encoded.text();
        served = encoded.flag() ? new Served(encoded) : null;
        retiredCount = encoded.number();
        mappedBytes = encoded.number();
        residentBytes = encoded.optional();
        reasons = Reason.all(encoded);
        quarantinedCount = encoded.number();
        heartbeat = Instant.ofEpochSecond(encoded.number());
        json = encoded.text();
    }

    /** Returns whether requests get answers. */
    public ServingState state() {
        return state;
    }

    /**
     * Returns the last valid decision that this process read: {@code follow}, {@code freeze}, {@code off} or {@code pin
     * 000041}.
     */
    public String control() {
        return control;
    }

    /** Returns the generation that answers, or that would answer if scoring were not switched off. */
    public Optional<Served> served() {
        return Optional.ofNullable(served);
    }

    /**
     * Returns the number of generations that are no longer served but still in memory, because a reader still uses them
     * or a trial is not over.
     */
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

    /** Returns the current problems, each with who must act. */
    public List<Reason> reasons() {
        return reasons;
    }

    /** Returns the number of contents that are not tried again. */
    public long quarantinedCount() {
        return quarantinedCount;
    }

    /** Returns when this status was valid. */
    public Instant heartbeat() {
        return heartbeat;
    }

    /**
     * Returns the full status as a JSON object, which also has the attempts with the duration of each stage, and the
     * quarantine with its reasons.
     */
    public String json() {
        return json;
    }

    @Override
    public String toString() {
        return json;
    }

    /** The file may have any number, and not every number is a valid instant. */
    private static Instant instant(long unixSeconds) {
        long rangeMin = Instant.MIN.getEpochSecond();
        return Instant.ofEpochSecond(Math.max(rangeMin, Math.min(Instant.MAX.getEpochSecond(), unixSeconds)));
    }

    /** The generation that answers. */
    public static final class Served {
        private final long generation;
        private final String digest;
        private final String logicId;
        private final long contractFingerprint;
        private final long weightCount;
        private final long fileLenBytes;
        private final LoadMode loadMode;
        private final boolean isOnTrial;
        private final Instant since;
        private final @Nullable Instant trainingEnd;

        private Served(Encoded encoded) {
            generation = encoded.number();
            digest = encoded.text();
            logicId = encoded.text();
            contractFingerprint = encoded.number();
            weightCount = encoded.number();
            fileLenBytes = encoded.number();
            loadMode = encoded.small() == 0 ? LoadMode.MAP : LoadMode.COPY;
            isOnTrial = encoded.flag();
            since = Instant.ofEpochSecond(encoded.number());
            OptionalLong end = encoded.optional();
            trainingEnd = end.isPresent() ? instant(end.getAsLong()) : null;
        }

        /** Returns its number. */
        public long generation() {
            return generation;
        }

        /** Returns the SHA-256 of its file, in hexadecimal digits. */
        public String digest() {
            return digest;
        }

        /** Returns its logic id. */
        public String logicId() {
            return logicId;
        }

        /** Returns the fingerprint of its contract. */
        public long contractFingerprint() {
            return contractFingerprint;
        }

        /** Returns the number of its weights, the bias excluded. */
        public long weightCount() {
            return weightCount;
        }

        /** Returns the length of its file in bytes. */
        public long fileLenBytes() {
            return fileLenBytes;
        }

        /** Returns how its bytes are in memory. A mapped file that was changed in place becomes a copy. */
        public LoadMode loadMode() {
            return loadMode;
        }

        /** Returns whether it is still on trial. */
        public boolean isOnTrial() {
            return isOnTrial;
        }

        /** Returns when it began to answer. */
        public Instant since() {
            return since;
        }

        /** Returns the end of its training data, if its provenance says so. */
        public Optional<Instant> trainingEnd() {
            return Optional.ofNullable(trainingEnd);
        }

        /** Names the generation, its logic and its file, for people. */
        @Override
        public String toString() {
            return "generation " + generation + " of " + logicId + " since " + since + (isOnTrial ? ", on trial" : "")
                    + ", " + loadMode + ", sha256 " + digest;
        }
    }

    /** A problem, and who must act. */
    public static final class Reason {
        private final Code code;
        private final String text;

        private Reason(Encoded encoded) {
            code = encoded.code();
            text = encoded.text();
        }

        /** Reads a reason that may be absent. */
        static @Nullable Reason optional(Encoded encoded) {
            return encoded.flag() ? new Reason(encoded) : null;
        }

        /** Reads a list of reasons. */
        static List<Reason> all(Encoded encoded) {
            List<Reason> all = new ArrayList<>();
            for (int left = encoded.count(); left > 0; left--) {
                all.add(new Reason(encoded));
            }
            return Collections.unmodifiableList(all);
        }

        /** Returns its code. */
        public Code code() {
            return code;
        }

        /** Returns who must act. */
        public Owner owner() {
            return code.owner();
        }

        /** Returns what was expected, what was found, and what to do. */
        public String text() {
            return text;
        }

        @Override
        public String toString() {
            return code.codeName() + " (" + owner().word() + "): " + text;
        }
    }
}
