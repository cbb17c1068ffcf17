package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The metrics of a live model: as an object, as Prometheus text and in a Micrometer registry. */
final class LiveMetricsTest {
    private static final RequestLayout LAYOUT = RequestLayout.of(Fixture.SCHEMA, Store.CANDIDATES, 16 << 10);

    private Store store;
    private LiveModel live;
    private LiveScorer scorer;

    @BeforeEach
    void scoreThreeTimesAndBeRefusedOnce(@TempDir Path folder) throws IOException {
        store = new Store(folder);
        live = store.open();
        scorer = LiveScorer.open(live, LAYOUT);
        assertEquals(ServingState.NO_MODEL, scorer.predict(1));
        store.publish(1);
        live.lookNow();
        Fixture.fill(scorer.request(), Store.CANDIDATES, new Fixture.Text());
        assertThrows(OmomiException.class, () -> scorer.predict(Store.CANDIDATES + 1));
        for (int i = 0; i < 3; i++) {
            assertEquals(ServingState.SERVING, scorer.predict(Store.CANDIDATES));
        }
        byte[] damaged = Store.bytes(2);
        damaged[damaged.length / 2] ^= 1;
        store.publish(2, damaged);
        live.lookNow();
    }

    @AfterEach
    void close() {
        scorer.close();
        live.close();
    }

    @Test
    void each_request_and_swap_is_counted_once() {
        LiveMetrics metrics = live.metrics();
        assertEquals(3, metrics.predictionCount());
        assertEquals(1, metrics.failedCount());
        assertEquals(1, metrics.noModelCount());
        assertEquals(0, metrics.offCount() + metrics.panicCount() + metrics.busyCount());
        assertEquals(3 * Store.CANDIDATES, metrics.scoredCount());
        assertEquals(0, metrics.refusedCount() + metrics.lateCount());
        assertEquals(3 * scorer.unseenCount(), metrics.unseenCount());
        assertEquals(3 * scorer.missingCount(), metrics.missingCount());
        assertEquals(3 * scorer.invalidNumberCount(), metrics.invalidNumberCount());
        IntStream buckets = IntStream.range(0, metrics.latencyBucketCount());
        assertEquals(3, buckets.mapToLong(metrics::latencyCount).sum());
        assertEquals(Long.MAX_VALUE, metrics.latencyBoundNanos(metrics.latencyBucketCount() - 1));
        assertTrue(metrics.latencyBoundNanos(0) < metrics.latencyBoundNanos(1));
        assertTrue(metrics.latencySum().toNanos() > 0);
        assertEquals(1, metrics.swapServedCount());
        assertEquals(0, metrics.swapInterruptedCount());
        Code refused = live.status().reasons().get(0).code();
        assertEquals(Map.of(refused, 1L), metrics.swapRefusedCounts());
        assertEquals(Map.of(), metrics.swapWithdrawnCounts());
        assertEquals(Map.of(refused, 1L), metrics.reasonCounts());
        assertEquals(1, metrics.quarantinedCount());
        assertEquals(0, metrics.retiredCount());
        assertEquals(ServingState.SERVING, metrics.state());
        assertEquals(1, metrics.generation().orElseThrow());
        assertTrue(metrics.trainingAgeSeconds().isEmpty());
        assertTrue(metrics.mappedBytes() > 0);
        assertTrue(metrics.residentBytes().orElse(0) <= metrics.mappedBytes());
    }

    @Test
    void categories_are_counted_by_field_on_samples() {
        LiveMetrics metrics = live.metrics();
        assertTrue(metrics.sampledRequestCount() > 0);
        assertEquals(
                Fixture.SCHEMA.fields().stream().map(Field::name).sorted().toList(),
                metrics.fields().stream().map(LiveMetrics.SampledField::name).sorted().toList());
        LiveMetrics.SampledField interest = metrics.fields().stream()
                .filter(field -> field.name().equals("interest"))
                .findFirst()
                .orElseThrow();
        // Two of the four interests have no weight.
        assertEquals(4 * metrics.sampledRequestCount(), interest.categoryCount());
        assertEquals(2 * metrics.sampledRequestCount(), interest.unseenCount());
        assertEquals(0.5, interest.unseenRatio());
    }

    @Test
    void a_health_check_passes_with_a_model_or_a_fallback_or_while_off(@TempDir Path empty) throws IOException {
        assertTrue(live.isLive() && live.isReady());
        store.order("off");
        live.lookNow();
        assertTrue(live.isReady());
        assertTrue(live.metrics().isReady() && live.metrics().isLive());
        Store none = new Store(empty);
        try (LiveModel without = none.open();
                LiveModel with = none.open(Store.options().name("other").hasFallback(true).build())) {
            assertFalse(without.isReady());
            assertTrue(with.isReady() && without.isLive());
        }
    }

    @Test
    void prometheus_text_is_written_to_a_direct_buffer_or_the_error_says_the_required_length() {
        ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 20);
        buffer.position(7);
        live.writePrometheus(buffer);
        int end = buffer.position();
        ((Buffer) buffer).flip().position(7);
        String text = StandardCharsets.UTF_8.decode(buffer).toString();
        assertTrue(text.startsWith("# HELP ") && text.endsWith("\n"), text);
        assertTrue(text.lines().anyMatch(line -> line.startsWith("omomi_") && line.contains("logic_id=\"live-ロジック-1\"")), text);
        // Each series is there once: a name with its labels, before the value.
        List<String> series = text.lines()
                .filter(line -> !line.startsWith("#"))
                .map(line -> line.substring(0, line.lastIndexOf(' ')))
                .toList();
        assertEquals(series.size(), new HashSet<>(series).size(), text);
        List<String> heads = text.lines().filter(line -> line.startsWith("# TYPE ")).toList();
        assertEquals(heads.size(), new HashSet<>(heads).size(), text);
        buffer.clear().limit(end - 8);
        OmomiException tooSmall = assertThrows(OmomiException.class, () -> live.writePrometheus(buffer.position(0)));
        assertEquals(Code.WRONG_SIZE, tooSmall.code());
        assertEquals(0, buffer.position());
        for (ByteBuffer wrong : new ByteBuffer[] {ByteBuffer.allocate(1 << 20), buffer.asReadOnlyBuffer()}) {
            OmomiException refused = assertThrows(OmomiException.class, () -> live.writePrometheus(wrong));
            assertEquals(Code.INVALID_ARGUMENT, refused.code());
        }
        assertEquals(Code.NULL_ARGUMENT, assertThrows(OmomiException.class, () -> live.writePrometheus(null)).code());
    }
}
