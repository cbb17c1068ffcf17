package io.omomi;

/** What an amount of money is for. There is no price without a basis. */
public enum Basis {
    // A test of the native library compares their order with its own numbers.
    /** One impression. */
    IMPRESSION,
    /** 1,000 impressions (CPM). */
    THOUSAND_IMPRESSIONS,
    /** One click. */
    CLICK,
    /** One conversion. */
    CONVERSION;

    int number() {
        return ordinal() + 1;
    }
}
