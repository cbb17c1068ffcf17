package io.omomi;

import java.util.logging.Logger;

/**
 * Messages for the server's log, by {@code System.Logger}, with the name {@code io.omomi}. These classes also run on
 * Java 8, which does not have it, and logs by its predecessor instead.
 */
final class Log {
    private static final String NAME = "io.omomi";

    private Log() {}

    /** Logs that the library caught a defect of its own. */
    static void defect(String message) {
        try {
            Class<?> logger = Class.forName("java.lang.System$Logger");
            Class<?> level = Class.forName("java.lang.System$Logger$Level");
            Object own = System.class.getMethod("getLogger", String.class).invoke(null, NAME);
            logger.getMethod("log", level, String.class).invoke(own, level.getField("ERROR").get(null), message);
        } catch (ReflectiveOperationException older) {
            Logger.getLogger(NAME).severe(message);
        }
    }
}
