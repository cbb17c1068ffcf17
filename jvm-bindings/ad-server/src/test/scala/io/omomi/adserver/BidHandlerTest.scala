package io.omomi.adserver

import java.nio.charset.StandardCharsets.UTF_8

import com.github.plokhotnyuk.jsoniter_scala.core._
import com.github.plokhotnyuk.jsoniter_scala.macros._
import io.omomi.adserver.OpenRtb.BidResponse
import io.omomi.scaladsl._
import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test

/** The handler without a transport and without a model: what bytes it answers to what bytes. */
class BidHandlerTest {
  private val responses: JsonValueCodec[BidResponse] = JsonCodecMaker.make
  private val metrics = new Metrics
  private val details = new Details(1000000, 0L, 10)

  private def handler(scorer: AdScorer, creatives: Seq[Creative], settings: BidSettings = World.settings): BidHandler = {
    val index = new CreativeIndex(World.place(creatives))
    new BidHandler(settings, () => index, scorer, details, metrics, () => World.NOW, () => 1000L)
  }

  private def bids(answer: BidAnswer): BidResponse = answer match {
    case BidAnswer.Bids(json) =>
      assertEquals(Nil, World.faults(json).toList, new String(json, UTF_8))
      readFromArray(json)(responses)
    case other => throw new AssertionError(s"expected bids, found $other")
  }

  private val tenPercent = (_: Creative) => Some(0.1f)

  @Test
  def every_fixture_gets_an_answer_that_the_schema_allows(): Unit = for (name <- World.requests) {
    val scorer = new TableScorer(tenPercent, Source.LATE)
    val response = bids(handler(scorer, World.creatives(5000)).handle(World.request(name), Some("north"), 1000L))
    assertEquals(OpenRtb.read(World.request(name)).map(_.id), Right(response.id))
    assertEquals(scorer.served.length, response.seatbid.head.bid.length)
  }

  @Test
  def the_schema_refuses_what_is_no_bid_response(): Unit = {
    val good = handler(new TableScorer(tenPercent, Source.LATE), World.creatives(5000))
      .handle(World.request("banner"), None, 1000L) match {
        case BidAnswer.Bids(json) => new String(json, UTF_8)
        case other => throw new AssertionError(s"$other")
      }
    for ((from, to) <- Seq("\"price\":" -> "\"cost\":", "\"cur\":\"JPY\"" -> "\"cur\":\"yen\"", "\"mtype\":1" -> "\"mtype\":9",
        "\"w\":300," -> "", "https://bids" -> "ftp://bids")) {
      assertTrue(good.contains(from), from)
      assertTrue(World.faults(good.replace(from, to).getBytes(UTF_8)).nonEmpty, s"$from -> $to")
    }
  }

  @Test
  def the_price_of_a_thousand_impressions_is_probability_times_cpc_times_a_thousand(): Unit = {
    val cheap = World.creatives(1).head.copy(id = 1, format = "native", cpcMicros = 20000000L, devices = Nil, regions = Nil)
    val dear = cheap.copy(id = 2, cpcMicros = 50000000L)
    val scorer = new TableScorer(creative => Some(if (creative.id == 1) 0.25f else 0.0625f), Source.LATE)
    val bid = bids(handler(scorer, Seq(cheap, dear)).handle(World.request("native-app"), None, 1000L)).seatbid.head.bid.head
    assertEquals("1", bid.crid)
    assertEquals(BigDecimal("5000.000000"), bid.price)
    assertEquals(5000000000L, scorer.served.head.bidMicros)
    assertEquals(Source.MODEL, scorer.served.head.source)
  }

  @Test
  def addresses_have_the_macros_and_the_id_of_the_prediction(): Unit = {
    val scorer = new TableScorer(tenPercent, Source.LATE)
    val bid = bids(handler(scorer, World.creatives(5000)).handle(World.request("video"), None, 1000L)).seatbid.head.bid.head
    val served = scorer.served.head
    assertEquals(PredictionId.of(served.requestId, served.impression, served.candidate).toString, bid.id)
    assertEquals(s"https://bids.example/win?id=${bid.id}&price=$${AUCTION_PRICE}&cur=$${AUCTION_CURRENCY}", bid.nurl)
    assertTrue(bid.burl.startsWith(s"https://bids.example/impression?id=${bid.id}&"), bid.burl)
    assertTrue(bid.lurl.contains("${AUCTION_LOSS}"), bid.lurl)
    assertTrue(bid.adm.startsWith("<VAST"), bid.adm)
  }

  @Test
  def the_context_is_in_the_words_of_the_contract(): Unit = {
    val scorer = new TableScorer(tenPercent, Source.LATE)
    handler(scorer, World.creatives(5000)).handle(World.request("banner"), Some("north"), 1000L)
    assertEquals(
      AdContext(Some(55816L), Some("smartphone"), Some("iOS"), Some("東京都"), Some("旅行好き"), Some(Vector("旅行", "料理")),
        12L, Some(102855L), Some("header"), Some("300x250"), Some("north"), Some(4.5)),
      scorer.asked)
    handler(scorer, World.creatives(5000)).handle(World.request("native-app"), None, 1000L)
    // Ids that are no numbers become their value; what is not said is not known, and California is not in Japan.
    assertEquals(
      AdContext(None, Some("smartphone"), Some("Android"), None, None, None, 12L,
        Some(TextValue.of("agltb3B1Yi1pbmNyDAsSA0FwcBiJkfIUDA").bits), Some("feed"), None, None, None),
      scorer.asked)
  }

  @Test
  def the_time_to_predict_is_what_is_left_of_20_ms_or_of_tmax_without_the_network(): Unit = {
    val scorer = new TableScorer(tenPercent, Source.LATE)
    def budget(tmax: String, receivedNanos: Long): Long = {
      val body = s"""{"id":"a",$tmax"imp":[{"id":"1","native":{}}]}"""
      bids(handler(scorer, World.creatives(500)).handle(body.getBytes(UTF_8), None, receivedNanos))
      scorer.budgetNanos
    }
    assertEquals(20000000L, budget("", 1000L))
    assertEquals(19999100L, budget("", 100L))
    assertEquals(20000000L, budget("\"tmax\":120,", 1000L))
    assertEquals(10000000L, budget("\"tmax\":40,", 1000L))
    assertTrue(budget("\"tmax\":20,", 1000L) < 0)
  }

  @Test
  def a_creative_without_an_answer_of_the_model_bids_by_its_observed_ctr_and_the_log_says_why(): Unit =
    for (why <- Seq(Source.LATE, Source.OFF, Source.NO_MODEL)) {
      val scorer = new TableScorer(_ => None, why)
      val response = bids(handler(scorer, World.creatives(5000)).handle(World.request("banner"), None, 1000L))
      val creative = World.creatives(5000)(response.seatbid.head.bid.head.crid.toInt)
      assertEquals(why, scorer.served.head.source)
      assertEquals(creative.observedCtr, scorer.served.head.probability)
      assertEquals(
        BigDecimal(math.round(creative.observedCtr.toDouble * creative.cpcMicros * 1000), 6),
        response.seatbid.head.bid.head.price)
      assertTrue(metrics.count(Metrics.CANDIDATES, BidHandler.word(why)) > 0)
    }

  @Test
  def no_bid_is_below_the_floor_in_its_currency(): Unit = {
    val one = World.creatives(1).head.copy(format = "native", cpcMicros = 1000000L, devices = Nil, regions = Nil)
    def answer(floor: String): BidAnswer = handler(new TableScorer(tenPercent, Source.LATE), Seq(one))
      .handle(s"""{"id":"a","imp":[{"id":"1","native":{}$floor}]}""".getBytes(UTF_8), None, 1000L)
    // 100 yen for a thousand impressions.
    for (floor <- Seq("", ""","bidfloor":100.0,"bidfloorcur":"JPY"""", ""","bidfloor":0.6666""", ""","bidfloor":0,"bidfloorcur":"XTS""""))
      assertTrue(answer(floor).isInstanceOf[BidAnswer.Bids], floor)
    for (floor <- Seq(""","bidfloor":100.01,"bidfloorcur":"JPY"""", ""","bidfloor":0.6667""", ""","bidfloor":1e300"""))
      assertEquals(BidAnswer.NoBid, answer(floor), floor)
    assertEquals(BidAnswer.NoBid, answer(""","bidfloor":0.01,"bidfloorcur":"XTS""""))
    assertEquals(1L, metrics.count(Metrics.NO_BIDS, NoBidReason.FLOOR_CURRENCY))
  }

  @Test
  def bad_input_is_refused_with_a_reason_and_nothing_is_logged(): Unit = {
    val scorer = new TableScorer(tenPercent, Source.LATE)
    val bidder = handler(scorer, World.creatives(500))
    val imp = """"imp":[{"id":"1","native":{}}]"""
    val bad = Seq("" -> "unexpected end", "[]" -> "expected '{'", "{}" -> "\"id\"", """{"id":"a"}""" -> "at least one imp",
      """{"id":"a","imp":[]}""" -> "at least one imp", s"""{"id":"",$imp}""" -> "1 to 128 bytes",
      s"""{"id":"${"あ" * 43}",$imp}""" -> "1 to 128 bytes", s"""{"id":7,$imp}""" -> "expected '\"'",
      s"""{"id":"a","tmax":0,$imp}""" -> "tmax", s"""{"id":"a","tmax":1e3,$imp}""" -> "offset",
      """{"id":"a","imp":[{"id":"1"},{"id":"1"}]}""" -> "same id", """{"id":"a","imp":[{"id":""}]}""" -> "imp.id",
      """{"id":"a","imp":[{"id":"1","native":{},"bidfloor":-1}]}""" -> "bidfloor",
      s"""{"id":"a\\ud800",$imp}""" -> "escape", s"""{"id":"a",$imp""" -> "unexpected end")
    for ((body, expected) <- bad) bidder.handle(body.getBytes(UTF_8), None, 1000L) match {
      case BidAnswer.Refused(reason) => assertTrue(reason.contains(expected), s"$body: $reason")
      case other => throw new AssertionError(s"$body: $other")
    }
    assertEquals(Nil, scorer.served)
    assertEquals(bad.length.toLong, metrics.count(Metrics.REQUESTS, "bad_request"))
  }

  @Test
  def every_cut_and_every_changed_byte_of_a_request_is_answered(): Unit = {
    val body = World.request("banner")
    val bidder = handler(new TableScorer(tenPercent, Source.LATE), World.creatives(500))
    for (cut <- body.indices) bidder.handle(body.take(cut), None, 1000L)
    for (at <- body.indices; byte <- Seq(0, '"'.toInt, '{'.toInt, '9'.toInt, 0x80, 0xff))
      bidder.handle(body.updated(at, byte.toByte), None, 1000L)
    val answers = Seq("bid", "no_bid", "bad_request").map(metrics.count(Metrics.REQUESTS, _))
    assertEquals(body.length.toLong * 7, answers.sum)
    assertTrue(answers.forall(_ > 0), answers.toString)
  }

  @Test
  def details_of_a_bid_can_be_explained_later_and_the_oldest_are_forgotten(): Unit = {
    val bidder = handler(new TableScorer(tenPercent, Source.LATE), World.creatives(500))
    val ids = (0 until 15).map { i =>
      val body = s"""{"id":"r$i","imp":[{"id":"1","native":{}}]}"""
      bids(bidder.handle(body.getBytes(UTF_8), None, 1000L)).seatbid.head.bid.head.id
    }
    assertEquals(None, details.get(ids.head))
    assertTrue(new String(details.get(ids.last).get, UTF_8).contains("\"logicId\":\"table\""))
  }
}
