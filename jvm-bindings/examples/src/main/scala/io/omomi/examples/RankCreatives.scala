package io.omomi.examples

import java.nio.file.Paths

import io.omomi.scaladsl._

/** Ranks 500 creatives for one user with the weight file of `omomi demo`, or with examples/generated-ctr.omomi: give
  * its path. GeneratedCtr declares the fields: `omomi contract generate --scala` made it.
  */
object RankCreatives {
  private val candidateCount = 500
  private val shown = 5

  def main(arguments: Array[String]): Unit = {
    val opened = for {
      path <- arguments.headOption.toRight("usage: RankCreatives WEIGHT_FILE")
      layout <- said(Layout.of(GeneratedCtr, candidates = candidateCount, tailLenBytes = 64 * 1024))
      model <- said(Model.open(Paths.get(path)))
      scorer <- said(Scorer.open(model, layout))
    } yield {
      // The scorer has a reference of its own.
      model.close()
      scorer
    }
    opened match {
      case Left(problem) =>
        Console.err.println(problem)
        sys.exit(1)
      case Right(scorer) =>
        try rank(scorer)
        finally scorer.close()
    }
  }

  /** A refusal names what was found, and who must do what. */
  private def said[A](opened: Either[OmomiException, A]): Either[String, A] =
    opened.left.map(refused => s"${refused.getMessage}\n${refused.owner.word}: ${refused.action}")

  private def rank(scorer: Scorer): Unit = {
    val request = scorer.request
    request.clear()

    val user = request.context
    user(GeneratedCtr.userId) = 4711L
    user(GeneratedCtr.device) = "smartphone"
    user(GeneratedCtr.region) = "東京都"
    user(GeneratedCtr.interest) = Vector("旅行", "料理")
    user(GeneratedCtr.hour) = 12L
    user(GeneratedCtr.siteId) = 3L
    user(GeneratedCtr.floorPrice) = 120.0

    val video = TextValue.of("video")
    for (i <- 0 until candidateCount) {
      val creative = request.candidate(i)
      creative(GeneratedCtr.creativeId) = i.toLong
      creative(GeneratedCtr.campaignId) = i / 3L
      creative(GeneratedCtr.format) = video
      creative(GeneratedCtr.creativeAge) = 24.0
    }

    scorer.predict(candidateCount)

    println(s"${scorer.logicId}, generation ${scorer.generation}: ${scorer.scoredCount} creatives scored")
    val best = (0 until candidateCount).sortBy(i => -scorer.probability(i)).take(shown)
    best.foreach(i => println(f"creative $i%4d  ${100 * scorer.probability(i)}%.3f %%"))
  }
}
