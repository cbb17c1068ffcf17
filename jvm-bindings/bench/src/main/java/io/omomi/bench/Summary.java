package io.omomi.bench;

import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;

/** What the results of one JDK say, as text: medians, and ratios to this library's. */
final class Summary {
    private static final String ALLOCATED = "gc.alloc.rate.norm";

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
        Map<Integer, Double> ours = new TreeMap<>();
        List<RunResult> found = of(RequestBenchmark.class).stream()
                .filter(result -> result.getParams().getParam("kind").equals(kind.name()))
                .toList();
        for (RunResult result : found) {
            if (contestant(result).equals(Contestants.OMOMI)) {
                ours.put(candidates(result), median(result));
            }
        }
        line("A request of 10 context fields and 10 fields a candidate, type %s", kind.name().toLowerCase(Locale.ROOT));
        line("");
        line("| candidates | contestant | ns a request | +- | ns a candidate | times omomi's | bytes allocated |");
        line("| ---: | --- | ---: | ---: | ---: | ---: | ---: |");
        found.stream()
                .sorted((a, b) -> Integer.compare(candidates(a), candidates(b)))
                .forEach(result -> line(
                        "| %d | %s | %,.0f | %.0f %% | %,.1f | %.2f | %,.0f |",
                        candidates(result), contestant(result), median(result), spread(result),
                        median(result) / candidates(result), median(result) / ours.get(candidates(result)),
                        result.getSecondaryResults().get(ALLOCATED).getScore()));
        line("");
    }

    private void steps() {
        line("Where omomi's time goes");
        line("");
        line("| type | candidates | fill | native call | read |");
        line("| --- | ---: | ---: | ---: | ---: |");
        for (RunResult result : of(StepBenchmark.class)) {
            Map<String, Result> steps = result.getSecondaryResults();
            double fill = steps.get("fill").getScore();
            double predict = steps.get("predict").getScore();
            double read = steps.get("read").getScore();
            double percent = 100 / (fill + predict + read);
            line("| %s | %d | %.1f %% | %.1f %% | %.1f %% |",
                    result.getParams().getParam("kind").toLowerCase(Locale.ROOT), candidates(result),
                    fill * percent, predict * percent, read * percent);
        }
        line("");
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

    /** Of all iterations of all forks. */
    private static double median(RunResult result) {
        return result.getPrimaryResult().getStatistics().getPercentile(50);
    }

    /** Half of what lies between the quarter and three quarters of all iterations, in percent of the median. */
    private static double spread(RunResult result) {
        var statistics = result.getPrimaryResult().getStatistics();
        return 50 * (statistics.getPercentile(75) - statistics.getPercentile(25)) / median(result);
    }

    private void line(String format, Object... arguments) {
        text.append(String.format(Locale.ROOT, format, arguments)).append('\n');
    }
}
