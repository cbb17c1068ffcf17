package io.omomi.adserver

import java.nio.charset.StandardCharsets.UTF_8

import io.omomi.scaladsl._

/** What a bid request is answered with. */
sealed trait BidAnswer

object BidAnswer {
  /** A bid response of OpenRTB: status 200. */
  final case class Bids(json: Array[Byte]) extends BidAnswer

  /** Status 204. */
  case object NoBid extends BidAnswer

  /** Status 400. */
  final case class Refused(reason: String) extends BidAnswer
}

object NoBidReason {
  final val CURRENCY = "currency"
  final val FLOOR_CURRENCY = "floor_currency"
  final val FORMAT = "format"
  final val CANDIDATES = "no_candidates"
  final val FLOOR = "below_floor"
  val all: Seq[String] = Seq(CURRENCY, FLOOR_CURRENCY, FORMAT, CANDIDATES, FLOOR)
}

/** How this server bids.
  *
  * @param publicUrl where exchanges and browsers reach this server
  * @param currency of all bids
  * @param rates units of `currency` for one unit of another one
  * @param budgetNanos the time for a request
  * @param networkNanos the part of `tmax` that the network needs
  */
final case class BidSettings(
    publicUrl: String,
    currency: String,
    rates: Map[String, BigDecimal],
    seat: String,
    candidates: Int,
    budgetNanos: Long,
    networkNanos: Long)

/** Answers bid requests: bytes in, bytes out, no transport. For the thread of its scorer.
  *
  * @param unixMillis the clock
  * @param nanos the clock in which requests are received
  */
final class BidHandler(
    settings: BidSettings,
    index: () => CreativeIndex,
    scorer: AdScorer,
    details: Details,
    metrics: Metrics,
    unixMillis: () => Long,
    nanos: () => Long) {
  import BidAnswer._
  import OpenRtb.{Bid, BidRequest, BidResponse, Imp, SeatBid}

  private val candidates = new Array[Placed](settings.candidates)

  /** Answers a request of `exchange` that was received at `receivedNanos`. */
  def handle(body: Array[Byte], exchange: Option[String], receivedNanos: Long): BidAnswer = {
    val answer: BidAnswer = OpenRtb.read(body).flatMap(request => fault(request).toLeft(request)) match {
      case Left(reason) => Refused(reason)
      case Right(request) if request.cur.nonEmpty && !request.cur.contains(settings.currency) =>
        metrics.add(Metrics.NO_BIDS, NoBidReason.CURRENCY, request.imp.length.toLong)
        NoBid
      case Right(request) =>
        val bids = request.imp.flatMap { imp =>
          val bid = bidFor(request, imp, exchange, deadline(request, receivedNanos))
          bid.left.foreach(reason => metrics.add(Metrics.NO_BIDS, reason))
          bid.toOption
        }
        if (bids.isEmpty) NoBid
        else Bids(OpenRtb.write(BidResponse(request.id, List(SeatBid(bids, settings.seat)), settings.currency)))
    }
    metrics.add(Metrics.REQUESTS, answer match {
      case _: Bids => "bid"
      case NoBid => "no_bid"
      case _: Refused => "bad_request"
    })
    answer
  }

  /** The limits of the log, and what no answer could refer to. */
  private def fault(request: BidRequest): Option[String] = {
    val ids = request.imp.map(_.id)
    def len(text: String): Int = text.getBytes(UTF_8).length
    if (request.id.isEmpty || len(request.id) > 128) Some("expected an id of 1 to 128 bytes")
    else if (ids.isEmpty) Some("expected at least one imp")
    else if (ids.exists(id => id.isEmpty || len(id) > 64)) Some("expected an imp.id of 1 to 64 bytes")
    else if (ids.distinct.length != ids.length) Some("two imps have the same id")
    else if (request.imp.exists(_.bidfloor.signum < 0)) Some("expected a bidfloor of 0 or more")
    else if (request.tmax.exists(_ <= 0)) Some("expected a tmax above 0")
    else None
  }

  private def deadline(request: BidRequest, receivedNanos: Long): Long = {
    val allowed = request.tmax.map(ms => ms * 1000000L - settings.networkNanos)
    receivedNanos + math.min(settings.budgetNanos, allowed.getOrElse(Long.MaxValue))
  }

  private def bidFor(
      request: BidRequest,
      imp: Imp,
      exchange: Option[String],
      deadlineNanos: Long): Either[String, Bid] = {
    val creatives = index()
    for {
      floorMicros <- floor(imp).toRight(NoBidReason.FLOOR_CURRENCY)
      slot <- Slot.of(imp, creatives.has(_)).toRight(NoBidReason.FORMAT)
      context = contextOf(request, imp, slot, floorMicros, exchange)
      start = request.id.hashCode * 31 + imp.id.hashCode
      count = creatives.select(slot.place, context.device, context.region, start, candidates)
      _ <- Either.cond(count > 0, (), NoBidReason.CANDIDATES)
      bid <- best(request, imp, slot, context, count, floorMicros, deadlineNanos).toRight(NoBidReason.FLOOR)
    } yield bid
  }

  private def best(
      request: BidRequest,
      imp: Imp,
      slot: Slot,
      context: AdContext,
      count: Int,
      floorMicros: Long,
      deadlineNanos: Long): Option[Bid] = {
    val begun = nanos()
    scorer.predict(request.id, context, candidates, count, deadlineNanos - begun)
    val latencyNanos = nanos() - begun
    val utilities = new Array[Double](count)
    var scored = 0
    for (i <- 0 until count) {
      if (!scorer.probability(i).isNaN) scored += 1
      val micros = cpmMicros(i)
      utilities(i) = if (micros > 0 && micros >= floorMicros) micros.toDouble else Double.NaN
    }
    metrics.add(Metrics.CANDIDATES, "model", scored.toLong)
    if (scored < count) {
      val missing = (0 until count).find(i => scorer.probability(i).isNaN).get
      metrics.add(Metrics.CANDIDATES, BidHandler.word(scorer.refusal(missing)), (count - scored).toLong)
    }
    if (utilities.forall(_.isNaN)) None
    else Some(bidWith(request, imp, slot, scorer.choose(request.id, utilities), latencyNanos))
  }

  private def probability(candidate: Int): Float = {
    val predicted = scorer.probability(candidate)
    if (predicted.isNaN) candidates(candidate).creative.observedCtr else predicted
  }

  /** The price of a thousand impressions: `probability * cpc * 1000`, in millionths of the currency. */
  private def cpmMicros(candidate: Int): Long =
    math.round(probability(candidate).toDouble * candidates(candidate).creative.cpcMicros * 1000)

  private def bidWith(request: BidRequest, imp: Imp, slot: Slot, candidate: Int, latencyNanos: Long): Bid = {
    val creative = candidates(candidate).creative
    val source = if (scorer.probability(candidate).isNaN) scorer.refusal(candidate) else Source.MODEL
    val micros = cpmMicros(candidate)
    scorer.record(BidRecord(
      request.id, imp.id, candidate, micros, settings.currency, latencyNanos, source, probability(candidate)))
    val id = PredictionId.of(request.id, imp.id, candidate).toString
    if (source == Source.MODEL && details.includes(request.id)) details.keep(id, scorer.explain(candidate))
    metrics.add(Metrics.BIDS, BidHandler.word(source))
    val urls = new Urls(settings.publicUrl, id, creative)
    Bid(
      id = id,
      impid = imp.id,
      price = BigDecimal(micros, 6),
      nurl = urls.win,
      burl = urls.impression,
      lurl = urls.loss,
      adm = Markup.of(creative, slot, urls),
      adid = creative.id.toString,
      adomain = List(creative.domain),
      cid = creative.campaignId.toString,
      crid = creative.id.toString,
      w = slot.w,
      h = slot.h,
      mtype = slot.mtype)
  }

  /** The lowest price in micros of this server's currency; nothing if the rate is not known. */
  private def floor(imp: Imp): Option[Long] = {
    val rate =
      if (imp.bidfloor.signum == 0 || imp.bidfloorcur == settings.currency) Some(BigDecimal(1))
      else settings.rates.get(imp.bidfloorcur)
    rate.map(imp.bidfloor * _ * 1000000).map(micros => if (micros > Long.MaxValue) Long.MaxValue else micros.toLong)
  }

  private def contextOf(
      request: BidRequest,
      imp: Imp,
      slot: Slot,
      floorMicros: Long,
      exchange: Option[String]): AdContext = {
    val user = request.user
    val geo = request.device.flatMap(_.geo).orElse(user.flatMap(_.geo))
    val keywords = user.flatMap(u => u.kwarray.orElse(u.keywords.map(_.split(',').map(_.trim).toList)))
    AdContext(
      userId = user.flatMap(_.id).flatMap(BidHandler.id(_)),
      device = request.device.flatMap(_.devicetype).flatMap(Words.device(_)),
      os = request.device.flatMap(_.os).flatMap(BidHandler.known(_)),
      region = geo.filter(_.country.forall(_ == "JPN")).flatMap(_.region).flatMap(Words.region(_)),
      segment = user.flatMap(_.data.flatMap(_.segment).flatMap(_.name).headOption).flatMap(BidHandler.known(_)),
      interests = keywords.map(_.flatMap(BidHandler.known(_)).take(AdScorer.MAX_INTERESTS).toVector),
      hour = unixMillis() / 3600000L % 24,
      siteId = request.site.orElse(request.app).flatMap(_.id).flatMap(BidHandler.id(_)),
      slot = imp.tagid.flatMap(BidHandler.known(_)),
      size = slot.size,
      exchange = exchange.flatMap(BidHandler.known(_)),
      floorPrice = if (imp.bidfloor.signum == 0) None else Some(floorMicros / 1e6))
  }
}

object BidHandler {
  /** Answers made-up requests with `handler`, so that the JVM has compiled the code before the first real one. */
  def warmUp(handler: BidHandler, requests: Int, nanos: () => Long): Unit = for (i <- 0 until requests) {
    val request =
      s"""{"id":"warm-$i","imp":[{"id":"1","banner":{"w":300,"h":250},"tagid":"header","bidfloor":1.5},{"id":"2",""" +
        s""""video":{"w":640,"h":360}},{"id":"3","native":{}}],"site":{"id":"${i % 7}"},"device":{"devicetype":4,""" +
        s""""os":"iOS","geo":{"region":"13"}},"user":{"id":"$i","kwarray":["旅行"],"data":[{"segment":[{"name":""" +
        s""""学生"}]}]}}"""
    handler.handle(request.getBytes(UTF_8), Some("north"), nanos())
  }

  /** The name of a source in metrics. */
  def word(source: Source): String = source.name.toLowerCase

  /** A text that a model may know. */
  private def known(text: String): Option[String] =
    Some(text).filter(some => some.nonEmpty && some.length <= AdScorer.MAX_CHARS)

  /** The id that a text means: a number, or else the value of the text. Strings are the rule in OpenRTB. */
  private def id(text: String): Option[Long] =
    known(text).map(some => some.toLongOption.getOrElse(TextValue.of(some).bits))
}
