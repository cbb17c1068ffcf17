package io.omomi.examples

import java.io.ByteArrayOutputStream
import java.nio.file.Path

import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The program at the top of the README runs. Nothing is published to its store, so it ranks by its own logic. */
class LiveServerTest {
  @Test
  def without_a_model_it_ranks_by_its_own_logic_and_says_who_must_act(@TempDir store: Path): Unit = {
    val printed = new ByteArrayOutputStream()
    Console.withOut(printed)(LiveServer.main(Array(store.toString)))
    val lines = printed.toString("UTF-8").split("\n")
    assertEquals("no model (NO_MODEL): rank by your own logic", lines.head)
    assertTrue(lines(1).startsWith("delivery must act: there is no store at "), lines(1))
  }
}
