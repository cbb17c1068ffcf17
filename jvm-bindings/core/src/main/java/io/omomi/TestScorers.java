package io.omomi;

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.function.Supplier;

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
