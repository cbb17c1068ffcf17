package io.omomi.example;

import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.MeterBinder;
import io.omomi.LiveMetrics;
import io.omomi.LiveModel;
import java.util.function.ToDoubleFunction;

/** Binds the numbers of a live model to a registry of Micrometer. */
public record LiveModelMeters(LiveModel live) implements MeterBinder {
    @Override
    public void bindTo(MeterRegistry registry) {
        count(registry, "omomi.predictions", LiveMetrics::predictionCount);
        count(registry, "omomi.requests.without.model", metrics -> metrics.noModelCount() + metrics.offCount());
        count(registry, "omomi.categories.unseen", LiveMetrics::unseenCount);
        gauge(registry, "omomi.ready", metrics -> metrics.isReady() ? 1 : 0);
        gauge(registry, "omomi.generation", metrics -> metrics.generation().orElse(0));
        gauge(registry, "omomi.reasons", metrics -> metrics.reasonCounts().size());
    }

    private void count(MeterRegistry registry, String name, ToDoubleFunction<LiveMetrics> number) {
        FunctionCounter.builder(name, live, live -> number.applyAsDouble(live.metrics())).register(registry);
    }

    private void gauge(MeterRegistry registry, String name, ToDoubleFunction<LiveMetrics> number) {
        Gauge.builder(name, live, live -> number.applyAsDouble(live.metrics())).register(registry);
    }
}
