package io.omomi;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** A store to which a test publishes, and which it damages: implements the layout of {@code src/store} by hand. */
final class Store {
    /** Number of generations that {@code tests/jvm} packs: 1 to this. */
    static final int GENERATION_COUNT = 48;
    /** Number of candidates in the request whose answers are known. */
    static final int CANDIDATES = 20;

    private static final Map<Long, double[]> KNOWN_LOGITS = new ConcurrentHashMap<>();

    final Path dir;

    Store(Path dir) throws IOException {
        this.dir = dir;
        Files.createDirectories(dir.resolve("generations"));
        follow();
    }

    static LiveOptions.Builder options() {
        return LiveOptions.builder()
                .name("jvm-test")
                // Looks on demand only, and ends a trial successfully at the next look.
                .pollInterval(java.time.Duration.ofHours(1))
                .trial(java.time.Duration.ZERO);
    }

    LiveModel open() {
        return open(options().build());
    }

    LiveModel open(LiveOptions options) {
        return LiveModel.open(dir, Fixture.SCHEMA, options);
    }

    Path path(long generation) {
        return dir.resolve("generations").resolve(name(generation));
    }

    /** Returns the bytes of a good file. */
    static byte[] bytes(long generation) throws IOException {
        return Files.readAllBytes(original(generation));
    }

    /** Returns the logits that the generation gives to {@link Fixture#fill} with {@link #CANDIDATES} candidates. */
    static double[] logits(long generation) {
        return KNOWN_LOGITS.computeIfAbsent(generation, Store::computeLogits);
    }

    void publish(long generation) throws IOException {
        publish(generation, bytes(generation));
    }

    void publish(long generation, byte[] bytes) throws IOException {
        replace(path(generation), bytes);
        replace(dir.resolve("current"), (String.format("%06d ", generation) + digest(bytes) + "\n").getBytes());
    }

    /** Writes {@code control}: {@code off}, {@code freeze}, {@code on pin 000041} and so on. */
    void order(String orders) throws IOException {
        replace(dir.resolve("control"), (orders + "\n").getBytes());
    }

    /** Lets the published generation be served again, with scoring on. */
    void follow() throws IOException {
        order("on follow");
    }

    /** Overwrites a file in place, which publishers never do. */
    void overwrite(long generation, byte[] bytes) throws IOException {
        Path path = path(generation);
        if (Files.exists(path)) {
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-r--r--"));
        }
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.wrap(bytes), 0);
            file.truncate(bytes.length);
        }
    }

    private static void replace(Path path, byte[] bytes) throws IOException {
        Path sibling = path.resolveSibling(path.getFileName() + ".new");
        Files.write(sibling, bytes);
        Files.setPosixFilePermissions(sibling, PosixFilePermissions.fromString("r--r--r--"));
        Files.move(sibling, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private static double[] computeLogits(long generation) {
        RequestLayout layout = RequestLayout.of(Fixture.SCHEMA, CANDIDATES, 16 << 10);
        try (Model model = Model.open(original(generation), LoadMode.COPY); Scorer scorer = Scorer.open(model, layout)) {
            Fixture.fill(scorer.request(), CANDIDATES, new Fixture.Text());
            scorer.predict(CANDIDATES);
            return logits(scorer);
        }
    }

    static double[] logits(AbstractScorer scorer) {
        double[] logits = new double[CANDIDATES];
        Arrays.setAll(logits, scorer::logit);
        return logits;
    }

    private static Path original(long generation) {
        return Fixture.path("omomi.test.generations").resolve(name(generation));
    }

    private static String name(long generation) {
        return String.format("%06d.omomi", generation);
    }

    private static String digest(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException impossible) {
            throw new AssertionError(impossible);
        }
    }
}
