package io.omomi;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Another JVM of this JDK, with other options, locale or main class, and with this one's class path and fixtures. */
final class ChildJvm {
    private final List<String> options = new ArrayList<>();
    private final Map<String, String> environment = new TreeMap<>();
    private final List<String> launcher = new ArrayList<>();
    private File directory;
    private Class<?> main = PathsTest.Program.class;

    ChildJvm option(String option) {
        options.add(option);
        return this;
    }

    ChildJvm environment(String name, String value) {
        environment.put(name, value);
        return this;
    }

    /** A command that starts the JVM, whose command follows as further arguments. */
    ChildJvm launcher(List<String> command) {
        launcher.addAll(command);
        return this;
    }

    ChildJvm directory(Path directory) {
        this.directory = directory.toFile();
        return this;
    }

    ChildJvm main(Class<?> main) {
        this.main = main;
        return this;
    }

    /** Runs {@code main} with these arguments, and returns its output and errors. */
    String run(String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(launcher);
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.add("-Xmx256m");
        for (String name : System.getProperties().stringPropertyNames()) {
            if (name.startsWith("omomi.test.") || name.startsWith("io.omomi.")) {
                command.add("-D" + name + "=" + System.getProperty(name));
            }
        }
        command.addAll(options);
        if (Runtime.version().feature() >= 24 && options.stream().noneMatch(option -> option.contains("native-access"))) {
            // Otherwise the JVM prints a warning.
            command.add("--enable-native-access=ALL-UNNAMED");
        }
        command.addAll(List.of("-cp", classPath(), main.getName()));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).directory(directory);
        builder.environment().putAll(environment);
        // A JVM prints a line if this is set.
        builder.environment().remove("JAVA_TOOL_OPTIONS");
        Process process = builder.start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return output;
    }

    /** Absolute, because the child may have another {@code user.dir}. */
    private static String classPath() {
        // Surefire may start its JVM with a jar that only lists the class path.
        String path = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
        List<String> absolute = new ArrayList<>();
        for (String entry : path.split(File.pathSeparator)) {
            absolute.add(Path.of(entry).toAbsolutePath().toString());
        }
        return String.join(File.pathSeparator, absolute);
    }
}
