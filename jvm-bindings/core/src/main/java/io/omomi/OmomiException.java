package io.omomi;

import org.jspecify.annotations.Nullable;

/**
 * Thrown for everything that this library refuses. Has a stable code, the side that must act, and what to do. The
 * message says what was expected and what was found.
 */
public final class OmomiException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final Code code;

    /** Also called by the native library, which depends on this signature. */
    OmomiException(int codeNumber, String message) {
        this(Code.ofNumber(codeNumber), message, null);
        if (code == Code.PANIC) {
            Log.defect(message);
        }
    }

    OmomiException(Code code, String message) {
        this(code, message, null);
    }

    OmomiException(Code code, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.code = code;
    }

    /** Returns the stable code. */
    public Code code() {
        return code;
    }

    /** Returns who must act. */
    public Owner owner() {
        return code.owner();
    }

    /** Returns what the owner must do. */
    public String action() {
        return code.action();
    }

    /** Returns class, code, owner and message: the first line of a stack trace. */
    @Override
    public String toString() {
        return getClass().getName() + ": " + code.codeName() + " (" + code.owner().word() + "): " + getMessage();
    }

    static OmomiException nullArgument(String argument) {
        return new OmomiException(Code.NULL_ARGUMENT, argument + " is null");
    }

    static OmomiException invalidArgument(String argument, String problem) {
        return new OmomiException(Code.INVALID_ARGUMENT, argument + ": " + problem);
    }

    static OmomiException closed(String what) {
        return new OmomiException(Code.CLOSED, "the " + what + " is closed");
    }
}
