package io.omomi;

/** How signatures are checked before a weight file is served. */
public enum SignaturePolicy {
    /** Signatures are ignored. */
    OFF,
    /**
     * A signature, if there is one, must be valid and made by a trusted key. Unsigned files are served. For the time in
     * which signing is introduced.
     */
    ACCEPT,
    /** A valid signature by a trusted key is required. */
    REQUIRE
}
