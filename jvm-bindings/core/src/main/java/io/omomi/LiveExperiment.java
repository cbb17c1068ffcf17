package io.omomi;

import java.nio.ByteBuffer;
import java.nio.file.Path;

/**
 * Serves the arms of an experiment file: follows the file, and the store of each arm. Threads of the native library do
 * so. Open one for each experiment, and an {@link ExperimentScorer} for each thread. Any number of threads may use one
 * experiment.
 *
 * <p>Opening never fails because of the contents of the file or of the stores. If the file is not good, the last good
 * one stays in force; {@link #status} gives the reasons.
 *
 * <p>If native code forks the JVM's process, calls in the fork throw {@link Code#FORKED}: the threads are not there.
 *
 * <pre>{@code
 * LiveOptions options = LiveOptions.builder().name("ad-server-1").build();
 * LiveExperiment experiment = LiveExperiment.open(Paths.get("/srv/wide-model.experiment"), schema, options);
 * ExperimentScorer scorer = ExperimentScorer.open(experiment, layout.forModels(2)); // with room for one shadow
 * }</pre>
 */
public final class LiveExperiment implements AutoCloseable {
    private final Path file;
    private final SharedHandle handle;

    private LiveExperiment(Path file, long address) {
        this.file = file;
        this.handle = new SharedHandle(address, Native::closeExperiment, "experiment");
    }

    /**
     * Opens the experiment file {@code file} for a server that declares {@code schema}. Each arm's store is opened with
     * {@code options}, whose name and poll interval are also those of the experiment; limits such as the memory budget
     * are those of each store. Returns after the first look at the file and at the stores.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} for options that can never work, and for a file of
     *     another file system than the default one
     */
    public static LiveExperiment open(Path file, Schema schema, LiveOptions options) {
        if (file == null) {
            throw OmomiException.nullArgument("file");
        }
        if (schema == null) {
            throw OmomiException.nullArgument("schema");
        }
        if (options == null) {
            throw OmomiException.nullArgument("options");
        }
        NativeLibrary.load();
        byte[] path = PathBytes.of(file, "file");
        return new LiveExperiment(file, Native.openExperiment(path, schema.encoded(), options.encoded()));
    }

    /** Opens an experiment file with the default options: see {@link #open(Path, Schema, LiveOptions)}. */
    public static LiveExperiment open(Path file, Schema schema) {
        return open(file, schema, LiveOptions.defaults());
    }

    /** Returns the experiment file. */
    public Path file() {
        return file;
    }

    /**
     * Looks at the file and at the stores now instead of at the next poll, and returns after that. Takes seconds if
     * there are large files to load.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public void lookNow() {
        long address = handle.begin();
        try {
            Native.lookAtExperiment(address);
        } finally {
            handle.end();
        }
    }

    /**
     * Returns the status: the version in force, what is wrong, and for each arm its share, whether it can answer, its
     * generation and logic id, its reasons and its counts. Not for the request path: it allocates, and may wait for the
     * background thread.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public ExperimentStatus status() {
        long address = handle.begin();
        try {
            return new ExperimentStatus(Native.experimentStatus(address));
        } finally {
            handle.end();
        }
    }

    /**
     * Writes the status as Prometheus text ({@code text/plain; version=0.0.4}, UTF-8) at the position of a direct
     * buffer, and moves the position to the end of the text. Every series has the label {@code experiment}, and those
     * of an arm the label {@code arm}. No family has the name of one of {@link LiveModel#writePrometheus} or {@link
     * ServingLog#writePrometheus}, so one page can have them all.
     *
     * @throws OmomiException with {@link Code#WRONG_SIZE} and the required length if the buffer has too little room
     *     (its position is unchanged); {@link Code#INVALID_ARGUMENT} for a buffer that is not direct or is read-only;
     *     {@link Code#CLOSED}
     */
    public void writePrometheus(ByteBuffer buffer) {
        PrometheusText.write(handle, buffer, Native::experimentPrometheus);
    }

    /**
     * Returns the status as a JSON object: the version in force, what is wrong, and for each arm its share, whether it
     * can answer, its generation and logic id, its reasons and its counts.
     *
     * @throws OmomiException with {@link Code#CLOSED}
     */
    public String statusJson() {
        long address = handle.begin();
        try {
            return Native.experimentStatusJson(address);
        } finally {
            handle.end();
        }
    }

    /**
     * Closes the experiment: ends the threads that follow the file and the stores, after calls in progress. Scorers
     * continue with the arms and generations that they have. May be called twice.
     */
    @Override
    public void close() {
        handle.close();
    }

    /** Opens a native scorer over the block of {@code request} and {@code memory}. The set is 0 for none. */
    long openScorer(RequestLayout layout, long set, Request request, ByteBuffer memory) {
        long address = handle.begin();
        try {
            return Native.openExperimentScorer(address, layout.encoded(), set, request.block, memory);
        } finally {
            handle.end();
        }
    }

    @Override
    public String toString() {
        return "LiveExperiment(" + file + ")";
    }
}
