package io.omomi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** Probabilities do not depend on the floating-point mode that other native code has left in a thread. */
final class RoundingTest {
    private static final String LIBRARY = "omomi.test.rounding.library";
    private static final int MODES = 5;

    static final class Program {
        private static final int CANDIDATES = 300;

        private Program() {}

        static native void setMode(int mode);

        static native int mode();

        public static void main(String[] arguments) {
            System.load(System.getProperty(LIBRARY));
            Fixture.Text text = new Fixture.Text();
            try (Model model = Fixture.model(); Scorer scorer = Scorer.open(model, Fixture.LAYOUT)) {
                long[] expected = bits(scorer, text, 0);
                for (int mode = 1; mode < MODES; mode++) {
                    boolean isSame = Arrays.equals(expected, bits(scorer, text, mode));
                    System.out.println(mode + (isSame ? " same" : " different"));
                }
                // The golden requests of a file give their answers too.
                setMode(1);
                try (Model again = Fixture.model()) {
                    System.out.println("generation " + again.generation() + " opened in mode " + mode());
                } finally {
                    setMode(0);
                }
            }
        }

        /** Scores in a mode, and returns the bits of all answers. */
        private static long[] bits(Scorer scorer, Fixture.Text text, int mode) {
            Fixture.fill(scorer.request(), CANDIDATES, text);
            setMode(mode);
            scorer.predict();
            int left = mode();
            setMode(0);
            if (left != mode) {
                throw new AssertionError("the call left mode " + left + " instead of " + mode);
            }
            long[] bits = new long[2 * CANDIDATES];
            for (int i = 0; i < CANDIDATES; i++) {
                bits[2 * i] = Double.doubleToRawLongBits(scorer.logit(i));
                bits[2 * i + 1] = Float.floatToRawIntBits(scorer.probability(i));
            }
            return bits;
        }
    }

    @Test
    void another_floating_point_mode_changes_no_bit() throws Exception {
        assumeFalse(System.getProperty(LIBRARY, "").isEmpty(), "there is no C compiler");
        // In a JVM of its own, because -Xcheck:jni resets the mode after each native call.
        String output = new ChildJvm().main(Program.class).run();
        assertEquals("1 same\n2 same\n3 same\n4 same\ngeneration 42 opened in mode 1\n", output);
    }
}
