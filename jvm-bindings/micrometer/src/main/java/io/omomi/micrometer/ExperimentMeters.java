package io.omomi.micrometer;

import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tag;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.binder.MeterBinder;
import io.omomi.ExperimentStatus;
import io.omomi.LiveExperiment;
import io.omomi.OmomiException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.ToDoubleFunction;

/**
 * Binds the counts of an experiment to a registry: {@code new ExperimentMeters(experiment).bindTo(registry)}. Reading
 * them makes no request wait. An arm that a later version of the file adds gets its meters when any of these meters is
 * read. After the experiment is closed, the meters keep their last values, and so do those of an arm that the file no
 * longer has.
 *
 * <table>
 * <caption>The meters. Those from {@code answered.requests} on have the tags {@code experiment} and {@code
 * arm}</caption>
 * <tr><th>name</th><th>what it is</th></tr>
 * <tr><td>{@code omomi.experiment.version}</td><td>gauge: version of the file in force, or 0</td></tr>
 * <tr><td>{@code omomi.experiment.problems}</td><td>gauge: problems of the file and of what is kept</td></tr>
 * <tr><td>{@code omomi.experiment.requests.without.unit}</td><td>requests whose unit has no value</td></tr>
 * <tr><td>{@code omomi.experiment.unready.requests}</td><td>requests of arms whose store was not open</td></tr>
 * <tr><td>{@code omomi.experiment.answered.requests}</td><td>requests that the arm answered</td></tr>
 * <tr><td>{@code omomi.experiment.fell.back.requests}</td><td>requests of its units that the control arm answered,
 * because the arm could not</td></tr>
 * <tr><td>{@code omomi.experiment.failed.requests}</td><td>requests of its units that it failed to answer</td></tr>
 * <tr><td>{@code omomi.experiment.guard.stopped}</td><td>gauge: 1 if the guard has stopped the arm here, or 0</td></tr>
 * <tr><td>{@code omomi.experiment.shadow.requests}</td><td>its requests as a shadow, by {@code result}: scored, skipped
 * (for lack of time), failed</td></tr>
 * <tr><td>{@code omomi.experiment.arm.ready}</td><td>gauge: 1 if the arm can answer or score now, or 0</td></tr>
 * <tr><td>{@code omomi.experiment.arm.share}</td><td>gauge: its buckets, or requests as a shadow, of 10,000</td></tr>
 * </table>
 */
public final class ExperimentMeters implements MeterBinder {
    private final LiveExperiment experiment;
    private final Tags tags;
    private final List<MeterRegistry> registries = new CopyOnWriteArrayList<>();
    /** The last status of each arm that the file ever had, by the names of the experiment and the arm. */
    private final Map<List<String>, ExperimentStatus.Arm> arms = new ConcurrentHashMap<>();
    private volatile ExperimentStatus last;

    /** Creates a binder without tags of its own, for a server with one experiment. */
    public ExperimentMeters(LiveExperiment experiment) {
        this(experiment, Collections.<Tag>emptyList());
    }

    /** Creates a binder whose meters all have {@code tags}. */
    public ExperimentMeters(LiveExperiment experiment, Iterable<Tag> tags) {
        this.experiment = experiment;
        this.tags = Tags.of(tags);
        this.last = experiment.status();
    }

    @Override
    public void bindTo(MeterRegistry registry) {
        look();
        arms.keySet().forEach(arm -> bindArm(registry, arm));
        registries.add(registry);
        gauge(registry, "omomi.experiment.version", ExperimentStatus::version);
        gauge(registry, "omomi.experiment.problems", ExperimentMeters::problems);
        count(registry, "omomi.experiment.requests.without.unit", ExperimentStatus::withoutUnitCount);
        count(registry, "omomi.experiment.unready.requests", ExperimentStatus::unreadyCount);
    }

    private void bindArm(MeterRegistry registry, List<String> arm) {
        Tags named = tags.and("experiment", arm.get(0), "arm", arm.get(1));
        count(registry, "omomi.experiment.answered.requests", arm, named, ExperimentStatus.Arm::answeredCount);
        count(registry, "omomi.experiment.fell.back.requests", arm, named, ExperimentStatus.Arm::fellBackCount);
        count(registry, "omomi.experiment.failed.requests", arm, named, ExperimentStatus.Arm::failedCount);
        gauge(registry, "omomi.experiment.guard.stopped", arm, named, it -> it.guardStop().isPresent() ? 1 : 0);
        String shadow = "omomi.experiment.shadow.requests";
        count(registry, shadow, arm, named.and("result", "scored"), ExperimentStatus.Arm::shadowCount);
        count(registry, shadow, arm, named.and("result", "skipped"), ExperimentStatus.Arm::shadowSkippedCount);
        count(registry, shadow, arm, named.and("result", "failed"), ExperimentStatus.Arm::shadowFailedCount);
        gauge(registry, "omomi.experiment.arm.ready", arm, named, it -> it.isReady() ? 1 : 0);
        gauge(registry, "omomi.experiment.arm.share", arm, named, ExperimentStatus.Arm::share);
    }

    private void count(MeterRegistry registry, String name, ToDoubleFunction<ExperimentStatus> number) {
        FunctionCounter.builder(name, experiment, it -> number.applyAsDouble(look())).tags(tags).register(registry);
    }

    private void gauge(MeterRegistry registry, String name, ToDoubleFunction<ExperimentStatus> number) {
        Gauge.builder(name, experiment, it -> number.applyAsDouble(look())).tags(tags).register(registry);
    }

    private void count(
            MeterRegistry registry,
            String name,
            List<String> arm,
            Tags all,
            ToDoubleFunction<ExperimentStatus.Arm> number) {
        FunctionCounter.builder(name, experiment, it -> number.applyAsDouble(look(arm))).tags(all).register(registry);
    }

    private void gauge(
            MeterRegistry registry,
            String name,
            List<String> arm,
            Tags all,
            ToDoubleFunction<ExperimentStatus.Arm> number) {
        Gauge.builder(name, experiment, it -> number.applyAsDouble(look(arm))).tags(all).register(registry);
    }

    private ExperimentStatus.Arm look(List<String> arm) {
        look();
        return arms.get(arm);
    }

    private ExperimentStatus look() {
        ExperimentStatus status;
        try {
            status = experiment.status();
        } catch (OmomiException closed) {
            // A counter must not fall back to 0 while the server ends.
            return last;
        }
        last = status;
        for (ExperimentStatus.Arm arm : status.arms()) {
            List<String> key = Arrays.asList(status.experiment(), arm.name());
            if (arms.put(key, arm) == null) {
                registries.forEach(registry -> bindArm(registry, key));
            }
        }
        return status;
    }

    private static double problems(ExperimentStatus status) {
        return (status.problem().isPresent() ? 1 : 0) + (status.memoryProblem().isPresent() ? 1 : 0);
    }
}
