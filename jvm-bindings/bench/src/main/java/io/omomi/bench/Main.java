package io.omomi.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.results.format.ResultFormatFactory;
import org.openjdk.jmh.results.format.ResultFormatType;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/**
 * Runs every benchmark on every given JDK, and prints comparisons. Called by {@code run}. The arguments are settings
 * {@code name=value}, and the homes of JDKs.
 */
public final class Main {
    private static final String MAX_CANDIDATES = Integer.toString(Traffic.CANDIDATES);

    /** Whether to run short, rough measurements. */
    private final boolean isShort;
    private final Map<String, String> settings;

    private Main(Map<String, String> settings) {
        this.settings = settings;
        this.isShort = settings.containsKey("short");
    }

    public static void main(String[] arguments) throws RunnerException {
        Map<String, String> settings = new java.util.LinkedHashMap<>();
        List<String> homes = new ArrayList<>();
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            if (equals < 0) {
                homes.add(argument);
            } else {
                settings.put(argument.substring(0, equals), argument.substring(equals + 1));
            }
        }
        Main main = new Main(settings);
        List<Summary> summaries = new ArrayList<>();
        for (String home : homes) {
            summaries.add(main.runOn(Path.of(home)));
        }
        System.out.println();
        summaries.forEach(summary -> System.out.println(summary.text()));
    }

    private Summary runOn(Path home) throws RunnerException {
        List<RunResult> results = new ArrayList<>();
        results.addAll(run(options(home, CallBenchmark.class)));
        results.addAll(run(of(home, RequestBenchmark.class, Kind.ID, Contestants.WITH_IDS, "1", "10", "100", MAX_CANDIDATES)));
        results.addAll(run(of(home, RequestBenchmark.class, Kind.TEXT, Contestants.WITH_TEXTS, MAX_CANDIDATES)));
        results.addAll(run(of(home, StepBenchmark.class, Kind.ID, Contestants.IN_STEPS_WITH_IDS, MAX_CANDIDATES)));
        results.addAll(run(of(home, StepBenchmark.class, Kind.TEXT, Contestants.IN_STEPS_WITH_TEXTS, MAX_CANDIDATES)));
        Path file = Path.of(settings.get("results"), "jmh-" + home.getFileName() + ".json");
        ResultFormatFactory.getInstance(ResultFormatType.JSON, file.toString()).writeOut(results);
        return new Summary(results);
    }

    private ChainedOptionsBuilder of(
            Path home, Class<?> benchmark, Kind kind, List<String> contestants, String... candidates) {
        String only = settings.get("candidates");
        return options(home, benchmark)
                .param("kind", kind.name())
                .param("contestant", contestants.toArray(new String[0]))
                .param("candidates", only == null ? candidates : new String[] {only});
    }

    private ChainedOptionsBuilder options(Path home, Class<?> benchmark) {
        String only = settings.getOrDefault("only", "");
        return new OptionsBuilder()
                .include("^" + benchmark.getName() + "\\..*" + only)
                .jvm(home.resolve("bin/java").toString())
                // Even on one processor, for which the JVM would choose the serial collector, which servers do not use.
                .jvmArgsAppend(
                        "-Xms4g", "-Xmx4g", "-XX:+UseG1GC", "-XX:+IgnoreUnrecognizedVMOptions",
                        "--enable-native-access=ALL-UNNAMED",
                        "-Dio.omomi.library.path=" + settings.get("library"),
                        "-Domomi.bench.folder=" + settings.get("folder"),
                        "-Domomi.bench.weights=" + settings.get("weights"),
                        "-Domomi.bench.skew=" + settings.get("skew"))
                .mode(Mode.AverageTime)
                .timeUnit(java.util.concurrent.TimeUnit.NANOSECONDS)
                .forks(isShort ? 1 : 3)
                .warmupIterations(isShort ? 2 : 5)
                .warmupTime(TimeValue.milliseconds(isShort ? 800 : 1_000))
                .measurementIterations(5)
                .measurementTime(TimeValue.milliseconds(isShort ? 400 : 1_000))
                .addProfiler(GCProfiler.class)
                .shouldFailOnError(true)
                .verbosity(VerboseMode.NORMAL);
    }

    private static Collection<RunResult> run(ChainedOptionsBuilder options) throws RunnerException {
        return new Runner(options.build()).run();
    }
}
