package io.omomi;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** An experiment of three arms beside their stores, which a test changes by rename. */
final class ExperimentFile {
    /** The generations that the arms serve. */
    static final long CURRENT = 1;
    static final long WIDE = 2;
    static final long DEEP = 3;

    final Path path;
    final Store current;
    final Store wide;
    final Store deep;
    private String unit = "{\"field\": \"media_id\"}";
    private long salt = 7;
    private int currentBuckets = 5_000;
    private String wideState = "serve";
    private int shadowShare;
    private String exploration = "null";
    private long version;

    /** Publishes a generation of each arm, but not the experiment. */
    ExperimentFile(Path folder) throws IOException {
        path = folder.resolve("wide-model.experiment");
        current = new Store(folder.resolve("current"));
        wide = new Store(folder.resolve("wide"));
        deep = new Store(folder.resolve("deep"));
        current.publish(CURRENT);
        wide.publish(WIDE);
        deep.publish(DEEP);
    }

    /** Sets the unit: {@code "request"} or a field, as JSON. */
    ExperimentFile unit(String unit) {
        this.unit = unit;
        return this;
    }

    ExperimentFile salt(long salt) {
        this.salt = salt;
        return this;
    }

    /** Sets the number of buckets that the control arm owns; the wide one owns the others. */
    ExperimentFile currentBuckets(int currentBuckets) {
        this.currentBuckets = currentBuckets;
        return this;
    }

    ExperimentFile wideState(String wideState) {
        this.wideState = wideState;
        return this;
    }

    /** Sets how many of 10,000 requests the deep arm scores as a shadow. Without, it is not in the file. */
    ExperimentFile shadowShare(int shadowShare) {
        this.shadowShare = shadowShare;
        return this;
    }

    /** Sets how requests explore, as JSON. */
    ExperimentFile exploration(String exploration) {
        this.exploration = exploration;
        return this;
    }

    /** Writes the next version, and returns its number. */
    long write() throws IOException {
        version++;
        String deepArm = String.format(
                ", {\"name\": \"deep\", \"store\": \"deep\", \"state\": \"shadow\", \"share\": %d}", shadowShare);
        String json = String.format(
                """
                {"format": 1, "experiment": "wide-model", "version": %d, "unit": %s, "salt": "%016x",
                 "control": "current", "arms": [
                  {"name": "current", "store": "current", "state": "serve", "buckets": [[0, %d]]},
                  {"name": "wide", "store": "wide", "state": "%s", "buckets": [[%d, 9999]]}%s],
                 "exploration": %s}
                """,
                version, unit, salt, currentBuckets - 1, wideState, currentBuckets, shadowShare == 0 ? "" : deepArm,
                exploration);
        Path next = path.resolveSibling(path.getFileName() + ".new");
        Files.writeString(next, json);
        Files.move(next, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        return version;
    }

    LiveExperiment open() {
        return open(Store.options().build());
    }

    LiveExperiment open(LiveOptions options) {
        return LiveExperiment.open(path, Fixture.SCHEMA, options);
    }
}
