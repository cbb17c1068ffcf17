package io.omomi.examples

import java.nio.file.Paths

import io.omomi.scaladsl._

/** GeneratedCtr declares the fields: `omomi contract generate --scala examples/generated-ctr.toml` made it. */
object QuickStart {
  def main(arguments: Array[String]): Unit = {
    val opened = for {
      layout <- Layout.of(GeneratedCtr, candidates = 500, tailLenBytes = 4096)
      model <- Model.open(Paths.get(arguments(0))) // every byte verified, golden requests recomputed
      scorer <- Scorer.open(model, layout) // one for each thread
    } yield {
      model.close() // the scorer has a reference of its own
      scorer
    }

    opened match {
      case Left(refused) => println(s"${refused.getMessage} (${refused.owner.word}: ${refused.action})")
      case Right(scorer) =>
        val request = scorer.request
        request.clear()
        request.context(GeneratedCtr.siteId) = 3L
        request.context(GeneratedCtr.region) = "東京都"
        for (i <- 0 until 500) request.candidate(i)(GeneratedCtr.creativeId) = 4000L + i
        scorer.predict(500) // no lock, no garbage
        println(s"${scorer.logicId}: ${scorer.probability(0)}")
        scorer.close()
    }
  }
}
