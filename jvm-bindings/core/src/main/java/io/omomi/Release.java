package io.omomi;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** What the jar says of its release: the version, and the platforms that have no library, with the reasons. */
final class Release {
    /** Under a folder that is no package, because a module hides what is in its packages. */
    static final String VERSION_RESOURCE = "META-INF/io.omomi/version";

    /** One line for each platform: its name, a space, and the reason. */
    static final String MISSING_RESOURCE = "META-INF/io.omomi/missing";

    private Release() {}

    /** Returns the version of the jar that these classes are from, or {@code unknown} if a tool dropped it. */
    static String version() {
        try {
            String text = read("/" + VERSION_RESOURCE);
            return text == null ? "unknown" : text;
        } catch (IOException unreadable) {
            return "unknown";
        }
    }

    /** Returns why the release has no library for a platform, or null if it does not say so. */
    static @Nullable String whyMissing(String platform) throws IOException {
        String text = read("/" + MISSING_RESOURCE);
        for (String line : text == null ? new String[0] : text.split("\n")) {
            if (line.startsWith(platform + " ")) {
                return line.substring(platform.length()).trim();
            }
        }
        return null;
    }

    /**
     * Describes the releases that the class loader of these classes could mix up, or returns null if there is one.
     * Classes come from whichever jar is first, so a server would run a mixture that was never tested, and which one
     * depends on the order of the class path. Jars of the same version are harmless.
     */
    static @Nullable String mixture() throws IOException {
        Map<String, String> versions = new LinkedHashMap<>();
        for (URL url : ownResources(Release.class.getClassLoader())) {
            String jar = url.toString().replaceFirst("!?/" + VERSION_RESOURCE + "$", "");
            try (InputStream in = uncached(url)) {
                versions.put(jar, text(in));
            }
        }
        if (new TreeSet<>(versions.values()).size() < 2) {
            return null;
        }
        List<String> found = new ArrayList<>();
        versions.forEach((jar, version) -> found.add(version + " in " + jar));
        return String.join(", ", found);
    }

    /** Leaves out what a parent has: a web application may have a release of its own, which hides the server's. */
    private static List<URL> ownResources(@Nullable ClassLoader loader) throws IOException {
        if (loader == null) {
            return Collections.emptyList();
        }
        List<URL> own = new ArrayList<>(Collections.list(loader.getResources(VERSION_RESOURCE)));
        if (loader.getParent() != null) {
            // By text, because comparing URLs may look up a host.
            List<String> inherited = new ArrayList<>();
            Collections.list(loader.getParent().getResources(VERSION_RESOURCE))
                    .forEach(url -> inherited.add(url.toString()));
            own.removeIf(url -> inherited.contains(url.toString()));
        }
        return own;
    }

    /** A cached connection would keep the jar open after its class loader is closed. */
    private static InputStream uncached(URL url) throws IOException {
        URLConnection connection = url.openConnection();
        connection.setUseCaches(false);
        return connection.getInputStream();
    }

    /** Returns the text of a resource without spaces around it, or null if there is none. */
    static @Nullable String read(String resource) throws IOException {
        try (InputStream in = Release.class.getResourceAsStream(resource)) {
            return in == null ? null : text(in);
        }
    }

    private static String text(InputStream in) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        byte[] buffer = new byte[1 << 10];
        for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
            bytes.write(buffer, 0, read);
        }
        return new String(bytes.toByteArray(), StandardCharsets.UTF_8).trim();
    }
}
