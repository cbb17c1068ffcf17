package io.omomi.bench;

import java.nio.file.Path;
import java.util.List;

/** All contestants by name. */
final class Contestants {
    /** The contestant that the others are compared with. */
    static final String OMOMI = "omomi";
    /** With texts: their values are computed once and kept. */
    static final String OMOMI_KEPT = "omomi, texts hashed beforehand";
    /** With ids: sets a row at a time from arrays. */
    static final String OMOMI_ROWS = "omomi, rows and answers by arrays";
    static final String OMOMI_PREPARED = "omomi, candidates prepared";
    static final String OMOMI_PREPARED_ARRAYS = "omomi, candidates prepared, by arrays";
    static final String OMOMI_MODELS = "omomi, three models in one call";
    static final String OMOMI_MODEL_CALLS = "omomi, three models, a call each";
    static final String OMOMI_LOGGED = "omomi, one candidate recorded in a serving log";
    static final String HASH_MAP = "java.util.HashMap<String, Double>";
    static final String HASH_MAP_READY = "the same, its keys made beforehand";
    static final String SCALA_HASH_MAP = "scala.collection.mutable.HashMap[String, Double]";
    static final String FASTUTIL_KEYS = "fastutil Long2FloatOpenHashMap";
    static final String FASTUTIL_TEXTS = "fastutil Object2FloatOpenHashMap, one per field";
    static final String MAPPED_TABLE = "MappedByteBuffer, pure Java";

    static final String KEPT_SUMS = "the candidates' sums kept in an array";

    static final List<String> WITH_IDS = List.of(
            OMOMI, OMOMI_ROWS, OMOMI_PREPARED, OMOMI_PREPARED_ARRAYS, KEPT_SUMS, OMOMI_MODELS, OMOMI_MODEL_CALLS,
            OMOMI_LOGGED, FASTUTIL_KEYS, MAPPED_TABLE, HASH_MAP_READY, SCALA_HASH_MAP, HASH_MAP);
    static final List<String> WITH_TEXTS = List.of(OMOMI, OMOMI_KEPT, FASTUTIL_TEXTS, SCALA_HASH_MAP, HASH_MAP);

    /** Suffix of the name of one of this library's contestants: times one step instead of a whole request. */
    static final String FILLING = ": filling alone";
    static final String READING = ": reading alone";
    /** A record is timed, of one candidate. */
    static final String RECORDING = ": recording alone";

    /** Contestants whose steps are timed separately. */
    static final List<String> IN_STEPS_WITH_IDS =
            List.of(OMOMI, OMOMI_ROWS, OMOMI_PREPARED, OMOMI_PREPARED_ARRAYS, OMOMI_MODELS);
    static final List<String> IN_STEPS_WITH_TEXTS = List.of(OMOMI, OMOMI_KEPT);

    private Contestants() {}

    /** Opens a contestant for {@code traffic}, after checking its logits. */
    static Contestant open(String name, Traffic traffic) {
        if (name.endsWith(FILLING)) {
            return OmomiStep.filling(openOmomi(name.substring(0, name.length() - FILLING.length()), traffic));
        }
        if (name.endsWith(READING)) {
            return OmomiStep.reading(openOmomi(name.substring(0, name.length() - READING.length()), traffic));
        }
        if (name.equals(OMOMI_LOGGED + RECORDING)) {
            return OmomiStep.recording((OmomiLogged) openOmomi(OMOMI_LOGGED, traffic));
        }
        Contestant opened = switch (name) {
            case OMOMI, OMOMI_KEPT, OMOMI_ROWS, OMOMI_PREPARED, OMOMI_PREPARED_ARRAYS, OMOMI_MODELS, OMOMI_MODEL_CALLS,
                    OMOMI_LOGGED ->
                    omomi(name, traffic);
            case HASH_MAP -> new JavaHashMap(traffic);
            case HASH_MAP_READY -> new JavaHashMapReady(traffic);
            case SCALA_HASH_MAP -> new ScalaHashMap(traffic);
            case FASTUTIL_KEYS -> new FastutilKeys(traffic);
            case FASTUTIL_TEXTS -> new FastutilTexts(traffic);
            case MAPPED_TABLE -> new MappedTable(traffic);
            case KEPT_SUMS -> new KeptSums(traffic);
            default -> throw new IllegalArgumentException("there is no contestant " + name);
        };
        ready(name, opened, traffic);
        return opened;
    }

    /** Opens a contestant of this library, checked like the others. */
    static Omomi openOmomi(String name, Traffic traffic) {
        Omomi opened = omomi(name, traffic);
        ready(name, opened, traffic);
        return opened;
    }

    private static Omomi omomi(String name, Traffic traffic) {
        Path file = Path.of(
                System.getProperty("omomi.bench.folder"), traffic.kind().name().toLowerCase() + ".omomi");
        boolean ids = traffic.kind() == Kind.ID;
        return switch (name) {
            case OMOMI -> ids ? new OmomiIds(file, traffic) : new OmomiTexts(file, traffic, false);
            case OMOMI_KEPT -> new OmomiTexts(file, traffic, true);
            case OMOMI_ROWS -> new OmomiIdRows(file, traffic);
            case OMOMI_PREPARED -> new OmomiPrepared(file, traffic, false);
            case OMOMI_PREPARED_ARRAYS -> new OmomiPrepared(file, traffic, true);
            case OMOMI_MODELS -> new OmomiModels(file, traffic);
            case OMOMI_MODEL_CALLS -> new OmomiModelCalls(file, traffic);
            case OMOMI_LOGGED -> new OmomiLogged(file, traffic);
            default -> throw new IllegalArgumentException(name + " is not of this library");
        };
    }

    private static void ready(String name, Contestant contestant, Traffic traffic) {
        check(name, contestant, traffic);
        // The collector has long moved the objects of a server next to each other. Before that, they are spread one per
        // page among the garbage created with them, and reading texts takes half as long again.
        System.gc();
    }

    /** Every weight is a multiple of 1/2048, so nothing is rounded and the bits must be equal. */
    private static void check(String name, Contestant contestant, Traffic traffic) {
        for (int request = 0; request < Traffic.REQUESTS; request++) {
            contestant.score(request, Traffic.CANDIDATES);
            for (int candidate = 0; candidate < Traffic.CANDIDATES; candidate += 1 + request) {
                double expected = traffic.expectedLogit(request, candidate);
                double found = contestant.logit(candidate);
                if (expected != found) {
                    throw new AssertionError(name + ", request " + request + ", candidate " + candidate
                            + ": expected the logit " + expected + ", found " + found);
                }
            }
        }
    }
}
