package io.omomi.examples

import java.nio.file.Paths

import io.omomi.scaladsl._

/** The fields that this server can supply, declared once. */
object Ad extends Fields {
  val userId = context.id("user_id")
  val device = context.text("device")
  val os = context.text("os")
  val region = context.text("region")
  val segment = context.text("segment")
  val interest = context.texts("interest")
  val hour = context.id("hour")
  val siteId = context.id("site_id")
  val slot = context.text("slot")
  val size = context.text("size")
  val exchange = context.text("exchange")
  val floorPrice = context.number("floor_price", "JPY per 1,000 impressions", 0.0, 100000.0)

  val creativeId = candidate.id("creative_id")
  val campaignId = candidate.id("campaign_id")
  val advertiserId = candidate.id("advertiser_id")
  val category = candidate.text("category")
  val format = candidate.text("format")
  val theme = candidate.text("theme")
  val landing = candidate.text("landing")
  val creativeAge = candidate.number("creative_age", "hours", 0.0, 2400.0)
}

/** Ranks 500 creatives for one user with the weight file of `omomi demo`: give its path. */
object RankCreatives {
  private val candidateCount = 500
  private val shown = 5

  def main(arguments: Array[String]): Unit = {
    val opened = for {
      path <- arguments.headOption.toRight("usage: RankCreatives WEIGHT_FILE")
      layout <- said(Layout.of(Ad, candidates = candidateCount, tailLenBytes = 64 * 1024))
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
    user(Ad.userId) = 4711L
    user(Ad.device) = "smartphone"
    user(Ad.region) = "東京都"
    user(Ad.interest) = Vector("旅行", "料理")
    user(Ad.hour) = 12L
    user(Ad.siteId) = 3L
    user(Ad.floorPrice) = 120.0

    val video = TextValue.of("video")
    for (i <- 0 until candidateCount) {
      val creative = request.candidate(i)
      creative(Ad.creativeId) = i.toLong
      creative(Ad.campaignId) = i / 3L
      creative(Ad.format) = video
      creative(Ad.creativeAge) = 24.0
    }

    scorer.predict(candidateCount)

    println(s"${scorer.logicId}, generation ${scorer.generation}: ${scorer.scoredCount} creatives scored")
    val best = (0 until candidateCount).sortBy(i => -scorer.probability(i)).take(shown)
    best.foreach(i => println(f"creative $i%4d  ${100 * scorer.probability(i)}%.3f %%"))
  }
}
