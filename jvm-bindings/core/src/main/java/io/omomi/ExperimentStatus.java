package io.omomi;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/** Status of a {@link LiveExperiment} at one moment, in this process. Immutable. */
public final class ExperimentStatus {
    private final String experiment;
    private final long version;
    private final LiveStatus.@Nullable Reason problem;
    private final LiveStatus.@Nullable Reason memoryProblem;
    private final long withoutUnitCount;
    private final long unreadyCount;
    private final List<Arm> arms;
    private final String json;

    ExperimentStatus(byte[] bytes) {
        Encoded encoded = new Encoded(bytes);
        experiment = encoded.text();
        version = encoded.number();
        problem = LiveStatus.Reason.optional(encoded);
        memoryProblem = LiveStatus.Reason.optional(encoded);
        withoutUnitCount = encoded.number();
        unreadyCount = encoded.number();
        List<Arm> all = new ArrayList<>();
        for (int left = encoded.count(); left > 0; left--) {
            all.add(new Arm(encoded));
        }
        arms = Collections.unmodifiableList(all);
        json = encoded.text();
    }

    /** Returns the name of the experiment. Empty if no good file was ever read. */
    public String experiment() {
        return experiment;
    }

    /** Returns the version of the file that is in force, or 0 if no good file was ever read. */
    public long version() {
        return version;
    }

    /** Returns why the last look at the file found none that can be used. The last good one stays in force. */
    public Optional<LiveStatus.Reason> problem() {
        return Optional.ofNullable(problem);
    }

    /** Returns why what was read is not kept for the next start, if it is not. */
    public Optional<LiveStatus.Reason> memoryProblem() {
        return Optional.ofNullable(memoryProblem);
    }

    /** Returns the number of requests whose unit has no value, which the control arm answered. */
    public long withoutUnitCount() {
        return withoutUnitCount;
    }

    /** Returns the number of requests of arms whose store was not open, which the control arm answered. */
    public long unreadyCount() {
        return unreadyCount;
    }

    /** Returns the arms, in the order of the file. */
    public List<Arm> arms() {
        return arms;
    }

    /** Returns the arm with that name, if the file has it. */
    public Optional<Arm> arm(String name) {
        return arms.stream().filter(arm -> arm.name.equals(name)).findFirst();
    }

    /** Returns the full status as a JSON object, with the name of the process and the time. */
    public String json() {
        return json;
    }

    @Override
    public String toString() {
        return json;
    }

    /** Status of an arm. Counts are those of all scorers since the experiment was opened. */
    public static final class Arm {
        private final String name;
        private final String store;
        private final ArmState state;
        private final int share;
        private final boolean isControl;
        private final boolean isReady;
        private final OptionalLong generation;
        private final @Nullable String logicId;
        private final LiveStatus.@Nullable Reason guardStop;
        private final List<LiveStatus.Reason> reasons;
        private final long answeredCount;
        private final long fellBackCount;
        private final long failedCount;
        private final long shadowCount;
        private final long shadowSkippedCount;
        private final long shadowFailedCount;

        private Arm(Encoded encoded) {
            name = encoded.text();
            store = encoded.text();
            state = ArmState.ofNumber(encoded.small());
            share = encoded.count();
            isControl = encoded.flag();
            isReady = encoded.flag();
            generation = encoded.optional();
            logicId = encoded.flag() ? encoded.text() : null;
            guardStop = LiveStatus.Reason.optional(encoded);
            reasons = LiveStatus.Reason.all(encoded);
            answeredCount = encoded.number();
            fellBackCount = encoded.number();
            failedCount = encoded.number();
            shadowCount = encoded.number();
            shadowSkippedCount = encoded.number();
            shadowFailedCount = encoded.number();
        }

        /** Returns its name. */
        public String name() {
            return name;
        }

        /** Returns the directory of its store, for people. */
        public String store() {
            return store;
        }

        /** Returns what it does. */
        public ArmState state() {
            return state;
        }

        /** Returns the number of buckets that it owns, or of 10,000 requests that it scores as a shadow. */
        public int share() {
            return share;
        }

        /** Returns whether it is the control arm. */
        public boolean isControl() {
            return isControl;
        }

        /** Returns whether it can answer now. The units of an arm that cannot get the control arm. */
        public boolean isReady() {
            return isReady;
        }

        /** Returns the generation that it answers with, if it has one. */
        public OptionalLong generation() {
            return generation;
        }

        /** Returns the logic id of that generation. */
        public Optional<String> logicId() {
            return Optional.ofNullable(logicId);
        }

        /** Returns why the guard has stopped it in this process, if it has. */
        public Optional<LiveStatus.Reason> guardStop() {
            return Optional.ofNullable(guardStop);
        }

        /** Returns why it is not ready, and the problems of its store. */
        public List<LiveStatus.Reason> reasons() {
            return reasons;
        }

        /** Returns the number of requests that it answered. */
        public long answeredCount() {
            return answeredCount;
        }

        /** Returns the number of requests of its units that the control arm answered, because this arm could not. */
        public long fellBackCount() {
            return fellBackCount;
        }

        /** Returns the number of requests of its units that it failed to answer. */
        public long failedCount() {
            return failedCount;
        }

        /** Returns the number of requests that it scored as a shadow. */
        public long shadowCount() {
            return shadowCount;
        }

        /** Returns the number of requests that it did not score as a shadow for lack of time. */
        public long shadowSkippedCount() {
            return shadowSkippedCount;
        }

        /** Returns the number of requests that it could not score as a shadow: it had no model, or refused them. */
        public long shadowFailedCount() {
            return shadowFailedCount;
        }

        /** Names the arm, what it does and what it answers with, for people. */
        @Override
        public String toString() {
            return name + " (" + state + ", " + (isReady ? "ready" : "not ready") + ", generation "
                    + (generation.isPresent() ? generation.getAsLong() : "none") + ", " + answeredCount + " answered)";
        }
    }
}
