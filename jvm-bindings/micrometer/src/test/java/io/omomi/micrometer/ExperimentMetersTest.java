package io.omomi.micrometer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.omomi.ExperimentScorer;
import io.omomi.LiveExperiment;
import io.omomi.LiveOptions;
import io.omomi.Model;
import io.omomi.RequestLayout;
import io.omomi.Schema;
import io.omomi.ServingState;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ExperimentMetersTest {
    private static final Path FILE = Path.of(System.getProperty("omomi.test.example.file"));

    @Test
    void a_registry_shows_each_arm_and_those_that_a_later_file_adds(@TempDir Path folder) throws Exception {
        publish(folder.resolve("current"), "on follow\n");
        publish(folder.resolve("wide"), "off follow\n");
        write(folder, 1, "");
        Schema schema;
        try (Model model = Model.open(FILE)) {
            schema = model.schema();
        }
        LiveOptions options = LiveOptions.builder().name("meters").pollInterval(Duration.ofHours(1)).build();
        LiveExperiment experiment = LiveExperiment.open(folder.resolve("x.experiment"), schema, options);
        ExperimentScorer scorer = ExperimentScorer.open(experiment, RequestLayout.of(schema, 4, 0).forModels(2));
        SimpleMeterRegistry registry = new SimpleMeterRegistry();
        new ExperimentMeters(experiment, Tags.of("server", "a")).bindTo(registry);
        int fellBack = 0;
        for (int i = 0; i < 50; i++) {
            fellBack += predict(scorer, "request-" + i);
        }
        assertEquals(50, count(registry, "answered.requests", "current"));
        assertEquals(0, count(registry, "answered.requests", "wide"));
        assertEquals(fellBack, count(registry, "fell.back.requests", "wide"));
        assertEquals(1, gauge(registry, "arm.ready", "current"));
        assertEquals(0, gauge(registry, "arm.ready", "wide"));
        assertEquals(4_000, gauge(registry, "arm.share", "wide"));
        assertEquals(1, registry.get("omomi.experiment.version").tag("server", "a").gauge().value());
        assertEquals(0, registry.get("omomi.experiment.problems").gauge().value());

        write(folder, 2, ", {\"name\": \"deep\", \"store\": \"current\", \"state\": \"shadow\", \"share\": 10000}");
        experiment.lookNow();
        assertNull(registry.find("omomi.experiment.shadow.requests").tag("arm", "deep").functionCounter());
        predict(scorer, "request");
        assertEquals(2, registry.get("omomi.experiment.version").gauge().value());
        assertEquals(1, shadows(registry, "scored"));
        assertEquals(0, shadows(registry, "skipped"));

        scorer.close();
        experiment.close();
        assertEquals(51, count(registry, "answered.requests", "current"));
        assertEquals(1, shadows(registry, "scored"));
    }

    /** Scores a request, and returns 1 if the control arm answered instead of the other. */
    private static int predict(ExperimentScorer scorer, String requestId) {
        scorer.request().clear();
        scorer.request().candidate(0);
        assertEquals(ServingState.SERVING, scorer.predict(requestId));
        return scorer.fellBack() ? 1 : 0;
    }

    private static double count(SimpleMeterRegistry registry, String name, String arm) {
        return registry.get("omomi.experiment." + name).tags("experiment", "x", "arm", arm).functionCounter().count();
    }

    private static double gauge(SimpleMeterRegistry registry, String name, String arm) {
        return registry.get("omomi.experiment." + name).tags("experiment", "x", "arm", arm).gauge().value();
    }

    private static double shadows(SimpleMeterRegistry registry, String result) {
        return registry.get("omomi.experiment.shadow.requests").tags("arm", "deep", "result", result)
                .functionCounter().count();
    }

    private static void write(Path folder, int version, String moreArms) throws Exception {
        Files.writeString(folder.resolve("x.experiment"), String.format(
                """
                {"format": 1, "experiment": "x", "version": %d, "unit": "request", "salt": "0000000000000007",
                 "control": "current", "arms": [
                  {"name": "current", "store": "current", "state": "serve", "buckets": [[0, 5999]]},
                  {"name": "wide", "store": "wide", "state": "serve", "buckets": [[6000, 9999]]}%s]}
                """,
                version, moreArms));
    }

    private static void publish(Path store, String control) throws Exception {
        byte[] bytes = Files.readAllBytes(FILE);
        Files.createDirectories(store.resolve("generations"));
        Files.write(store.resolve("generations/000001.omomi"), bytes);
        String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        Files.writeString(store.resolve("control"), control);
        Files.writeString(store.resolve("current"), "000001 " + digest + "\n");
    }
}
