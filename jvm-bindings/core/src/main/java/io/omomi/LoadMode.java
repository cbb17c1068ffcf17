package io.omomi;

/** How a weight file comes into memory. Both modes verify every byte and the golden requests first. */
public enum LoadMode {
    /** A shared mapping: the page cache is shared by all processes. The file must not be changed in place while it is open. */
    MAP,
    /** Private memory, verified while copying: immune to a copy over the live file. */
    COPY
}
