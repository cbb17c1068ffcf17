package io.omomi.examples

import java.nio.file.Paths

import io.omomi.scaladsl._
import io.omomi.{LiveOptions, ServingState}

object AdFields extends Fields { // the fields that this server supplies, declared once for all models
  val siteId = context.id("site_id")
  val region = context.text("region")
  val creativeId = candidate.id("creative_id")
}

object LiveServer {
  def main(arguments: Array[String]): Unit = {
    val options = LiveOptions.builder().name("ad-server-1").build() // a different name for each process
    val opened = for {
      layout <- Layout.of(AdFields, candidates = 500, tailLenBytes = 4096)
      live <- LiveModel.open(Paths.get(arguments(0)), AdFields, options) // once: follows the store in this directory
      scorer <- LiveScorer.open(live, layout) // one per thread, for all generations
    } yield (live, scorer)
    val (live, scorer) = opened.fold(error => throw error, identity)

    val request = scorer.request
    request.clear() // before each request; a field that is not set is missing
    request.context(AdFields.siteId) = 3L
    request.context(AdFields.region) = "東京都"
    for (i <- 0 until 500) request.candidate(i)(AdFields.creativeId) = 4000L + i
    scorer.predict(500) match { // takes no lock and allocates nothing
      case ServingState.SERVING => println(s"generation ${scorer.generation}: ${scorer.probability(0)}")
      case other => println(s"no model ($other): rank by your own logic")
    }
    live.status.reasons.forEach(reason => println(s"${reason.owner.word} must act: ${reason.text}"))
    scorer.close()
    live.close()
  }
}
