package io.omomi;

/**
 * Is told what changes in a {@link LiveModel}: see {@link LiveWatcher}, on whose thread it is called, never on that
 * of a request. Every method does nothing unless it is overridden.
 */
public interface LiveListener {
    /** Called when another generation, or the first one, answers. */
    default void onSwap(LiveStatus.Served served) {}

    /** Called when requests begin or cease to get answers. */
    default void onState(ServingState state) {}

    /** Called when there is a new problem, and once for each problem at the first look. */
    default void onReason(LiveStatus.Reason reason) {}

    /** Called when a problem is over. */
    default void onReasonGone(LiveStatus.Reason reason) {}
}
