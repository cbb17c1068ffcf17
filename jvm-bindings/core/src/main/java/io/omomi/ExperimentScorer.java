package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Scores requests with the arm of their unit, as a {@link LiveExperiment} says. One generation of one arm, under one
 * version of the experiment file, answers a whole request. Open one for each thread, once, or lend them through a
 * {@link ScorerPool}. It belongs to the first thread that uses it, until {@link #handOver}.
 *
 * <p>When its experiment is closed, the scorer continues with the arms and generations that it has. After its own
 * {@link #close}, every method throws {@link Code#CLOSED}; a close that races with a predict waits for it.
 *
 * <pre>{@code
 * if (scorer.predict(requestId) == ServingState.SERVING) {
 *     fillUtilities(scorer, utilities);                     // such as value times probability
 *     Choice choice = scorer.choose(requestId, utilities);  // the best, or exploration
 *     ring.served().clear().requestId(requestId).choice(choice);
 *     ring.record(choice.candidate());                      // adds experiment, arm, bucket and shadows
 * }
 * }</pre>
 *
 * <p>A layout {@linkplain RequestLayout#forModels for several models} has room for shadows: one for {@code 1 + n}
 * models lets the first {@code n} shadows of the file score. Their answers go to the ring alone; the answers here are
 * those of the arm.
 */
public class ExperimentScorer extends AbstractScorer {
    final ByteBuffer memory;
    /** The part of the memory for utilities. */
    private final DoubleBuffer utilities;
    private final Choice choice = new Choice(this);
    /** A request id on its way to the memory. */
    private final byte[] bytes = new byte[ServedBlock.MAX_REQUEST_ID_LEN_BYTES * Utf8.MAX_BYTES_PER_CHAR];
    /** The arms whose names are known, by their numbers. */
    private @Nullable KnownArm[] arms = new KnownArm[0];
    private @Nullable String fallbackLogicId;

    ExperimentScorer(Request request, ByteBuffer memory, long address) {
        super(request, address, 1);
        this.memory = memory;
        ByteBuffer numbers = memory.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        numbers.position(AnsweredBlock.UTILITIES_OFFSET);
        this.utilities = numbers.slice().order(ByteOrder.LITTLE_ENDIAN).asDoubleBuffer();
    }

    /**
     * Opens a scorer for the arms of {@code experiment}, with memory for requests of {@code layout}. Having no model
     * yet is not an error.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if the layout belongs to another schema than the
     *     experiment, or is for prepared candidates; {@link Code#CLOSED} if the experiment is closed
     */
    public static ExperimentScorer open(LiveExperiment experiment, RequestLayout layout) {
        return open(experiment, layout, null, false);
    }

    /**
     * Opens a scorer for requests that name candidates of {@code set} by index.
     *
     * @throws OmomiException like {@link #open(LiveExperiment, RequestLayout)}, and with {@link Code#INVALID_ARGUMENT}
     *     if the layout is not {@linkplain RequestLayout#prepared for prepared candidates}, or belongs to another
     *     schema than the set
     */
    public static ExperimentScorer open(LiveExperiment experiment, RequestLayout layout, CandidateSet set) {
        return open(experiment, layout, set, true);
    }

    private static ExperimentScorer open(
            LiveExperiment experiment, RequestLayout layout, @Nullable CandidateSet set, boolean needsSet) {
        if (experiment == null) {
            throw OmomiException.nullArgument("experiment");
        }
        if (layout == null) {
            throw OmomiException.nullArgument("layout");
        }
        if (needsSet && set == null) {
            throw OmomiException.nullArgument("set");
        }
        Request request = new Request(layout);
        ByteBuffer memory = memoryOf(layout);
        long address = set == null
                ? experiment.openScorer(layout, 0, request, memory)
                : set.openExperimentScorer(experiment, layout, request, memory);
        return new ExperimentScorer(request, memory, address);
    }

    /** Allocates the memory of a scorer for requests of {@code layout}. */
    static ByteBuffer memoryOf(RequestLayout layout) {
        int lenBytes = AnsweredBlock.UTILITIES_OFFSET + layout.candidates() * Double.BYTES;
        return ByteBuffer.allocateDirect(lenBytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /**
     * Scores the candidates that the request was given since it was cleared, up to the last one: see {@link
     * #predict(int, CharSequence)}.
     *
     * @throws OmomiException like {@link #predict(int, CharSequence)}
     */
    public ServingState predict(CharSequence requestId) {
        request.checkOwner();
        return predict(request.filledCount(), requestId, NO_BUDGET);
    }

    /**
     * Scores the first {@code candidateCount} candidates of the request with the arm of its unit, and returns whether
     * it did. Then the shadows that {@code requestId} selects score it, too. An arm that cannot answer is replaced by
     * the control arm: see {@link #fellBack}. After anything but {@link ServingState#SERVING}, not even that can
     * answer: there are no answers, and the server answers by its own logic. Allocates nothing and waits for nothing. A
     * candidate that cannot be read fails alone: see {@link #status}.
     *
     * @param requestId 1 to 128 bytes of UTF-8, the same as in the log
     * @throws OmomiException with {@link Code#RECORD_INVALID} for a request id of another length, {@link Code#NOT_UTF8}
     *     for one with an unpaired surrogate, {@link Code#CONTEXT_MALFORMED} or {@link Code#TOO_MANY_CANDIDATES}, and
     *     then there are no answers; {@link Code#SCORER_BUSY} if the scorer belongs to another thread; {@link
     *     Code#CLOSED}
     */
    public ServingState predict(int candidateCount, CharSequence requestId) {
        return predict(candidateCount, requestId, NO_BUDGET);
    }

    /**
     * Scores the request like {@link #predict(int, CharSequence)}, within {@code budgetNanos} nanoseconds: see {@link
     * Scorer#predictWithin}. A shadow that would probably take longer than the rest of that time is skipped.
     *
     * @throws OmomiException like {@link #predict(int, CharSequence)}
     */
    public ServingState predictWithin(int candidateCount, CharSequence requestId, long budgetNanos) {
        return predict(candidateCount, requestId, Math.max(0, budgetNanos));
    }

    private ServingState predict(int candidateCount, CharSequence requestId, long budgetNanos) {
        request.checkOwner();
        request.forgetAnswers();
        put(requestId);
        return LiveScorer.state(score(candidateCount, budgetNanos));
    }

    /**
     * Scores the candidates that the request was given since it was cleared with the fallback file: see {@link
     * #predictFallback(int)}.
     *
     * @throws OmomiException like {@link #predictFallback(int)}
     */
    public ServingState predictFallback() {
        return predictFallback(request.filledCount());
    }

    /**
     * Scores the first {@code candidateCount} candidates of the request with the {@linkplain
     * LiveOptions.Builder#fallbackFile fallback file}, like {@link LiveScorer#predictFallback(int)}. Such an answer
     * belongs to no arm.
     *
     * @return {@link ServingState#SERVING}, or {@link ServingState#NO_MODEL} if the options have no fallback file
     * @throws OmomiException like {@link LiveScorer#predict(int)}
     */
    public ServingState predictFallback(int candidateCount) {
        int code = score(candidateCount, LiveScorer.FALLBACK);
        request.isFallback = code == 0;
        return LiveScorer.state(code);
    }

    @Override
    int call(int candidateCount, long budgetNanos) {
        return budgetNanos == LiveScorer.FALLBACK
                ? predictFallback0(address, candidateCount)
                : super.call(candidateCount, budgetNanos);
    }

    /**
     * Chooses one of the answered candidates by the policy of the experiment file under which the request was answered:
     * the best, or, in some requests, another one. The best is the candidate with the highest utility, such as its
     * value times its probability, and of several the first. A candidate whose utility is NaN is not eligible. {@code
     * requestId} decides, so the choice can be computed again. Always returns the same object. Allocates nothing.
     *
     * @param utilities that of candidate {@code i} at index {@code i}, for each answered candidate; more are not read
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if no arm has answered the request, or the array is too
     *     short; {@link Code#RECORD_INVALID} for a utility that is infinite; {@link Code#NOT_UTF8} for a request id
     *     with an unpaired surrogate; {@link Code#CLOSED} or {@link Code#SCORER_BUSY}
     */
    public Choice choose(CharSequence requestId, double[] utilities) {
        checkAnswered();
        if (utilities == null) {
            throw OmomiException.nullArgument("utilities");
        }
        int count = request.answeredCount;
        if (count > utilities.length) {
            throw OmomiException.invalidArgument(
                    "utilities",
                    "expected one for each of the " + count + " answered candidates, found " + utilities.length);
        }
        put(requestId);
        request.enter();
        try {
            this.utilities.clear();
            this.utilities.put(utilities, 0, count);
            choose(count);
            choice.candidate = memory.getInt(AnsweredBlock.CANDIDATE_OFFSET);
            choice.propensity = memory.getDouble(AnsweredBlock.PROPENSITY_OFFSET);
            choice.isExploring = memory.getInt(AnsweredBlock.IS_EXPLORING_OFFSET) != 0;
            return choice;
        } finally {
            request.leave();
        }
    }

    /** Chooses by the utilities in the memory. The scorers of {@link TestScorers} do it otherwise. */
    void choose(int utilityCount) {
        int code = choose0(address, utilityCount);
        if (code != 0) {
            Native.throwPredictError(address, code);
        }
    }

    /** Returns the names of the experiment and of an arm. */
    String[] namesOf(int arm) {
        return Native.armNames(address, arm);
    }

    /** Returns the logic id of a generation of the arm that answered. */
    String logicIdOf(long generation) {
        return Native.liveLogicId(address, generation);
    }

    /**
     * Returns the name of the arm that answered. Allocates only for an arm that answers for the first time.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if no arm has answered the request, {@link Code#CLOSED}
     *     or {@link Code#SCORER_BUSY}, like every method here about the answer
     */
    public String arm() {
        return known().arm;
    }

    /** Returns the name of the experiment. */
    public String experiment() {
        return known().experiment;
    }

    /**
     * Returns the bucket of the request's unit, from 0 to 9,999, or -1 if the unit has no value. Such a request is
     * answered by the control arm and counts for no arm.
     */
    public int bucket() {
        return number(AnsweredBlock.BUCKET_OFFSET);
    }

    /** Returns whether the control arm answered. */
    public boolean isControl() {
        return number(AnsweredBlock.IS_CONTROL_OFFSET) != 0;
    }

    /** Returns whether the control arm answered because the arm of the unit could not. */
    public boolean fellBack() {
        return number(AnsweredBlock.FELL_BACK_OFFSET) != 0;
    }

    /** Returns the number of shadows that scored the request. */
    public int shadowCount() {
        return number(AnsweredBlock.SHADOW_COUNT_OFFSET);
    }

    /** Returns the version of the experiment file under which the request was answered. */
    public long version() {
        checkAnswered();
        return memory.getLong(AnsweredBlock.VERSION_OFFSET);
    }

    /**
     * Returns the logic id of the generation that gave the last answers, to be logged with each score. Allocates only
     * for a generation that answers for the first time since another one of its arm.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} before the first answers, and for a generation that
     *     many have replaced since
     */
    @Override
    public String logicId() {
        request.checkOwner();
        if (request.isFallback) {
            return fallbackLogicId();
        }
        KnownArm arm = known();
        long generation = generation();
        String logicId = arm.logicId;
        if (logicId == null || generation != arm.generation) {
            request.enter();
            try {
                logicId = logicIdOf(generation);
                arm.logicId = logicId;
                arm.generation = generation;
            } finally {
                request.leave();
            }
        }
        return logicId;
    }

    @Override
    String logicId(int model) {
        result(model);
        return logicId();
    }

    private String fallbackLogicId() {
        String logicId = fallbackLogicId;
        if (logicId == null) {
            request.enter();
            try {
                logicId = Native.fallbackLogicId(address);
                fallbackLogicId = logicId;
            } finally {
                request.leave();
            }
        }
        return logicId;
    }

    private int number(int offset) {
        checkAnswered();
        return memory.getInt(offset);
    }

    private void checkAnswered() {
        request.checkOwner();
        if (!request.isAnswered || request.isFallback) {
            throw OmomiException.invalidArgument(
                    "scorer", "expected one whose last request an arm has answered, found none");
        }
    }

    /** Returns what is known of the arm that answered. */
    private KnownArm known() {
        int arm = number(AnsweredBlock.ARM_OFFSET);
        KnownArm known = arm < arms.length ? arms[arm] : null;
        return known == null ? learn(arm) : known;
    }

    /** A process uses the number of an arm once, so names never change. */
    private KnownArm learn(int arm) {
        request.enter();
        try {
            String[] names = namesOf(arm);
            KnownArm known = new KnownArm(names[0], names[1]);
            arms = Arrays.copyOf(arms, Math.max(arms.length, arm + 1));
            arms[arm] = known;
            return known;
        } finally {
            request.leave();
        }
    }

    private void put(CharSequence requestId) {
        if (requestId == null) {
            throw OmomiException.nullArgument("requestId");
        }
        int room = ServedBlock.MAX_REQUEST_ID_LEN_BYTES;
        int len = Utf8.put(requestId, bytes, memory, AnsweredBlock.REQUEST_ID_OFFSET, room);
        memory.putInt(AnsweredBlock.REQUEST_ID_LEN_OFFSET, len);
    }

    /**
     * Scores the block with the fallback file, like {@code predict0}. Takes primitives only, so it cannot stall a
     * garbage collection.
     */
    private native int predictFallback0(long scorer, int candidateCount);

    /**
     * Chooses one of the candidates whose utilities are in the memory, and writes the choice there. Returns 0 or the
     * number of an error.
     */
    private native int choose0(long scorer, int utilityCount);

    /** What never changes about an arm, and the logic id of its latest generation. */
    private static final class KnownArm {
        final String experiment;
        final String arm;
        long generation;
        @Nullable String logicId;

        KnownArm(String experiment, String arm) {
            this.experiment = experiment;
            this.arm = arm;
        }
    }
}
