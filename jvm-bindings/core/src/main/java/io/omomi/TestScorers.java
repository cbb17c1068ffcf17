package io.omomi;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Scorers with answers that a test gives, for unit tests of a server's own code: no weight file, no training and no
 * store. They are filled, scored and read like any other, and refuse what any other refuses, but no model is behind
 * them. For tests of what a real model answers, {@code omomi fixture} makes a weight file from a list of weights.
 *
 * <pre>{@code
 * Scorer scorer = TestScorers.scorer(layout, "feed-ctr-test", (candidate, values) -> candidate == 3 ? 0.9 : 0.1);
 * assertEquals(3, new Ranking(scorer).best(user, creatives));
 * }</pre>
 */
public final class TestScorers {
    private TestScorers() {}

    /** Gives the answer for one candidate. */
    @FunctionalInterface
    public interface GivenAnswer {
        /**
         * Returns the click probability of a candidate, in (0, 1), or NaN for a candidate that is refused, as one that
         * cannot be read is.
         *
         * @param candidate its index in the request
         * @param values the values that are set in the context and in its row, as texts, by the names of their fields:
         *     see {@link Explanation#values}
         */
        double probability(int candidate, Map<String, String> values);
    }

    /**
     * Returns a scorer whose candidates get the probabilities that {@code given} returns, for each model of the layout.
     * Its generation is 1. It explains nothing.
     */
    public static Scorer scorer(RequestLayout layout, String logicId, GivenAnswer given) {
        check(layout, logicId, given);
        return new GivenScorer(new Request(layout), logicId, given);
    }

    /**
     * Returns a live scorer whose candidates get the probabilities that {@code given} returns, while {@code state} is
     * {@link ServingState#SERVING}. Its generation is 1. It explains nothing.
     */
    public static LiveScorer liveScorer(
            RequestLayout layout, String logicId, Supplier<ServingState> state, GivenAnswer given) {
        check(layout, logicId, given);
        if (state == null) {
            throw OmomiException.nullArgument("state");
        }
        return new GivenLiveScorer(new Request(layout), logicId, state, given);
    }

    /**
     * Returns an experiment scorer whose requests are answered by the arm that {@code arms} returns for the request id:
     * null if no arm can answer, so that {@code predict} returns {@link ServingState#NO_MODEL}. The candidates get the
     * probabilities that {@code given} returns. Its generation is 1, and the version of the file too. It chooses the
     * best candidate, unless the arm {@linkplain GivenArm#exploring explores}. It explains nothing, and has no fallback
     * file.
     */
    public static ExperimentScorer experimentScorer(
            RequestLayout layout, String experiment, Function<String, GivenArm> arms, GivenAnswer given) {
        check(layout, experiment, given);
        if (arms == null) {
            throw OmomiException.nullArgument("arms");
        }
        return new GivenExperimentScorer(new Request(layout), experiment, arms, given);
    }

    /** The arm that answers a request in a test, and how. Immutable. */
    public static final class GivenArm {
        private final String name;
        private final String logicId;
        private final int bucket;
        private final boolean isControl;
        private final boolean fellBack;
        private final int chosen;
        private final double propensity;

        private GivenArm(
                String name,
                String logicId,
                int bucket,
                boolean isControl,
                boolean fellBack,
                int chosen,
                double propensity) {
            this.name = name;
            this.logicId = logicId;
            this.bucket = bucket;
            this.isControl = isControl;
            this.fellBack = fellBack;
            this.chosen = chosen;
            this.propensity = propensity;
        }

        /**
         * Returns an arm that answers a request of its own unit.
         *
         * @param bucket that of the unit, from 0 to 9,999
         */
        public static GivenArm of(String name, String logicId, int bucket) {
            if (name == null) {
                throw OmomiException.nullArgument("name");
            }
            if (logicId == null) {
                throw OmomiException.nullArgument("logicId");
            }
            if (bucket < 0 || bucket > MAX_BUCKET) {
                throw OmomiException.invalidArgument("bucket", "expected 0 to " + MAX_BUCKET + ", found " + bucket);
            }
            return new GivenArm(name, logicId, bucket, false, false, NOT_GIVEN, Double.NaN);
        }

        /** Returns this arm as the control arm. */
        public GivenArm asControl() {
            return new GivenArm(name, logicId, bucket, true, false, chosen, propensity);
        }

        /** Returns this arm as the control arm that answers because the arm of the unit could not. */
        public GivenArm asFallback() {
            return new GivenArm(name, logicId, bucket, true, true, chosen, propensity);
        }

        /** Returns this arm as the control arm that answers a request whose unit has no value. */
        public GivenArm withoutUnit() {
            return new GivenArm(name, logicId, NOT_GIVEN, true, false, chosen, propensity);
        }

        /**
         * Returns this arm for a request that explores: {@link ExperimentScorer#choose} returns {@code candidate}, with
         * that propensity. If the candidate is not eligible, it returns the best without a propensity.
         *
         * @param propensity above 0, at most 1
         */
        public GivenArm exploring(int candidate, double propensity) {
            if (candidate < 0) {
                throw OmomiException.invalidArgument("candidate", "expected one from 0 on, found " + candidate);
            }
            if (!(propensity > 0 && propensity <= 1)) {
                throw OmomiException.invalidArgument("propensity", "expected one in (0, 1], found " + propensity);
            }
            return new GivenArm(name, logicId, bucket, isControl, fellBack, candidate, propensity);
        }

        /** Names the arm, for people. */
        @Override
        public String toString() {
            return name + " (bucket " + bucket + (fellBack ? ", instead of another arm)" : ")");
        }
    }

    /** What the memory of a scorer has for a bucket or a candidate that is not given. */
    private static final int NOT_GIVEN = -1;
    private static final int MAX_BUCKET = 9_999;

    private static void check(RequestLayout layout, String logicId, GivenAnswer given) {
        if (layout == null) {
            throw OmomiException.nullArgument("layout");
        }
        if (logicId == null) {
            throw OmomiException.nullArgument("logicId");
        }
        if (given == null) {
            throw OmomiException.nullArgument("given");
        }
    }

    private static final class GivenScorer extends Scorer {
        private final GivenAnswer given;

        GivenScorer(Request request, String logicId, GivenAnswer given) {
            super(request, 0, repeated(logicId, request.layout.modelCount()));
            this.given = given;
        }

        @Override
        int call(int candidateCount, long budgetNanos) {
            answer(request, candidateCount, given);
            return 0;
        }

        @Override
        Object[] explanation(int candidate) {
            throw explainsNothing();
        }
    }

    private static final class GivenLiveScorer extends LiveScorer {
        private final String logicId;
        private final Supplier<ServingState> state;
        private final GivenAnswer given;

        GivenLiveScorer(Request request, String logicId, Supplier<ServingState> state, GivenAnswer given) {
            super(request, 0);
            this.logicId = logicId;
            this.state = state;
            this.given = given;
        }

        @Override
        int call(int candidateCount, long budgetNanos) {
            if (budgetNanos == FALLBACK) {
                return NO_MODEL;
            }
            switch (state.get()) {
                case NO_MODEL:
                    return NO_MODEL;
                case OFF:
                    return SWITCHED_OFF;
                default:
                    answer(request, candidateCount, given);
                    return 0;
            }
        }

        @Override
        Object[] explanation(int candidate) {
            throw explainsNothing();
        }

        @Override
        public String logicId() {
            if (generation() == 0) {
                throw OmomiException.invalidArgument("logicId", "there was no answer yet");
            }
            return logicId;
        }
    }

    private static final class GivenExperimentScorer extends ExperimentScorer {
        private final String experiment;
        private final Function<String, GivenArm> arms;
        private final GivenAnswer given;
        /** Those that answered, by their numbers: arms of one name and logic id have one. */
        private final List<String[]> known = new ArrayList<>();
        private @Nullable GivenArm arm;

        GivenExperimentScorer(
                Request request, String experiment, Function<String, GivenArm> arms, GivenAnswer given) {
            super(request, memoryOf(request.layout), 0);
            this.experiment = experiment;
            this.arms = arms;
            this.given = given;
        }

        @Override
        int call(int candidateCount, long budgetNanos) {
            if (budgetNanos == LiveScorer.FALLBACK) {
                return NO_MODEL;
            }
            GivenArm arm = arms.apply(requestId());
            if (arm == null) {
                return NO_MODEL;
            }
            answer(request, candidateCount, given);
            this.arm = arm;
            memory.putLong(AnsweredBlock.VERSION_OFFSET, 1);
            memory.putInt(AnsweredBlock.ARM_OFFSET, numberOf(arm));
            memory.putInt(AnsweredBlock.BUCKET_OFFSET, arm.bucket);
            memory.putInt(AnsweredBlock.IS_CONTROL_OFFSET, arm.isControl ? 1 : 0);
            memory.putInt(AnsweredBlock.FELL_BACK_OFFSET, arm.fellBack ? 1 : 0);
            memory.putInt(AnsweredBlock.SHADOW_COUNT_OFFSET, 0);
            return 0;
        }

        private String requestId() {
            int len = memory.getInt(AnsweredBlock.REQUEST_ID_LEN_OFFSET);
            if (len < 1 || len > ServedBlock.MAX_REQUEST_ID_LEN_BYTES) {
                throw new OmomiException(
                        Code.RECORD_INVALID,
                        "expected a request id of 1 to " + ServedBlock.MAX_REQUEST_ID_LEN_BYTES + " bytes, found "
                                + (len == 0 ? "none" : "more"));
            }
            byte[] bytes = new byte[len];
            for (int i = 0; i < len; i++) {
                bytes[i] = memory.get(AnsweredBlock.REQUEST_ID_OFFSET + i);
            }
            return new String(bytes, StandardCharsets.UTF_8);
        }

        private int numberOf(GivenArm arm) {
            for (int number = 0; number < known.size(); number++) {
                String[] names = known.get(number);
                if (names[0].equals(arm.name) && names[1].equals(arm.logicId)) {
                    return number;
                }
            }
            known.add(new String[] {arm.name, arm.logicId});
            return known.size() - 1;
        }

        @Override
        void choose(int utilityCount) {
            int best = NOT_GIVEN;
            double max = Double.NaN;
            for (int i = 0; i < utilityCount; i++) {
                double utility = utility(i);
                if (Double.isInfinite(utility)) {
                    throw new OmomiException(
                            Code.RECORD_INVALID,
                            "expected finite utilities, and NaN for a candidate that is not eligible, found "
                                    + utility);
                }
                if (!Double.isNaN(utility) && (best == NOT_GIVEN || utility > max)) {
                    best = i;
                    max = utility;
                }
            }
            GivenArm arm = this.arm;
            boolean explores = arm != null
                    && arm.chosen != NOT_GIVEN
                    && arm.chosen < utilityCount
                    && !Double.isNaN(utility(arm.chosen));
            memory.putInt(AnsweredBlock.CANDIDATE_OFFSET, explores ? arm.chosen : best);
            memory.putDouble(AnsweredBlock.PROPENSITY_OFFSET, explores ? arm.propensity : Double.NaN);
            memory.putInt(AnsweredBlock.IS_EXPLORING_OFFSET, explores ? 1 : 0);
        }

        private double utility(int candidate) {
            return memory.getDouble(AnsweredBlock.UTILITIES_OFFSET + candidate * Double.BYTES);
        }

        @Override
        String[] namesOf(int arm) {
            return new String[] {experiment, known.get(arm)[0]};
        }

        @Override
        String logicIdOf(long generation) {
            return known.get(memory.getInt(AnsweredBlock.ARM_OFFSET))[1];
        }

        @Override
        Object[] explanation(int candidate) {
            throw explainsNothing();
        }
    }

    private static String[] repeated(String text, int count) {
        String[] all = new String[count];
        java.util.Arrays.fill(all, text);
        return all;
    }

    private static OmomiException explainsNothing() {
        return OmomiException.invalidArgument("scorer", "its answers are given by a test, so there is nothing to explain");
    }

    /** Writes the answers where the native library writes them. */
    private static void answer(Request request, int candidateCount, GivenAnswer given) {
        RequestLayout layout = request.layout;
        if (candidateCount < 0 || candidateCount > layout.candidates()) {
            throw new OmomiException(
                    Code.TOO_MANY_CANDIDATES,
                    "too many candidates: expected 0 to " + layout.candidates() + ", found " + candidateCount);
        }
        CandidateStatus[] statuses = new CandidateStatus[candidateCount];
        double[] probabilities = new double[candidateCount];
        for (int i = 0; i < candidateCount; i++) {
            if (!request.isFilled(i)) {
                statuses[i] = CandidateStatus.NOT_FILLED;
                probabilities[i] = Double.NaN;
                continue;
            }
            double probability = given.probability(i, SetValues.of(request, i));
            if (probability <= 0 || probability >= 1) {
                throw OmomiException.invalidArgument(
                        "given", "expected a probability in (0, 1) or NaN for candidate " + i + ", found " + probability);
            }
            statuses[i] = Double.isNaN(probability) ? CandidateStatus.NOT_UTF8 : CandidateStatus.SCORED;
            probabilities[i] = probability;
        }
        for (int model = 0; model < layout.modelCount(); model++) {
            write(request.block, layout.resultsOffset + model * layout.resultStride, statuses, probabilities);
        }
    }

    private static void write(ByteBuffer block, int result, CandidateStatus[] statuses, double[] probabilities) {
        for (int i = 0; i < Block.OUTCOME_LEN; i++) {
            block.put(result + i, (byte) 0);
        }
        int refused = 0;
        for (int i = 0; i < probabilities.length; i++) {
            double probability = probabilities[i];
            refused += statuses[i] == CandidateStatus.SCORED ? 0 : 1;
            int answer = result + Block.OUTCOME_LEN + i * Block.ANSWER_LEN;
            block.putDouble(answer + Block.ANSWER_LOGIT_OFFSET, Math.log(probability / (1 - probability)));
            block.putFloat(answer + Block.ANSWER_PROBABILITY_OFFSET, (float) probability);
            block.putInt(answer + Block.ANSWER_STATUS_OFFSET, statuses[i].ordinal());
        }
        block.putLong(result + Block.GENERATION_OFFSET, 1);
        block.putInt(result + Block.SCORED_COUNT_OFFSET, probabilities.length - refused);
        block.putInt(result + Block.REFUSED_COUNT_OFFSET, refused);
    }
}
