package io.omomi;

import java.nio.file.Path;

/**
 * One verified weight file in memory. Immutable; threads may share it.
 *
 * <p>A {@link Scorer} holds its own reference. A model may therefore be closed as soon as the scorers that replace the
 * old ones are open, while others still score. The memory is freed when the last of them is closed.
 */
public final class Model implements AutoCloseable {
    private final Path path;
    private final Handle handle;
    private final long generation;
    private final long weightCount;
    private final long lenBytes;
    private final String logicId;
    private final String contract;
    private volatile boolean closed;

    private Model(Path path, long address) {
        this.path = path;
        this.handle = new Handle(this, address, Native::closeModel);
        long[] numbers = Native.modelNumbers(address);
        this.generation = numbers[0];
        this.weightCount = numbers[1];
        this.lenBytes = numbers[2];
        this.logicId = Native.modelLogicId(address);
        this.contract = Native.modelContract(address);
    }

    /** Opens a weight file in the mode {@link LoadMode#MAP}: see {@link #open(Path, LoadMode)}. */
    public static Model open(Path path) {
        return open(path, LoadMode.MAP);
    }

    /**
     * Opens a weight file: reads and verifies every byte, and recomputes its golden requests. Takes about a second per
     * gigabyte, so do not call it on the request path.
     *
     * @throws OmomiException if the file is refused, naming the fault and who must act; with {@link
     *     Code#INVALID_ARGUMENT} for a path of another file system than the default one, such as inside a zip file;
     *     with {@link Code#LIBRARY_NOT_LOADED} if there is no native library
     */
    public static Model open(Path path, LoadMode mode) {
        if (path == null) {
            throw OmomiException.nullArgument("path");
        }
        if (mode == null) {
            throw OmomiException.nullArgument("mode");
        }
        NativeLibrary.load();
        return new Model(path, Native.openModel(PathBytes.of(path, "path"), mode.ordinal()));
    }

    /** Returns the file that was opened. */
    public Path path() {
        checkOpen();
        return path;
    }

    /** Returns the generation: a number that only increases from weight file to weight file. */
    public long generation() {
        checkOpen();
        return generation;
    }

    /** Returns the logic id, to be logged with each score. */
    public String logicId() {
        checkOpen();
        return logicId;
    }

    /** Returns the number of weights, the bias excluded. */
    public long weightCount() {
        checkOpen();
        return weightCount;
    }

    /** Returns the length of the weight file in bytes. */
    public long lenBytes() {
        checkOpen();
        return lenBytes;
    }

    /** Returns the contract as canonical JSON: which fields the model reads, and what they mean. */
    public String contract() {
        checkOpen();
        return contract;
    }

    /** Returns the declaration of exactly the fields that the model reads: see {@link Schema#ofContract}. */
    public Schema schema() {
        return Schema.ofContract(contract());
    }

    /** Releases this reference to the weight file. May be called twice, and while scorers of this model score. */
    @Override
    public synchronized void close() {
        closed = true;
        handle.close();
    }

    /**
     * Returns another native reference, to be passed to {@link Native#closeModel}. Holds the lock of {@link #close},
     * which frees what this reads.
     */
    synchronized long share() {
        checkOpen();
        return Native.shareModel(handle.address());
    }

    private void checkOpen() {
        if (closed) {
            throw OmomiException.closed("model");
        }
    }

    @Override
    public String toString() {
        return "Model(" + path + ", generation " + generation + (closed ? ", closed)" : ")");
    }
}
