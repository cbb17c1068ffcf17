package io.omomi.bench;

import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;

/** Formats the results of one JDK: medians, and ratios to this library's. */
final class Summary {
    private final Collection<RunResult> results;
    private final StringBuilder text = new StringBuilder();

    Summary(Collection<RunResult> results) {
        this.results = results;
        BenchmarkParams any = results.iterator().next().getParams();
        line("## %s %s", any.getVmName(), any.getVmVersion());
        line("");
        calls();
        requests(Kind.ID);
        requests(Kind.TEXT);
        steps();
        targets();
    }

    String text() {
        return text.toString();
    }

    private void calls() {
        for (RunResult result : of(CallBenchmark.class)) {
            line("%s: %.1f ns", name(result), median(result));
        }
        line("");
    }

    private void requests(Kind kind) {
        List<RunResult> found = of(RequestBenchmark.class).stream()
                .filter(result -> result.getParams().getParam("kind").equals(kind.name()))
                .toList();
        line("A request of 10 context fields and 10 fields a candidate, type %s", kind.name().toLowerCase(Locale.ROOT));
        line("");
        line("| candidates | contestant | ns a request | +- | ns a candidate | times omomi's | bytes allocated |");
        line("| ---: | --- | ---: | ---: | ---: | ---: | ---: |");
        found.stream()
                .sorted((a, b) -> Integer.compare(candidates(a), candidates(b)))
                .forEach(result -> line(
                        "| %d | %s | %,.0f | %.0f %% | %,.1f | %.2f | %,.0f |",
                        candidates(result), contestant(result), median(result), spread(result),
                        median(result) / candidates(result),
                        median(result) / median(of(kind, Contestants.OMOMI, candidates(result))),
                        allocated(result)));
        line("");
    }

    private void steps() {
        line("Where omomi's time goes");
        line("");
        line("| type | candidates | contestant | fill | native call | read |");
        line("| --- | ---: | --- | ---: | ---: | ---: |");
        for (RunResult result : of(StepBenchmark.class)) {
            Map<String, Result> steps = result.getSecondaryResults();
            double fill = steps.get("fill").getScore();
            double predict = steps.get("predict").getScore();
            double read = steps.get("read").getScore();
            double percent = 100 / (fill + predict + read);
            line("| %s | %d | %s | %.1f %% | %.1f %% | %.1f %% |",
                    result.getParams().getParam("kind").toLowerCase(Locale.ROOT), candidates(result), contestant(result),
                    fill * percent, predict * percent, read * percent);
        }
        line("");
    }

    private void targets() {
        if (of(RequestBenchmark.class).stream().noneMatch(result -> candidates(result) == Traffic.CANDIDATES)) {
            return;
        }
        RunResult ours = of(Kind.ID, Contestants.OMOMI, Traffic.CANDIDATES);
        line("What it must show with %d candidates of ids", Traffic.CANDIDATES);
        line("");
        target("times faster than " + Contestants.FASTUTIL_KEYS, 5, times(ours, Contestants.FASTUTIL_KEYS));
        target("times faster than " + Contestants.HASH_MAP, 20, times(ours, Contestants.HASH_MAP));
        line("* bytes allocated by a request: 0 wanted, %.3f found", allocated(ours));
        line("");
    }

    private void target(String what, double wanted, double found) {
        line("* %s: %.0f wanted, %.2f found%s", what, wanted, found, found < wanted ? ": MISSED" : "");
    }

    private double times(RunResult ours, String rival) {
        return median(of(Kind.ID, rival, candidates(ours))) / median(ours);
    }

    private RunResult of(Kind kind, String contestant, int candidates) {
        return of(RequestBenchmark.class).stream()
                .filter(result -> result.getParams().getParam("kind").equals(kind.name())
                        && contestant(result).equals(contestant) && candidates(result) == candidates)
                .findFirst()
                .orElseThrow();
    }

    private List<RunResult> of(Class<?> benchmark) {
        String prefix = benchmark.getName() + ".";
        return results.stream()
                .filter(result -> result.getParams().getBenchmark().startsWith(prefix))
                .toList();
    }

    private static String name(RunResult result) {
        String benchmark = result.getParams().getBenchmark();
        return benchmark.substring(benchmark.lastIndexOf('.') + 1);
    }

    private static int candidates(RunResult result) {
        return Integer.parseInt(result.getParams().getParam("candidates"));
    }

    private static String contestant(RunResult result) {
        return result.getParams().getParam("contestant");
    }

    /** Returns the bytes that the benchmark's thread allocated per request. */
    private static double allocated(RunResult result) {
        long requests = result.getBenchmarkResults().stream()
                .mapToLong(fork -> fork.getMetadata().getMeasurementOps())
                .sum();
        return result.getSecondaryResults().get("bytes").getScore() / requests;
    }

    /** Returns the median over all iterations of all forks. */
    private static double median(RunResult result) {
        return result.getPrimaryResult().getStatistics().getPercentile(50);
    }

    /** Returns half of the interquartile range over all iterations, in percent of the median. */
    private static double spread(RunResult result) {
        var statistics = result.getPrimaryResult().getStatistics();
        return 50 * (statistics.getPercentile(75) - statistics.getPercentile(25)) / median(result);
    }

    private void line(String format, Object... arguments) {
        text.append(String.format(Locale.ROOT, format, arguments)).append('\n');
    }
}
