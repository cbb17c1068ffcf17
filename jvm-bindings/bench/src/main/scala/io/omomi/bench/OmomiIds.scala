package io.omomi.bench

import java.nio.file.Path

import io.omomi.scaladsl._

/** Ids, set field by field as a server does. */
object IdAd extends Fields {
  val user = context.id("user")
  val device = context.id("device")
  val os = context.id("os")
  val region = context.id("region")
  val segment = context.id("segment")
  val hour = context.id("hour")
  val site = context.id("site")
  val slot = context.id("slot")
  val size = context.id("size")
  val exchange = context.id("exchange")

  val creative = candidate.id("creative")
  val campaign = candidate.id("campaign")
  val advertiser = candidate.id("advertiser")
  val category = candidate.id("category")
  val format = candidate.id("format")
  val theme = candidate.id("theme")
  val landing = candidate.id("landing")
  val agency = candidate.id("agency")
  val brand = candidate.id("brand")
  val placement = candidate.id("placement")
}

/** This library through its Scala face, all fields ids. */
final class OmomiIds(file: Path, traffic: Traffic) extends Omomi {
  private val scorer = Opened.scorer(file, IdAd, tailLenBytes = 0)
  private val request = scorer.request

  override def fill(number: Int, candidates: Int): Unit = {
    request.clear()
    fillContext(request.context, traffic.context(number))
    val ids = traffic.candidates(number)
    var i = 0
    while (i < candidates) {
      fillCandidate(request.candidate(i), ids, i * Weights.FIELDS)
      i += 1
    }
  }

  private def fillContext(row: Row[Context], ids: Array[Long]): Unit = {
    row(IdAd.user) = ids(0)
    row(IdAd.device) = ids(1)
    row(IdAd.os) = ids(2)
    row(IdAd.region) = ids(3)
    row(IdAd.segment) = ids(4)
    row(IdAd.hour) = ids(5)
    row(IdAd.site) = ids(6)
    row(IdAd.slot) = ids(7)
    row(IdAd.size) = ids(8)
    row(IdAd.exchange) = ids(9)
  }

  private def fillCandidate(row: Row[Candidate], ids: Array[Long], first: Int): Unit = {
    row(IdAd.creative) = ids(first)
    row(IdAd.campaign) = ids(first + 1)
    row(IdAd.advertiser) = ids(first + 2)
    row(IdAd.category) = ids(first + 3)
    row(IdAd.format) = ids(first + 4)
    row(IdAd.theme) = ids(first + 5)
    row(IdAd.landing) = ids(first + 6)
    row(IdAd.agency) = ids(first + 7)
    row(IdAd.brand) = ids(first + 8)
    row(IdAd.placement) = ids(first + 9)
  }

  override def predict(candidates: Int): Unit = scorer.predict(candidates)

  override def read(candidates: Int): Float = {
    var sum = 0.0f
    var i = 0
    while (i < candidates) {
      sum += scorer.probability(i)
      i += 1
    }
    sum
  }

  override def logit(candidate: Int): Double = scorer.logit(candidate)

  override def close(): Unit = scorer.close()
}
