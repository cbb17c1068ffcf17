package io.omomi.micrometer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.omomi.Basis;
import io.omomi.LogRing;
import io.omomi.OmomiException;
import io.omomi.PredictionId;
import io.omomi.ServingLog;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ServingLogMetersTest {
    @Test
    void a_registry_shows_what_was_written_and_dropped_and_keeps_the_last_values(@TempDir Path folder) {
        ServingLog log = ServingLog.open(folder.resolve("served"));
        SimpleMeterRegistry registry = new SimpleMeterRegistry();
        new ServingLogMeters(log, Tags.of("log", "served")).bindTo(registry);
        LogRing ring = log.eventRing();
        PredictionId id = PredictionId.of("request", "", 0);
        ring.click(id);
        ring.impression(id);
        assertThrows(OmomiException.class, () -> ring.win(id, 1, "yen", Basis.CLICK));
        assertTrue(log.flush(Duration.ofMinutes(1)));
        for (int look = 0; look < 2; look++) {
            assertEquals(2, registry.get("omomi.log.records").tag("log", "served").functionCounter().count());
            assertEquals(1, dropped(registry, "invalid"));
            assertEquals(0, dropped(registry, "ring_full"));
            assertTrue(registry.get("omomi.log.written.bytes").functionCounter().count() > 0);
            assertEquals(1, registry.get("omomi.log.writing").gauge().value());
            assertEquals(0, registry.get("omomi.log.oldest.waiting").gauge().value());
            ring.close();
            log.close();
        }
    }

    private static double dropped(SimpleMeterRegistry registry, String reason) {
        return registry.get("omomi.log.dropped.records").tag("reason", reason).functionCounter().count();
    }
}
