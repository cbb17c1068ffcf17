package io.omomi.bench;

import java.nio.file.Path;
import java.util.List;

/** All contestants by name. */
final class Contestants {
    /** What the others are measured against. */
    static final String OMOMI = "omomi";
    /** With texts: their values computed once and kept. */
    static final String OMOMI_KEPT = "omomi, texts hashed beforehand";
    static final String HASH_MAP = "java.util.HashMap<String, Double>";
    static final String HASH_MAP_READY = "the same, its keys made beforehand";
    static final String SCALA_HASH_MAP = "scala.collection.mutable.HashMap[String, Double]";
    static final String FASTUTIL_KEYS = "fastutil Long2FloatOpenHashMap";
    static final String FASTUTIL_TEXTS = "fastutil Object2FloatOpenHashMap, one per field";
    static final String MAPPED_TABLE = "MappedByteBuffer, pure Java";

    static final List<String> WITH_IDS =
            List.of(OMOMI, FASTUTIL_KEYS, MAPPED_TABLE, HASH_MAP_READY, SCALA_HASH_MAP, HASH_MAP);
    static final List<String> WITH_TEXTS = List.of(OMOMI, OMOMI_KEPT, FASTUTIL_TEXTS, SCALA_HASH_MAP, HASH_MAP);

    private Contestants() {}

    /** A contestant that is ready to score {@code traffic}, and was seen to give the logits that it must. */
    static Contestant open(String name, Traffic traffic) {
        Contestant opened = switch (name) {
            case OMOMI -> omomi(name, traffic);
            case OMOMI_KEPT -> omomi(name, traffic);
            case HASH_MAP -> new JavaHashMap(traffic);
            case HASH_MAP_READY -> new JavaHashMapReady(traffic);
            case SCALA_HASH_MAP -> new ScalaHashMap(traffic);
            case FASTUTIL_KEYS -> new FastutilKeys(traffic);
            case FASTUTIL_TEXTS -> new FastutilTexts(traffic);
            case MAPPED_TABLE -> new MappedTable(traffic);
            default -> throw new IllegalArgumentException("there is no contestant " + name);
        };
        check(name, opened, traffic);
        return opened;
    }

    /** This library's contestant, checked like the others. */
    static Omomi openOmomi(Traffic traffic) {
        Omomi opened = omomi(OMOMI, traffic);
        check(OMOMI, opened, traffic);
        return opened;
    }

    private static Omomi omomi(String name, Traffic traffic) {
        Path file = Path.of(
                System.getProperty("omomi.bench.folder"), traffic.kind().name().toLowerCase() + ".omomi");
        if (traffic.kind() == Kind.ID) {
            return new OmomiIds(file, traffic);
        }
        return new OmomiTexts(file, traffic, name.equals(OMOMI_KEPT));
    }

    /** Every weight is a multiple of 1/2048, so nothing is rounded and the bits must be the same. */
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
