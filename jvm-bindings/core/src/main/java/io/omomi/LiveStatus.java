package io.omomi;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/** What a {@link LiveModel} says of itself, as it was at the last look. Immutable. */
public final class LiveStatus {
    private final ServingState state;
    private final String control;
    private final Served served;
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
        List<Reason> all = new ArrayList<>();
        for (int left = encoded.count(); left > 0; left--) {
            all.add(new Reason(encoded));
        }
        reasons = Collections.unmodifiableList(all);
        quarantinedCount = encoded.number();
        heartbeat = Instant.ofEpochSecond(encoded.number());
        json = encoded.text();
    }

    /** Whether requests get answers. */
    public ServingState state() {
        return state;
    }

    /** What people decided, as this process understood it last: {@code follow}, {@code freeze}, {@code off} or {@code pin 000041}. */
    public String control() {
        return control;
    }

    /** The generation that answers, or would if scoring were not switched off. */
    public Optional<Served> served() {
        return Optional.ofNullable(served);
    }

    /** Generations that are no longer served and still in memory, because a reader is not gone or a trial not over. */
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

    /** What is not as it should be, and who must act. */
    public List<Reason> reasons() {
        return reasons;
    }

    /** Contents that are not tried again. */
    public long quarantinedCount() {
        return quarantinedCount;
    }

    /** When all of this was so. */
    public Instant heartbeat() {
        return heartbeat;
    }

    /** All of it and more as a JSON object: attempts with what each step took, what is in quarantine and why. */
    public String json() {
        return json;
    }

    @Override
    public String toString() {
        return json;
    }

    /** The file's word is any number, of which not every one is an instant. */
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
        private final Instant trainingEnd;

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

        /** Its number. */
        public long generation() {
            return generation;
        }

        /** SHA-256 of its file, in hexadecimal digits. */
        public String digest() {
            return digest;
        }

        /** The name of the serving logic. */
        public String logicId() {
            return logicId;
        }

        /** Fingerprint of its contract. */
        public long contractFingerprint() {
            return contractFingerprint;
        }

        /** How many weights it has. */
        public long weightCount() {
            return weightCount;
        }

        /** Length of its file in bytes. */
        public long fileLenBytes() {
            return fileLenBytes;
        }

        /** How its bytes are in memory; a mapped file that was changed in place becomes a copy. */
        public LoadMode loadMode() {
            return loadMode;
        }

        /** Whether it is still on trial. */
        public boolean isOnTrial() {
            return isOnTrial;
        }

        /** Since when it answers. */
        public Instant since() {
            return since;
        }

        /** The end of the data that it was trained on, where it says so. */
        public Optional<Instant> trainingEnd() {
            return Optional.ofNullable(trainingEnd);
        }
    }

    /** Something that is not as it should be. */
    public static final class Reason {
        private final Code code;
        private final String text;

        private Reason(Encoded encoded) {
            code = encoded.code();
            text = encoded.text();
        }

        /** What it is. */
        public Code code() {
            return code;
        }

        /** Who must act. */
        public Owner owner() {
            return code.owner();
        }

        /** What was expected, what was found, what to do. */
        public String text() {
            return text;
        }

        @Override
        public String toString() {
            return code.codeName() + " (" + owner().word() + "): " + text;
        }
    }
}
