package io.omomi.bench;

import java.util.Arrays;
import java.util.List;
import java.util.function.IntToDoubleFunction;

/** The measurements of a contest, round by round. */
final class Rounds {
    private final List<String> names;
    private final int count;
    private final double[][] nanos;
    private final double[][] bytes;

    Rounds(List<String> names, int count) {
        this.names = names;
        this.count = count;
        this.nanos = new double[names.size()][count];
        this.bytes = new double[names.size()][count];
    }

    /** Records the cost of a request of one contestant in one round. */
    void put(int contestant, int round, double requestNanos, double requestBytes) {
        nanos[contestant][round] = requestNanos;
        bytes[contestant][round] = requestBytes;
    }

    /** Returns the nanoseconds per request. */
    Spread nanos(String contestant) {
        double[] found = nanos[index(contestant)];
        return spread(round -> found[round]);
    }

    /** Returns the time of a contestant divided by that of {@code of}, computed within each round. */
    Spread times(String contestant, String of) {
        double[] found = nanos[index(contestant)];
        double[] reference = nanos[index(of)];
        return spread(round -> found[round] / reference[round]);
    }

    /** Returns the heap bytes per request in the round with the fewest, because the JVM itself sometimes allocates. */
    double bytes(String contestant) {
        return Arrays.stream(bytes[index(contestant)]).min().orElseThrow();
    }

    private int index(String contestant) {
        int index = names.indexOf(contestant);
        if (index < 0) {
            throw new IllegalArgumentException("no contestant is called " + contestant);
        }
        return index;
    }

    private Spread spread(IntToDoubleFunction ofRound) {
        double[] sorted = new double[count];
        Arrays.setAll(sorted, ofRound);
        Arrays.sort(sorted);
        return new Spread(sorted[(count - 1) / 4], sorted[(count - 1) / 2], sorted[(count - 1) * 3 / 4]);
    }

    /** Median and quartiles. */
    record Spread(double low, double median, double high) {}
}
