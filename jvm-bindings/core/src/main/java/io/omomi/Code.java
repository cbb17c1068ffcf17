package io.omomi;

import java.util.Locale;

/** The stable code of an error, the same in Rust, C and Java. Numbers are never reused. */
public enum Code {
    // A test of the native library compares this table with its own.
    NULL_ARGUMENT(1, Owner.DELIVERY, "pass the argument"),
    INVALID_ARGUMENT(2, Owner.DELIVERY, "correct the argument"),
    MISALIGNED(3, Owner.DELIVERY, "align the request block to 8 bytes, better 64"),
    WRONG_SIZE(4, Owner.DELIVERY, "take the size from the layout"),
    TOO_MANY_CANDIDATES(5, Owner.DELIVERY, "split the request or make a larger layout"),
    SCORER_BUSY(6, Owner.DELIVERY, "make one scorer per thread"),
    CONTEXT_MALFORMED(7, Owner.DELIVERY, "correct the context row"),
    NOT_UTF8(8, Owner.DELIVERY, "pass UTF-8"),
    UNKNOWN_FIELD(9, Owner.DELIVERY, "declare the field or correct its name"),
    WRONG_FIELD_USE(10, Owner.DELIVERY, "use the field as it was declared"),
    TAIL_FULL(11, Owner.DELIVERY, "make the request's layout with a larger tail"),
    TOO_MANY_VALUES(12, Owner.DELIVERY, "pass fewer values"),
    CLOSED(13, Owner.DELIVERY, "do not use a handle after closing it"),
    ABI_MISMATCH(14, Owner.DELIVERY, "deploy library and caller from one release"),
    LIBRARY_NOT_LOADED(15, Owner.DELIVERY, "deploy the library for this platform, and a folder it can be loaded from"),
    FORKED(16, Owner.DELIVERY, "open a live model and a serving log in each process, after the fork"),
    OUT_OF_MEMORY(17, Owner.INFRA, "give the process more memory, or make less of it necessary"),
    RECORD_INVALID(18, Owner.DELIVERY, "correct what is recorded, and where the server gets it"),
    SCHEMA_INVALID(20, Owner.DELIVERY, "correct the declaration"),
    FIELD_MISSING(21, Owner.DELIVERY, "declare the field, or ask for a model without it"),
    FIELD_MISMATCH(22, Owner.DELIVERY, "agree with the other team on the field"),
    FILE(40, Owner.INFRA, "check path, permissions and disk"),
    ALREADY_EXISTS(41, Owner.ML, "choose the next generation's name"),
    NOT_A_WEIGHT_FILE(42, Owner.INFRA, "take the weight file; if it is published, publish the next generation"),
    WRONG_BYTE_ORDER(43, Owner.INFRA, "take the file as packed; if it is published, publish the next generation"),
    TOO_NEW(44, Owner.DELIVERY, "update the serving library first"),
    TOO_OLD(45, Owner.ML, "pack the next generation with this release"),
    TRUNCATED(46, Owner.INFRA, "copy the file again; if it is published, publish the next generation"),
    TOO_LONG(47, Owner.INFRA, "copy the file again; if it is published, publish the next generation"),
    DAMAGED(48, Owner.INFRA, "copy the file again; if it is published, publish the next generation"),
    MALFORMED(49, Owner.ML, "pack the next generation with a released version"),
    FILE_CONTRACT(50, Owner.ML, "pack the next generation with a released version"),
    GOLDEN_MISMATCH(51, Owner.ML, "do not serve this file; pack the next generation"),
    SIGNATURE_MISSING(52, Owner.ML, "sign it; if it is published, publish the next generation, signed"),
    SIGNATURE_INVALID(53, Owner.INFRA, "take the file as signed; if it is published, publish the next generation"),
    SIGNATURE_KEY_UNKNOWN(54, Owner.DELIVERY, "accept the key, or have the file signed by an accepted one"),
    DIGEST_MISMATCH(55, Owner.INFRA, "restore the published file under its name, or publish the next generation"),
    FILE_TOO_LARGE(56, Owner.ML, "prune the model, or have the limit raised"),
    MEMORY_BUDGET(57, Owner.DELIVERY, "raise the budget, or have the model pruned"),
    GENERATION_BEHIND(58, Owner.ML, "publish the next generation, or pin the old one"),
    CONTRACT_NOT_EXPECTED(59, Owner.ML, "agree on the contract before publishing"),
    WRITABLE_BY_OTHERS(60, Owner.INFRA, "remove the write permission"),
    STORE_MALFORMED(61, Owner.INFRA, "write it again: current with omomi publish, control with omomi follow, pin, freeze, off or on"),
    NAME_REUSED(62, Owner.INFRA, "publish the next generation"),
    KILLED_PROCESS(64, Owner.ML, "find out why before it is served again"),
    CHANGED_IN_PLACE(65, Owner.INFRA, "replace weight files by rename only"),
    GENERATION_MISMATCH(66, Owner.INFRA, "publish the next generation; omomi publish gives files their names"),
    STORE_MISSING(67, Owner.DELIVERY, "correct the path of the store, or mount it"),
    EXPERIMENT_MALFORMED(69, Owner.ML, "write it with omomi experiment start, share or stop; omomi experiment check reads it"),
    NO_MODEL(70, Owner.ML, "publish a model"),
    SWITCHED_OFF(71, Owner.DELIVERY, "switch scoring on when the reason is gone"),
    STATE_UNUSABLE(72, Owner.DELIVERY, "give the server a state folder of its own that it may write"),
    STALE_TRAINING_DATA(73, Owner.ML, "train on newer logs and publish"),
    GUARD_STOPPED(74, Owner.ML, "find out why; stop the arm for all servers with omomi experiment stop; mend it, and let it serve again"),
    MEMORY_NOT_LOCKED(76, Owner.INFRA, "raise the limit of locked memory, or do without lock_memory"),
    PANIC(99, Owner.DELIVERY, "report the defect");

    private static final Code[] ALL = values();

    private final int number;
    private final Owner owner;
    private final String action;
    private final String codeName;

    Code(int number, Owner owner, String action) {
        this.number = number;
        this.owner = owner;
        this.action = action;
        this.codeName = name().toLowerCase(Locale.ROOT);
    }

    /** Returns the number that C and the native library use. */
    public int number() {
        return number;
    }

    /** Returns the name in snake case, which is the same in every language. */
    public String codeName() {
        return codeName;
    }

    /** Returns who must act. */
    public Owner owner() {
        return owner;
    }

    /** Returns what the owner must do. */
    public String action() {
        return action;
    }

    /** Returns the code with that number, or {@link #PANIC}: the ABI handshake rules out unknown numbers. */
    static Code ofNumber(int number) {
        for (Code code : ALL) {
            if (code.number == number) {
                return code;
            }
        }
        return PANIC;
    }
}
