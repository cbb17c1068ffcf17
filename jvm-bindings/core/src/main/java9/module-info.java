/** Scores ads with an omomi weight file without keeping a single weight on the heap. */
module io.omomi {
    // Annotations for compilers and editors.
    requires static org.jspecify;
    // Java 8 logs by it. Newer ones have System.Logger.
    requires static java.logging;

    exports io.omomi;
}
