package io.omomi.bench;

import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.IntFunction;

/**
 * Runs contestants in one JVM in turns: A B C, C B A, A B C, ..., so that disturbances of the machine affect all of
 * them. Works like {@code benches/support/contest.rs}.
 */
final class Contest {
    /**
     * Length of a turn, unless a single request takes longer. Half as long passes untimed before it, because the caches
     * still hold data of the previous contestant.
     */
    private static final long TURN_NANOS = 30_000_000;
    /** Time for the compilers of the JVM for each contestant, in two parts. */
    private static final long WARM_UP_NANOS = 3_000_000_000L;

    private final List<String> names;
    private final List<IntFunction<long[]>> turns = new ArrayList<>();
    private final int[] requests;

    /** Opens all contestants, which check their answers, and runs them until everything is compiled. */
    Contest(Kind kind, List<String> names, int candidates) {
        this.names = names;
        this.requests = new int[names.size()];
        for (String name : names) {
            turns.add(alone(name, kind, candidates));
        }
        for (int portion = 0; portion < 2; portion++) {
            for (IntFunction<long[]> turn : turns) {
                runFor(turn, WARM_UP_NANOS / 2);
            }
        }
        for (int i = 0; i < requests.length; i++) {
            requests[i] = requestsOfTurn(turns.get(i));
        }
    }

    /** Returns the times of {@code count} rounds. */
    Rounds run(int count) {
        Rounds rounds = new Rounds(names, count);
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            order.add(i);
        }
        for (int round = 0; round < count; round++) {
            for (int i : order) {
                turns.get(i).apply((requests[i] + 1) / 2);
                long[] found = turns.get(i).apply(requests[i]);
                rounds.put(i, round, (double) found[0] / requests[i], (double) found[1] / requests[i]);
            }
            Collections.reverse(order);
        }
        return rounds;
    }

    /**
     * Opens a contestant with its own classes, including those of the libraries that it uses. Only the JDK's are
     * shared.
     */
    @SuppressWarnings("unchecked")
    private static IntFunction<long[]> alone(String name, Kind kind, int candidates) {
        try {
            List<URL> urls = new ArrayList<>();
            for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
                urls.add(Path.of(entry).toUri().toURL());
            }
            ClassLoader loader = new URLClassLoader(urls.toArray(new URL[0]), ClassLoader.getPlatformClassLoader());
            return (IntFunction<long[]>) loader.loadClass(Turn.class.getName())
                    .getConstructor(String.class, String.class, int.class)
                    .newInstance(name, kind.name(), candidates);
        } catch (ReflectiveOperationException | MalformedURLException failed) {
            throw new IllegalStateException("cannot open " + name, failed);
        }
    }

    private static void runFor(IntFunction<long[]> turn, long nanos) {
        for (long left = nanos; left > 0; ) {
            left -= turn.apply(10)[0];
        }
    }

    /** Finds the number of requests that fill a turn, by doubling. */
    private static int requestsOfTurn(IntFunction<long[]> turn) {
        int requests = 1;
        while (true) {
            long took = turn.apply(requests)[0];
            if (took >= TURN_NANOS / 2) {
                return (int) Math.max(1, requests * TURN_NANOS / took);
            }
            requests *= 2;
        }
    }
}
