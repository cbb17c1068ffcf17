package io.omomi.scaladsl.declared

import java.nio.file.Paths

import io.omomi.scaladsl._
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

/** A declaration that `omomi contract generate --scala` made compiles, binds and fills a request. */
class AwkwardTest {
  @Test
  def a_generated_declaration_binds_and_each_val_is_the_field_of_its_name(): Unit = {
    val model = Model.openOrThrow(Paths.get(System.getProperty("omomi.test.awkward.file")))
    val scorer = Scorer.openOrThrow(model, Layout.ofOrThrow(Awkward, candidates = 1, tailLenBytes = 256))
    model.close()
    scorer.request.context(Awkward.siteId) = 1L
    scorer.request.context(Awkward.siteId_2) = 2L
    scorer.request.context(Awkward.nullField) = 3.0
    scorer.request.context(Awkward.typeField) = "text"
    scorer.request.candidate(0)(Awkward.contextField) = "text"
    scorer.request.candidate(0)(Awkward.waitField) = Array("text")
    scorer.predict(1)
    assertEquals(1, scorer.scoredCount)
    assertEquals("siteId", Awkward.siteId_2.name)
    scorer.close()
  }
}
