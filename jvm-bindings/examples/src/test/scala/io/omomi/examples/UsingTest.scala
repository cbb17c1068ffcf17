package io.omomi.examples

import java.nio.file.Paths

import io.omomi.Code
import io.omomi.scaladsl._
import org.junit.jupiter.api.Assertions.{assertEquals, assertThrows}
import org.junit.jupiter.api.Test

import scala.util.Using

/** `scala.util.Using` closes what it opened, in the reverse order, whatever happens. */
class UsingTest {
  private val file = Paths.get(System.getProperty("omomi.test.example.file"))

  @Test
  def what_using_opened_is_closed_afterwards(): Unit = {
    val opened = Using.Manager { use =>
      val model = use(Model.openOrThrow(file))
      val scorer = use(Scorer.openOrThrow(model, Layout.ofOrThrow(GeneratedCtr, candidates = 2, tailLenBytes = 64)))
      scorer.request.clear()
      scorer.request.candidate(0)(GeneratedCtr.creativeId) = 1
      scorer.request.candidate(1)(GeneratedCtr.creativeId) = 2
      scorer.predict(2)
      assertEquals(2, scorer.answeredCount)
      (model, scorer)
    }
    val (model, scorer) = opened.get
    assertEquals(Code.CLOSED, assertThrows(classOf[OmomiException], () => scorer.predict(1)).code)
    assertEquals(Code.CLOSED, assertThrows(classOf[OmomiException], () => { model.generation(); () }).code)
  }

  @Test
  def what_cannot_be_opened_is_a_failure_with_its_code(): Unit = {
    val failed = Using(Model.openOrThrow(Paths.get("none.omomi")))(_.generation())
    assertEquals(Some(Code.FILE), failed.failed.toOption.collect { case refused: OmomiException => refused.code })
  }
}
