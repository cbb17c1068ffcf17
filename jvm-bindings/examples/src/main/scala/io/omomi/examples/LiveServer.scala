package io.omomi.examples

import java.nio.file.Paths

import io.omomi.scaladsl._

/** GeneratedCtr declares the fields: `omomi contract generate --scala examples/generated-ctr.toml` made it. */
object LiveServer {
  def main(arguments: Array[String]): Unit = {
    val options = LiveOptions.builder().name("ad-server-1").build() // a different name for each process
    val opened = for {
      layout <- Layout.of(GeneratedCtr, candidates = 500, tailLenBytes = 4096)
      live <- LiveModel.open(Paths.get(arguments(0)), GeneratedCtr, options) // once: follows the store in this directory
      scorer <- LiveScorer.open(live, layout) // one per thread, for all generations
    } yield (live, scorer)
    val (live, scorer) = opened.fold(error => throw error, identity)

    val request = scorer.request
    request.clear() // before each request; a field that is not set is missing
    request.context(GeneratedCtr.siteId) = 3L
    request.context(GeneratedCtr.region) = "東京都"
    for (i <- 0 until 500) request.candidate(i)(GeneratedCtr.creativeId) = 4000L + i
    scorer.predict(500) match { // takes no lock and allocates nothing
      case ServingState.SERVING => println(s"generation ${scorer.generation}: ${scorer.probability(0)}")
      case other => println(s"no model ($other): rank by your own logic")
    }
    live.status.reasons.forEach(reason => println(s"${reason.owner.word} must act: ${reason.text}"))
    scorer.close()
    live.close()
  }
}
