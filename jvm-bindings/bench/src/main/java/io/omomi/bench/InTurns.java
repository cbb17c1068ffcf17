package io.omomi.bench;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Times all contestants of one kind in turns within this JVM, and prints medians, quartiles and whether the targets are
 * met. Called by {@code run --in-turns} with settings {@code name=value}.
 */
public final class InTurns {
    /** The targets are for tables that do not fit into a core's own caches. */
    private static final long MIN_WEIGHTS_OF_TARGETS = 1_000_000;

    private final Kind kind;
    private final int candidates;
    private final List<String> names;
    private final Rounds rounds;

    private InTurns(Map<String, String> settings) {
        kind = Kind.valueOf(settings.get("kind"));
        candidates = Integer.parseInt(settings.getOrDefault("candidates", Integer.toString(Traffic.CANDIDATES)));
        names = names(kind, settings.get("only"));
        rounds = new Contest(kind, names, candidates).run(Integer.parseInt(settings.get("rounds")));
    }

    public static void main(String[] arguments) {
        Map<String, String> settings = new HashMap<>();
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            settings.put(argument.substring(0, equals), argument.substring(equals + 1));
        }
        new InTurns(settings).print();
    }

    private static List<String> names(Kind kind, String only) {
        List<String> names = new ArrayList<>(kind == Kind.ID ? Contestants.WITH_IDS : Contestants.WITH_TEXTS);
        for (String name : inSteps(kind)) {
            names.add(name + Contestants.FILLING);
            names.add(name + Contestants.READING);
        }
        if (kind == Kind.ID) {
            names.add(Contestants.OMOMI_LOGGED + Contestants.RECORDING);
        }
        if (only != null) {
            names.removeIf(name -> !name.matches(only));
        }
        return names;
    }

    private static List<String> inSteps(Kind kind) {
        return kind == Kind.ID ? Contestants.IN_STEPS_WITH_IDS : Contestants.IN_STEPS_WITH_TEXTS;
    }

    private void print() {
        line("## %s %s", System.getProperty("java.vm.name"), System.getProperty("java.vm.version"));
        line("");
        line("Requests of %d candidates, 10 context fields and 10 fields a candidate, type %s, %s weights", candidates,
                kind.name().toLowerCase(Locale.ROOT), System.getProperty("omomi.bench.weights"));
        line("");
        line("| contestant | ns a request | quartiles | ns a candidate | times `%s` | quartiles | bytes allocated |", names.get(0));
        line("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        for (String name : names) {
            Rounds.Spread nanos = rounds.nanos(name);
            Rounds.Spread times = rounds.times(name, names.get(0));
            line("| %s | %,.0f | %,.0f to %,.0f | %,.1f | %.2f | %.2f to %.2f | %,.0f |",
                    name, nanos.median(), nanos.low(), nanos.high(), nanos.median() / candidates, times.median(), times.low(),
                    times.high(), rounds.bytes(name));
        }
        line("");
        inSteps(kind).forEach(this::shares);
        boolean isLarge = Long.getLong("omomi.bench.weights") >= MIN_WEIGHTS_OF_TARGETS;
        if (kind == Kind.ID && candidates == Traffic.CANDIDATES && isLarge) {
            target(5, Contestants.FASTUTIL_KEYS);
            target(20, Contestants.HASH_MAP);
            bytes();
        }
        line("");
    }

    private void shares(String name) {
        if (names.containsAll(List.of(name, name + Contestants.FILLING, name + Contestants.READING))) {
            double fill = 100 * rounds.times(name + Contestants.FILLING, name).median();
            double read = 100 * rounds.times(name + Contestants.READING, name).median();
            line("* time of %s: filling %.0f %%, native call %.0f %%, reading %.0f %%", name, fill, 100 - fill - read, read);
        }
    }

    private void target(double wanted, String rival) {
        if (names.containsAll(List.of(rival, Contestants.OMOMI))) {
            Rounds.Spread times = rounds.times(rival, Contestants.OMOMI);
            line("* times faster than %s: %.0f wanted, %.2f found, quartiles %.2f to %.2f, %s",
                    rival, wanted, times.median(), times.low(), times.high(), word(times.median() >= wanted));
        }
    }

    private void bytes() {
        if (names.contains(Contestants.OMOMI)) {
            double bytes = rounds.bytes(Contestants.OMOMI);
            line("* bytes allocated by a request: 0 wanted, %.2f found, %s", bytes, word(bytes == 0));
        }
    }

    private static String word(boolean met) {
        return met ? "met" : "MISSED";
    }

    private static void line(String format, Object... arguments) {
        System.out.printf(Locale.ROOT, format + "%n", arguments);
    }
}
