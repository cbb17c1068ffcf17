package io.omomi.examples

import java.nio.file.Paths

import io.omomi.scaladsl._

object ServeLive {
  def main(arguments: Array[String]): Unit = {
    val options = LiveOptions.builder().name("ad-server-1").build() // another name for each process
    val opened = for {
      layout <- Layout.of(GeneratedCtr, candidates = 500, tailLenBytes = 4096)
      live <- LiveModel.open(Paths.get(arguments(0)), GeneratedCtr, options) // once; never fails because of a bad file
      scorer <- LiveScorer.open(live, layout) // one for each thread, good for every later generation
    } yield (live, scorer)

    opened match {
      case Left(refused) => println(s"${refused.getMessage} (${refused.owner.word}: ${refused.action})")
      case Right((live, scorer)) =>
        scorer.request.clear()
        scorer.request.context(GeneratedCtr.siteId) = 3L
        for (i <- 0 until 500) scorer.request.candidate(i)(GeneratedCtr.creativeId) = 4000L + i
        scorer.predict(500) match { // by what was published last and is good; nothing waits
          case ServingState.SERVING => println(s"generation ${scorer.generation}: ${scorer.probability(0)}")
          case other => println(s"ranked without a model: $other") // none yet, or people switched scoring off
        }
        live.status.reasons.forEach(reason => println(s"${reason.owner.word} must act: ${reason.text}"))
        scorer.close()
        live.close()
    }
  }
}
