package io.omomi.micrometer;

import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.FunctionTimer;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tag;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.binder.MeterBinder;
import io.omomi.Code;
import io.omomi.LiveMetrics;
import io.omomi.LiveModel;
import io.omomi.OmomiException;
import io.omomi.Owner;
import java.util.Collections;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;

/**
 * Binds the metrics of a live model to a registry: {@code new LiveModelMeters(live).bindTo(registry)}. Reading them
 * makes no request wait. After the live model is closed, the meters keep their last values.
 *
 * <table>
 * <caption>The meters</caption>
 * <tr><th>name</th><th>what it is</th></tr>
 * <tr><td>{@code omomi.predictions}</td><td>timer: scored requests and how long they took</td></tr>
 * <tr><td>{@code omomi.requests.failed}</td><td>refused requests</td></tr>
 * <tr><td>{@code omomi.requests.without.model}</td><td>requests without an answer, by {@code reason}</td></tr>
 * <tr><td>{@code omomi.fallback.predictions}</td><td>requests that the fallback file answered</td></tr>
 * <tr><td>{@code omomi.candidates}</td><td>candidates, by {@code result}: scored, refused, late</td></tr>
 * <tr><td>{@code omomi.categories.unseen}</td><td>categories without a weight</td></tr>
 * <tr><td>{@code omomi.fields.missing}</td><td>fields without a value</td></tr>
 * <tr><td>{@code omomi.numbers.invalid}</td><td>numbers out of range</td></tr>
 * <tr><td>{@code omomi.swaps}</td><td>generations, by {@code result}: served, refused, withdrawn</td></tr>
 * <tr><td>{@code omomi.live}, {@code omomi.ready}</td><td>gauges: 1 or 0, for health checks</td></tr>
 * <tr><td>{@code omomi.generation}</td><td>gauge: the generation that answers, or 0</td></tr>
 * <tr><td>{@code omomi.training.age}</td><td>gauge: age of its training data in seconds, or NaN</td></tr>
 * <tr><td>{@code omomi.memory.mapped}</td><td>gauge: bytes of all models in memory</td></tr>
 * <tr><td>{@code omomi.reasons}</td><td>gauge: current problems, by {@code owner}: ml, delivery, infra</td></tr>
 * </table>
 */
public final class LiveModelMeters implements MeterBinder {
    private final LiveModel live;
    private final Tags tags;
    private volatile LiveMetrics last;

    /** Creates a binder without tags of its own, for a server with one live model. */
    public LiveModelMeters(LiveModel live) {
        this(live, Collections.<Tag>emptyList());
    }

    /** Creates a binder whose meters all have {@code tags}, such as the name of the store. */
    public LiveModelMeters(LiveModel live, Iterable<Tag> tags) {
        this.live = live;
        this.tags = Tags.of(tags);
        this.last = live.metrics();
    }

    @Override
    public void bindTo(MeterRegistry registry) {
        FunctionTimer.builder(
                        "omomi.predictions",
                        live,
                        it -> metrics().predictionCount(),
                        it -> metrics().latencySum().toNanos(),
                        TimeUnit.NANOSECONDS)
                .tags(tags)
                .register(registry);
        count(registry, "omomi.requests.failed", Tags.empty(), LiveMetrics::failedCount);
        Tags noModel = Tags.of("reason", "no_model");
        count(registry, "omomi.requests.without.model", noModel, LiveMetrics::noModelCount);
        count(registry, "omomi.requests.without.model", Tags.of("reason", "off"), LiveMetrics::offCount);
        count(registry, "omomi.fallback.predictions", Tags.empty(), it -> it.fallbackCount().orElse(0));
        count(registry, "omomi.candidates", Tags.of("result", "scored"), LiveMetrics::scoredCount);
        count(registry, "omomi.candidates", Tags.of("result", "refused"), LiveMetrics::refusedCount);
        count(registry, "omomi.candidates", Tags.of("result", "late"), LiveMetrics::lateCount);
        count(registry, "omomi.categories.unseen", Tags.empty(), LiveMetrics::unseenCount);
        count(registry, "omomi.fields.missing", Tags.empty(), LiveMetrics::missingCount);
        count(registry, "omomi.numbers.invalid", Tags.empty(), LiveMetrics::invalidNumberCount);
        count(registry, "omomi.swaps", Tags.of("result", "served"), LiveMetrics::swapServedCount);
        count(registry, "omomi.swaps", Tags.of("result", "refused"), it -> sum(it.swapRefusedCounts()));
        count(registry, "omomi.swaps", Tags.of("result", "withdrawn"), it -> sum(it.swapWithdrawnCounts()));
        gauge(registry, "omomi.live", Tags.empty(), it -> it.isLive() ? 1 : 0);
        gauge(registry, "omomi.ready", Tags.empty(), it -> it.isReady() ? 1 : 0);
        gauge(registry, "omomi.generation", Tags.empty(), it -> it.generation().orElse(0));
        gauge(registry, "omomi.training.age", Tags.empty(), LiveModelMeters::trainingAge);
        gauge(registry, "omomi.memory.mapped", Tags.empty(), LiveMetrics::mappedBytes);
        for (Owner owner : Owner.values()) {
            gauge(registry, "omomi.reasons", Tags.of("owner", owner.word()), it -> reasons(it, owner));
        }
    }

    private void count(MeterRegistry registry, String name, Tags more, ToDoubleFunction<LiveMetrics> number) {
        FunctionCounter.builder(name, live, it -> number.applyAsDouble(metrics())).tags(tags.and(more)).register(registry);
    }

    private void gauge(MeterRegistry registry, String name, Tags more, ToDoubleFunction<LiveMetrics> number) {
        Gauge.builder(name, live, it -> number.applyAsDouble(metrics())).tags(tags.and(more)).register(registry);
    }

    private LiveMetrics metrics() {
        try {
            last = live.metrics();
        } catch (OmomiException closed) {
            // A counter must not fall back to 0 while the server ends.
        }
        return last;
    }

    private static double sum(Map<Code, Long> counts) {
        return counts.values().stream().mapToLong(Long::longValue).sum();
    }

    private static double trainingAge(LiveMetrics metrics) {
        return metrics.trainingAgeSeconds().isPresent() ? metrics.trainingAgeSeconds().getAsLong() : Double.NaN;
    }

    private static double reasons(LiveMetrics metrics, Owner owner) {
        return metrics.reasonCounts().entrySet().stream()
                .filter(entry -> entry.getKey().owner() == owner)
                .mapToLong(Map.Entry::getValue)
                .sum();
    }
}
