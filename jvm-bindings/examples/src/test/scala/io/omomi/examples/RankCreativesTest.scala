package io.omomi.examples

import java.io.ByteArrayOutputStream

import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test

/** Runs the program of the README on a weight file with the contract of the demo. */
class RankCreativesTest {
  @Test
  def it_ranks_500_creatives_and_prints_the_best(): Unit = {
    val printed = new ByteArrayOutputStream()
    Console.withOut(printed)(RankCreatives.main(Array(System.getProperty("omomi.test.demo.file"))))
    val lines = printed.toString("UTF-8").split("\n")
    assertTrue(lines.head.contains("500 creatives scored"), lines.head)
    assertEquals(6, lines.length)
    assertTrue(lines.tail.forall(_.startsWith("creative ")), lines.mkString("\n"))
  }
}
