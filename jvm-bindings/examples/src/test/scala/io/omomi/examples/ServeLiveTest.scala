package io.omomi.examples

import java.io.ByteArrayOutputStream
import java.nio.file.{Files, Path, Paths}
import java.security.MessageDigest

import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** Runs the program of the READMEs on a store whose weight file has the contract of the demo. */
class ServeLiveTest {
  @Test
  def it_is_answered_by_the_published_generation_and_says_so_if_there_is_none(@TempDir folder: Path): Unit = {
    Files.createDirectories(folder.resolve("generations"))
    Files.write(folder.resolve("control"), "on follow\n".getBytes)
    val said = lines(folder)
    assertEquals("ranked without a model: NO_MODEL", said.head)
    assertTrue(said(1).startsWith("ml must act: "), said(1))

    val bytes = Files.readAllBytes(Paths.get(System.getProperty("omomi.test.demo.file")))
    Files.write(folder.resolve("generations/000042.omomi"), bytes)
    val digest = MessageDigest.getInstance("SHA-256").digest(bytes).map(byte => f"$byte%02x").mkString
    Files.write(folder.resolve("current"), s"000042 $digest\n".getBytes)
    val answered = lines(folder)
    assertEquals(1, answered.length)
    assertTrue(answered.head.matches("generation 42: 0\\.[0-9E-]+"), answered.head)
  }

  private def lines(store: Path): Array[String] = {
    val printed = new ByteArrayOutputStream()
    Console.withOut(printed)(ServeLive.main(Array(store.toString)))
    printed.toString("UTF-8").split("\n")
  }
}
