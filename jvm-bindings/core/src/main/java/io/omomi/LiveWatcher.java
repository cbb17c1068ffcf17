package io.omomi;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Looks at a {@link LiveModel} when it is run, and tells a listener what has changed since the last time. Starts no
 * thread: give it to a scheduler of yours. Requests do not notice it.
 *
 * <pre>{@code
 * scheduler.scheduleWithFixedDelay(new LiveWatcher(live, listener), 0, 1, TimeUnit.SECONDS);
 * }</pre>
 *
 * <p>What happens and is over between two looks is not told; {@link LiveMetrics} counts it. The first look tells the
 * state, the generation that answers, and all problems. After the live model is closed, a look tells nothing.
 */
public final class LiveWatcher implements Runnable {
    private final LiveModel live;
    private final LiveListener listener;
    private @Nullable ServingState state;
    /** Generation and digest of what answered, or null for none. */
    private @Nullable String served;
    private List<LiveStatus.Reason> reasons = Collections.emptyList();

    /** Creates a watcher that has not looked yet. */
    public LiveWatcher(LiveModel live, LiveListener listener) {
        if (live == null) {
            throw OmomiException.nullArgument("live");
        }
        if (listener == null) {
            throw OmomiException.nullArgument("listener");
        }
        this.live = live;
        this.listener = listener;
    }

    /**
     * Looks once. Never throws because of the live model, since a scheduler would then stop without a word. If the
     * listener throws, the other changes are still told, and then the first exception is thrown.
     */
    @Override
    public synchronized void run() {
        LiveStatus now;
        try {
            now = live.status();
        } catch (OmomiException closed) {
            return;
        }
        List<Runnable> changes = changesTo(now);
        RuntimeException first = null;
        for (Runnable change : changes) {
            try {
                change.run();
            } catch (RuntimeException thrown) {
                if (first == null) {
                    first = thrown;
                } else {
                    first.addSuppressed(thrown);
                }
            }
        }
        if (first != null) {
            throw first;
        }
    }

    /** Returns the calls of the listener for what has changed, and remembers the new status. */
    private List<Runnable> changesTo(LiveStatus now) {
        List<Runnable> changes = new ArrayList<>();
        String servedNow = now.served().map(it -> it.generation() + " " + it.digest()).orElse(null);
        if (servedNow != null && !servedNow.equals(served)) {
            now.served().ifPresent(it -> changes.add(() -> listener.onSwap(it)));
        }
        if (now.state() != state) {
            changes.add(() -> listener.onState(now.state()));
        }
        for (LiveStatus.Reason reason : without(now.reasons(), reasons)) {
            changes.add(() -> listener.onReason(reason));
        }
        for (LiveStatus.Reason reason : without(reasons, now.reasons())) {
            changes.add(() -> listener.onReasonGone(reason));
        }
        served = servedNow;
        state = now.state();
        reasons = now.reasons();
        return changes;
    }

    /** The reasons of {@code some} whose code and text are in none of {@code others}. */
    private static List<LiveStatus.Reason> without(List<LiveStatus.Reason> some, List<LiveStatus.Reason> others) {
        List<LiveStatus.Reason> left = new ArrayList<>();
        for (LiveStatus.Reason reason : some) {
            if (others.stream().noneMatch(it -> it.code() == reason.code() && it.text().equals(reason.text()))) {
                left.add(reason);
            }
        }
        return left;
    }

    @Override
    public String toString() {
        return "LiveWatcher(" + live + ")";
    }
}
