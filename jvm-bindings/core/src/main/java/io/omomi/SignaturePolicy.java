package io.omomi;

/** What signatures have to do with whether a weight file is served. */
public enum SignaturePolicy {
    /** Nothing: they are not looked at. */
    OFF,
    /** A signature by a trusted key has to be right; files without one are served: for the time in which signing is introduced. */
    ACCEPT,
    /** A right signature by a trusted key has to be there. */
    REQUIRE
}
