package io.omomi.examples

import java.io.ByteArrayOutputStream
import java.nio.file.{Files, Path, Paths}
import java.security.MessageDigest

import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The programs at the top of the README and of docs/serving.md run, with the weight file of the repository. */
class LiveServerTest {
  private val file = Paths.get(System.getProperty("omomi.test.example.file"))

  private def lines(program: => Unit): Seq[String] = {
    val printed = new ByteArrayOutputStream()
    Console.withOut(printed)(program)
    printed.toString("UTF-8").split("\n").toSeq
  }

  @Test
  def without_a_model_it_ranks_by_its_own_logic_and_says_who_must_act(@TempDir store: Path): Unit = {
    val said = lines(LiveServer.main(Array(store.toString)))
    assertEquals("no model (NO_MODEL): rank by your own logic", said.head)
    assertTrue(said(1).startsWith("delivery must act: there is no store at "), said(1))
  }

  @Test
  def it_is_answered_by_the_weight_file_of_the_repository_once_that_is_published(@TempDir store: Path): Unit = {
    val bytes = Files.readAllBytes(file)
    val digest = MessageDigest.getInstance("SHA-256").digest(bytes).map(byte => f"$byte%02x").mkString
    Files.createDirectories(store.resolve("generations"))
    Files.write(store.resolve("generations/000001.omomi"), bytes)
    Files.write(store.resolve("control"), "on follow\n".getBytes)
    Files.write(store.resolve("current"), s"000001 $digest\n".getBytes)
    val said = lines(LiveServer.main(Array(store.toString)))
    assertTrue(said.head.matches("generation 1: 0\\.[0-9E-]+"), said.toString)
  }

  @Test
  def the_quick_start_scores_with_the_weight_file_of_the_repository(): Unit = {
    val said = lines(QuickStart.main(Array(file.toString)))
    assertTrue(said.head.matches("generated-ctr-example: 0\\.[0-9E-]+"), said.toString)
  }
}
