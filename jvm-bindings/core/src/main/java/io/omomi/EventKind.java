package io.omomi;

/** What happened to a prediction. */
public enum EventKind {
    // A test of the native library compares their order with its own numbers.
    /** The bid won. */
    WIN,
    /** The ad was shown. */
    IMPRESSION,
    /** The ad was clicked. */
    CLICK,
    /** The click led to what the advertiser wants. */
    CONVERSION;

    int number() {
        return ordinal() + 1;
    }
}
