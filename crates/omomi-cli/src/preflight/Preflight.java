import io.omomi.Model;
import java.nio.file.Files;
import java.nio.file.Paths;

/** Opens a weight file, which recomputes its golden requests, and reports as a line of JSON. */
public final class Preflight {
    public static void main(String[] arguments) throws Exception {
        long begin = System.nanoTime();
        try (Model model = Model.open(Paths.get(arguments[0]))) {
            long openNs = System.nanoTime() - begin;
            String version = Model.class.getPackage().getImplementationVersion();
            System.out.println("{\"version\":" + (version == null ? "null" : "\"" + version + "\"")
                    + ",\"generation\":" + model.generation() + ",\"weights\":" + model.weightCount()
                    + ",\"open_ns\":" + openNs + ",\"peak_memory_bytes\":" + peakMemoryBytes() + "}");
        }
    }

    /** The most memory that this process had, or null where the system does not say it. */
    private static String peakMemoryBytes() throws Exception {
        if (Files.isReadable(Paths.get("/proc/self/status"))) {
            for (String line : Files.readAllLines(Paths.get("/proc/self/status"))) {
                if (line.startsWith("VmHWM:")) {
                    String kilobytes = line.substring(6).replace("kB", "").trim();
                    return Long.toString(Long.parseLong(kilobytes) * 1024);
                }
            }
        }
        return "null";
    }
}
