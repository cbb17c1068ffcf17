package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.invoke.MethodHandle;
import java.lang.reflect.Array;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A live model survives that native code forks the JVM's process. {@code ProcessBuilder} does not: its child becomes
 * another program before any code of the JVM runs. So the test calls {@code fork} itself, by the foreign function API
 * of JDK 22 and newer.
 */
final class ForkTest {
    @TempDir
    Path folder;

    @Test
    void calls_in_a_fork_of_the_jvm_return_at_once_and_the_fork_may_open_a_live_model_of_its_own() throws Exception {
        assumeTrue(Runtime.version().feature() >= 22, "this JDK cannot call fork");
        assumeTrue("Linux".equals(System.getProperty("os.name")), "forks of a JVM are tested on Linux only");
        new Store(folder.resolve("store")).publish(1);
        ChildJvm jvm = new ChildJvm()
                .main(Program.class)
                .option("--enable-native-access=ALL-UNNAMED")
                // The fork has no thread that compiles, collects garbage or stops the others.
                .option("-Xint")
                .option("-XX:+UseSerialGC")
                .option("-XX:+UnlockDiagnosticVMOptions")
                .option("-XX:GuaranteedSafepointInterval=0");
        String parent = "looked live=true ready=true predict=SERVING 1 closed own=1 live=true\n";
        String fork = "forked live=forked ready=forked predict=SERVING 1 closed own=1 live=true\n";
        assertEquals(parent + fork.repeat(Program.FORK_COUNT), jvm.run(folder.resolve("store").toString()));
    }

    /** Forks several times, and in each fork says what calls on the live model of the parent do. */
    static final class Program {
        static final int FORK_COUNT = 3;

        private static final RequestLayout LAYOUT = RequestLayout.of(Fixture.SCHEMA, Store.CANDIDATES, 16 << 10);

        public static void main(String[] words) throws Throwable {
            MethodHandle fork = function("fork", "JAVA_INT");
            MethodHandle exit = function("_exit", null, "JAVA_INT");
            MethodHandle wait = function("waitpid", "JAVA_INT", "JAVA_INT", "JAVA_LONG", "JAVA_INT");
            MethodHandle kill = function("kill", "JAVA_INT", "JAVA_INT", "JAVA_INT");
            Path store = Path.of(words[0]);
            // The fork can load no class if another thread holds a lock at that moment, so everything runs once before.
            LiveModel warm = LiveModel.open(store, Fixture.SCHEMA, options("warm"));
            System.out.println(calls(warm, scorer(warm), store));
            answer(warm::isLive);
            int none = (int) wait.invoke(-1, 0L, 1);
            LiveModel live = LiveModel.open(store, Fixture.SCHEMA, options("parent"));
            LiveScorer scorer = scorer(live);
            for (int i = 0; i < FORK_COUNT; i++) {
                int child = (int) fork.invoke();
                if (child == 0) {
                    System.out.println(calls(live, scorer, store));
                    exit.invoke(0);
                }
                long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
                while ((int) wait.invoke(child, 0L, 1) == 0) {
                    if (System.nanoTime() > end) {
                        int killed = (int) kill.invoke(child, 9);
                        System.out.println("a fork hung");
                        return;
                    }
                    Thread.sleep(5);
                }
            }
            live.close();
        }

        /** Returns what a call returns, or the code of its exception. */
        private static Object answer(Supplier<Object> call) {
            try {
                return call.get();
            } catch (OmomiException refused) {
                return refused.code().codeName();
            }
        }

        private static LiveScorer scorer(LiveModel live) {
            LiveScorer scorer = LiveScorer.open(live, LAYOUT);
            Fixture.fill(scorer.request(), Store.CANDIDATES, new Fixture.Text());
            scorer.predict(Store.CANDIDATES);
            return scorer;
        }

        private static LiveOptions options(String name) {
            return Store.options().name(name).build();
        }

        /** Says what calls on {@code live} do, whose scorer was opened before the fork, and closes it. */
        private static String calls(LiveModel live, LiveScorer scorer, Path store) {
            StringBuilder said = new StringBuilder();
            said.append(answer(() -> {
                live.lookNow();
                return "looked";
            }));
            said.append(" live=").append(answer(live::isLive)).append(" ready=").append(answer(live::isReady));
            said.append(" predict=").append(scorer.predict(Store.CANDIDATES)).append(' ').append(scorer.generation());
            live.close();
            said.append(" closed");
            try (LiveModel own = LiveModel.open(store, Fixture.SCHEMA, options("fork"))) {
                own.lookNow();
                said.append(" own=").append(own.status().served().orElseThrow().generation());
                said.append(" live=").append(own.isLive());
            }
            return said.toString();
        }

        /** Returns a C function, by the API that this class cannot name because it is compiled for an older JDK. */
        private static MethodHandle function(String name, String result, String... arguments) throws Exception {
            Class<?> linkers = Class.forName("java.lang.foreign.Linker");
            Class<?> layouts = Class.forName("java.lang.foreign.MemoryLayout");
            Class<?> descriptors = Class.forName("java.lang.foreign.FunctionDescriptor");
            Class<?> options = Class.forName("java.lang.foreign.Linker$Option");
            Object linker = linkers.getMethod("nativeLinker").invoke(null);
            Object lookup = linkers.getMethod("defaultLookup").invoke(linker);
            Class<?> lookups = Class.forName("java.lang.foreign.SymbolLookup");
            Object symbol = ((Optional<?>) lookups.getMethod("find", String.class).invoke(lookup, name)).orElseThrow();
            Class<?> values = Class.forName("java.lang.foreign.ValueLayout");
            Object given = Array.newInstance(layouts, arguments.length);
            for (int i = 0; i < arguments.length; i++) {
                Array.set(given, i, values.getField(arguments[i]).get(null));
            }
            Object descriptor = result == null
                    ? descriptors.getMethod("ofVoid", given.getClass()).invoke(null, given)
                    : descriptors
                            .getMethod("of", layouts, given.getClass())
                            .invoke(null, values.getField(result).get(null), given);
            Object none = Array.newInstance(options, 0);
            Class<?> segments = Class.forName("java.lang.foreign.MemorySegment");
            return (MethodHandle) linkers
                    .getMethod("downcallHandle", segments, descriptors, none.getClass())
                    .invoke(linker, symbol, descriptor, none);
        }
    }
}
