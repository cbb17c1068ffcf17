package io.omomi;

/** What an arm of an experiment does, as the file says. */
public enum ArmState {
    /** It answers the requests of its units. */
    SERVE,
    /** It scores some requests after the arm that answers. Its answers are logged, and nothing else. */
    SHADOW,
    /** It scores nothing. Its units belong to the control arm. */
    STOPPED;

    private static final ArmState[] ALL = values();

    /** Returns the state with that number of the native library. */
    static ArmState ofNumber(int number) {
        return ALL[number];
    }
}
