import io.omomi.scaladsl._

object Score extends Fields {
  val (siteId, interest, creativeId) = (context.id("site_id"), context.texts("interest"), candidate.id("creative_id"))
  Seq("user_id", "hour").foreach(name => context.id(name))
  Seq("device", "os", "region", "segment", "slot", "size", "exchange").foreach(name => context.text(name))
  context.number("floor_price", "JPY per 1,000 impressions", 0, 100000)
  Seq("campaign_id", "advertiser_id").foreach(name => candidate.id(name))
  Seq("category", "format", "theme", "landing").foreach(name => candidate.text(name))
  candidate.number("creative_age", "hours", 0, 2400)

  def main(arguments: Array[String]): Unit = {
    val creatives = Array(1624L, 2519L, 4001L)
    val layout = Layout.of(Score, candidates = 500, tailLenBytes = 4096).fold(throw _, identity)
    val scorer = Scorer.openOrThrow(Model.openOrThrow(java.nio.file.Paths.get(arguments(0))), layout)
    scorer.request.context(siteId) = 7L
    scorer.request.context(interest) = Vector("旅行", "料理")
    for (i <- creatives.indices) scorer.request.candidate(i)(creativeId) = creatives(i)
    scorer.predict(creatives.length)
    for (i <- creatives.indices) println(s"creative ${creatives(i)}: ${scorer.probability(i)}")
  }
}
