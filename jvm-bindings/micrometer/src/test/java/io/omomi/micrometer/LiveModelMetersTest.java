package io.omomi.micrometer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.omomi.LiveModel;
import io.omomi.LiveOptions;
import io.omomi.LiveScorer;
import io.omomi.Model;
import io.omomi.RequestLayout;
import io.omomi.Schema;
import io.omomi.ServingState;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class LiveModelMetersTest {
    private static final Path FILE = Path.of(System.getProperty("omomi.test.example.file"));

    @Test
    void a_registry_shows_the_current_metrics_and_keeps_the_last_ones(@TempDir Path folder) throws Exception {
        Path store = Files.createDirectories(folder.resolve("feed"));
        Schema schema;
        try (Model model = Model.open(FILE)) {
            schema = model.schema();
        }
        LiveOptions options = LiveOptions.builder()
                .name("meters")
                .pollInterval(Duration.ofHours(1))
                .fallbackFile(FILE)
                .build();
        LiveModel live = LiveModel.open(store, schema, options);
        LiveScorer scorer = LiveScorer.open(live, RequestLayout.of(schema, 4, 0));
        SimpleMeterRegistry registry = new SimpleMeterRegistry();
        new LiveModelMeters(live, Tags.of("store", "feed")).bindTo(registry);
        // With the fallback file, the server can answer without a model.
        assertEquals(1, registry.get("omomi.ready").tag("store", "feed").gauge().value());
        scorer.request().clear();
        for (int i = 0; i < 4; i++) {
            scorer.request().candidate(i);
        }
        assertEquals(ServingState.NO_MODEL, scorer.predict(4));
        assertEquals(1, count(registry, "omomi.requests.without.model", "reason", "no_model"));
        assertEquals(0, count(registry, "omomi.requests.without.model", "reason", "off"));
        assertEquals(ServingState.SERVING, scorer.predictFallback(4));
        assertEquals(1, registry.get("omomi.fallback.predictions").functionCounter().count());
        double reasons = registry.get("omomi.reasons").gauges().stream().mapToDouble(gauge -> gauge.value()).sum();
        assertTrue(reasons > 0);

        publish(store);
        live.lookNow();
        for (int i = 0; i < 3; i++) {
            assertEquals(ServingState.SERVING, scorer.predict(4));
        }
        assertEquals(3, registry.get("omomi.predictions").functionTimer().count());
        assertTrue(registry.get("omomi.predictions").functionTimer().totalTime(TimeUnit.NANOSECONDS) > 0);
        assertEquals(12, count(registry, "omomi.candidates", "result", "scored"));
        assertEquals(1, count(registry, "omomi.swaps", "result", "served"));
        assertTrue(registry.get("omomi.fields.missing").functionCounter().count() > 0);
        assertEquals(1, registry.get("omomi.ready").gauge().value());
        assertEquals(1, registry.get("omomi.live").gauge().value());
        assertEquals(1, registry.get("omomi.generation").gauge().value());
        assertTrue(registry.get("omomi.memory.mapped").gauge().value() > 1000);

        scorer.close();
        live.close();
        assertEquals(12, count(registry, "omomi.candidates", "result", "scored"));
        assertEquals(1, registry.get("omomi.generation").gauge().value());
    }

    private static double count(SimpleMeterRegistry registry, String name, String tag, String value) {
        return registry.get(name).tag(tag, value).functionCounter().count();
    }

    private static void publish(Path store) throws Exception {
        byte[] bytes = Files.readAllBytes(FILE);
        Files.createDirectories(store.resolve("generations"));
        Files.write(store.resolve("generations/000001.omomi"), bytes);
        String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        Files.writeString(store.resolve("control"), "on follow\n");
        Files.writeString(store.resolve("current"), "000001 " + digest + "\n");
    }
}
