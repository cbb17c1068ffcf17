package io.omomi.micrometer;

import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tag;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.binder.MeterBinder;
import io.omomi.DropReason;
import io.omomi.LogMetrics;
import io.omomi.OmomiException;
import io.omomi.ServingLog;
import java.util.Collections;
import java.util.function.ToDoubleFunction;

/**
 * Binds the metrics of a serving log to a registry: {@code new ServingLogMeters(log).bindTo(registry)}. Reading them
 * makes no request wait. After the log is closed, the meters keep their last values.
 *
 * <table>
 * <caption>The meters</caption>
 * <tr><th>name</th><th>what it is</th></tr>
 * <tr><td>{@code omomi.log.records}</td><td>records written</td></tr>
 * <tr><td>{@code omomi.log.sampled.out}</td><td>records whose requests are outside the sample</td></tr>
 * <tr><td>{@code omomi.log.dropped.records}</td><td>records dropped, by {@code reason}</td></tr>
 * <tr><td>{@code omomi.log.written.bytes}</td><td>bytes written</td></tr>
 * <tr><td>{@code omomi.log.oldest.waiting}</td><td>gauge: how long the oldest record has waited for the disk, in
 * seconds</td></tr>
 * <tr><td>{@code omomi.log.writing}</td><td>gauge: 1 if the thread that writes runs, or 0</td></tr>
 * </table>
 */
public final class ServingLogMeters implements MeterBinder {
    private static final double NANOS_PER_SECOND = 1e9;

    private final ServingLog log;
    private final Tags tags;
    private volatile LogMetrics last;

    /** Creates a binder without tags of its own, for a server with one log. */
    public ServingLogMeters(ServingLog log) {
        this(log, Collections.<Tag>emptyList());
    }

    /** Creates a binder whose meters all have {@code tags}, such as the name of the folder. */
    public ServingLogMeters(ServingLog log, Iterable<Tag> tags) {
        this.log = log;
        this.tags = Tags.of(tags);
        this.last = log.metrics();
    }

    @Override
    public void bindTo(MeterRegistry registry) {
        count(registry, "omomi.log.records", Tags.empty(), LogMetrics::writtenCount);
        count(registry, "omomi.log.sampled.out", Tags.empty(), LogMetrics::sampledOutCount);
        for (DropReason reason : DropReason.values()) {
            Tags more = Tags.of("reason", reason.word());
            count(registry, "omomi.log.dropped.records", more, it -> it.droppedCount(reason));
        }
        count(registry, "omomi.log.written.bytes", Tags.empty(), LogMetrics::writtenBytes);
        gauge(registry, "omomi.log.oldest.waiting", it -> it.oldestWaitingNanos().orElse(0) / NANOS_PER_SECOND);
        gauge(registry, "omomi.log.writing", it -> it.isWriting() ? 1 : 0);
    }

    private void count(MeterRegistry registry, String name, Tags more, ToDoubleFunction<LogMetrics> number) {
        FunctionCounter.builder(name, log, it -> number.applyAsDouble(metrics())).tags(tags.and(more)).register(registry);
    }

    private void gauge(MeterRegistry registry, String name, ToDoubleFunction<LogMetrics> number) {
        Gauge.builder(name, log, it -> number.applyAsDouble(metrics())).tags(tags).register(registry);
    }

    private LogMetrics metrics() {
        try {
            last = log.metrics();
        } catch (OmomiException closed) {
            // A counter must not fall back to 0 while the server ends.
        }
        return last;
    }
}
