package io.omomi.scaladsl

import java.nio.file.{Path, Paths}

/** The declaration that matches the weight file of the tests. */
object Ad extends Fields {
  val mediaId = context.id("media_id")
  val region = context.text("region")
  val interest = context.texts("interest")
  val segmentId = context.ids("segment_id")
  val floorPrice = context.number("floor_price", "JPY per 1,000 impressions", 0.0, 1000.0)
  val creativeId = candidate.id("creative_id")
  // Unknown to the model: a server may declare more than a model reads.
  val brandId = candidate.id("brand_id")
  val category = candidate.text("category")
  val label = candidate.texts("label")
  val campaignId = candidate.ids("campaign_id")
  val creativeAge = candidate.number("creative_age", "hours", 0.0, 2400.0)

  val creativeAndBrand = candidate.together(creativeId, brandId)

  val weightFile: Path = Paths.get(System.getProperty("omomi.test.weight.file"))

  /** Returns the opened object, or fails the test with the refusal. */
  def get[A](opened: Either[OmomiException, A]): A = opened.fold(refused => throw refused, identity)
}
