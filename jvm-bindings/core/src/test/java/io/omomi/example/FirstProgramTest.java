package io.omomi.example;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** Checks that the program in the README runs with the public API only. */
final class FirstProgramTest {
    @Test
    void it_prints_a_probability_for_each_of_three_creatives() {
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream before = System.out;
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
        try {
            FirstProgram.main(new String[] {System.getProperty("omomi.test.example.file")});
        } finally {
            System.setOut(before);
        }
        String text = printed.toString(StandardCharsets.UTF_8);
        assertEquals(3, text.lines().filter(line -> line.matches("creative [0-9]{4}: 0\\.[0-9]+")).count(), text);
    }
}
