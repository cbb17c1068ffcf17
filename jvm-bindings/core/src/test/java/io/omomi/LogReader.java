package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;

/**
 * Reads a serving log with the program of {@code tests/reference}, which shares no code with the library: it was
 * written from the specification alone.
 */
final class LogReader {
    final List<Map<String, Object>> predictions = new ArrayList<>();
    final List<Map<String, Object>> shadows = new ArrayList<>();
    final List<Map<String, Object>> details = new ArrayList<>();
    final List<Map<String, Object>> events = new ArrayList<>();
    final List<Map<String, Object>> rings = new ArrayList<>();
    /** Predictions that were computed again, with the same bits. */
    long equalCount;

    private LogReader() {}

    /** Reads the sealed segments in {@code folder}. */
    static LogReader read(Path folder) throws IOException, InterruptedException {
        return read(folder, null);
    }

    /** Reads the sealed segments in {@code folder}, and computes the predictions of {@code weightFile} again. */
    static LogReader read(Path folder, Path weightFile) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("python3", Fixture.path("omomi.test.log.reader").toString()));
        try (Stream<Path> files = Files.list(folder)) {
            // A writer that was killed leaves its status report, too.
            files.map(Path::toString).filter(path -> path.endsWith(".omomilog")).sorted().forEach(command::add);
        }
        if (weightFile != null) {
            command.addAll(List.of("--replay", weightFile.toString()));
        }
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("PYTHONDONTWRITEBYTECODE", "1");
        Process process = null;
        try {
            process = builder.start();
        } catch (IOException absent) {
            Assumptions.abort("there is no python3 to read the log with");
        }
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        LogReader reader = new LogReader();
        output.lines().forEach(reader::add);
        for (Map<String, Object> ring : reader.rings) {
            assertEquals(0L, ring.get("unexplained"), ring.toString());
        }
        return reader;
    }

    private void add(String line) {
        Map<String, Object> record = Json.map(Json.parse(line));
        switch ((String) record.get("kind")) {
            case "prediction" -> predictions.add(record);
            case "shadow" -> shadows.add(record);
            case "detail" -> details.add(record);
            case "event" -> events.add(record);
            case "ring" -> rings.add(record);
            default -> equalCount = (Long) record.get("equal");
        }
    }

    /** Returns the records dropped for a reason, over all rings. */
    long dropped(DropReason reason) {
        return rings.stream()
                .map(ring -> Json.map(ring.get("dropped")).getOrDefault(reason.word(), 0L))
                .mapToLong(count -> (Long) count)
                .sum();
    }

    static void assertBits(double expected, Map<String, Object> record) {
        assertTrue(!Double.isNaN(expected));
        assertEquals(String.format("%016x", Double.doubleToRawLongBits(expected)), record.get("logit"));
    }

    static void assertBits(float expected, Map<String, Object> record) {
        assertEquals(String.format("%08x", Float.floatToRawIntBits(expected)), record.get("probability"));
    }
}
