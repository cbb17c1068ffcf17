package io.omomi;

/** How a weight file is brought into memory. All modes verify every byte and the golden requests first. */
public enum LoadMode {
    /** A shared mapping: all processes share the page cache. The file must not be changed in place while it is open. */
    MAP,
    /** Private memory, verified while copying. Later changes to the file have no effect. */
    COPY,
    /**
     * {@link #COPY} while a private copy fits a quarter of the available memory or the memory budget, and otherwise
     * {@link #MAP}.
     */
    AUTO
}
