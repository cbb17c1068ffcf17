package io.omomi.bench

import java.nio.file.Path

import io.omomi.scaladsl._

/** Texts, set field by field like in a server. */
object TextAd extends Fields {
  val user = context.text("user")
  val device = context.text("device")
  val os = context.text("os")
  val region = context.text("region")
  val segment = context.text("segment")
  val hour = context.text("hour")
  val site = context.text("site")
  val slot = context.text("slot")
  val size = context.text("size")
  val exchange = context.text("exchange")

  val creative = candidate.text("creative")
  val campaign = candidate.text("campaign")
  val advertiser = candidate.text("advertiser")
  val category = candidate.text("category")
  val format = candidate.text("format")
  val theme = candidate.text("theme")
  val landing = candidate.text("landing")
  val agency = candidate.text("agency")
  val brand = candidate.text("brand")
  val placement = candidate.text("placement")
}

/** A creative of a server that computes the values of its texts once. */
private final class KeptTexts(
    val creative: TextValue,
    val campaign: TextValue,
    val advertiser: TextValue,
    val category: TextValue,
    val format: TextValue,
    val theme: TextValue,
    val landing: TextValue,
    val agency: TextValue,
    val brand: TextValue,
    val placement: TextValue
)

private object KeptTexts {
  def of(texts: Array[String]): KeptTexts = {
    val values = texts.map(text => TextValue.of(text))
    new KeptTexts(
      values(0), values(1), values(2), values(3), values(4),
      values(5), values(6), values(7), values(8), values(9)
    )
  }
}

/** This library through its Scala API, with text fields only. The candidates have either texts or kept values. */
final class OmomiTexts(file: Path, traffic: Traffic, kept: Boolean) extends Omomi {
  private val scorer = Opened.scorer(file, TextAd, tailLenBytes = 256 * 1024)
  private val request = scorer.request
  private val keptTexts: Array[Array[KeptTexts]] =
    if (kept) Array.tabulate(Traffic.REQUESTS)(number => traffic.candidateTexts(number).grouped(Weights.FIELDS).map(KeptTexts.of).toArray)
    else null

  override def fill(number: Int, candidates: Int): Unit = {
    request.clear()
    fillContext(request.context, traffic.contextTexts(number))
    var i = 0
    if (kept) {
      val creatives = keptTexts(number)
      while (i < candidates) {
        fillKept(request.candidate(i), creatives(i))
        i += 1
      }
    } else {
      val texts = traffic.candidateTexts(number)
      while (i < candidates) {
        fillCandidate(request.candidate(i), texts, i * Weights.FIELDS)
        i += 1
      }
    }
  }

  private def fillContext(row: Row[Context], texts: Array[String]): Unit = {
    row(TextAd.user) = texts(0)
    row(TextAd.device) = texts(1)
    row(TextAd.os) = texts(2)
    row(TextAd.region) = texts(3)
    row(TextAd.segment) = texts(4)
    row(TextAd.hour) = texts(5)
    row(TextAd.site) = texts(6)
    row(TextAd.slot) = texts(7)
    row(TextAd.size) = texts(8)
    row(TextAd.exchange) = texts(9)
  }

  private def fillCandidate(row: Row[Candidate], texts: Array[String], first: Int): Unit = {
    row(TextAd.creative) = texts(first)
    row(TextAd.campaign) = texts(first + 1)
    row(TextAd.advertiser) = texts(first + 2)
    row(TextAd.category) = texts(first + 3)
    row(TextAd.format) = texts(first + 4)
    row(TextAd.theme) = texts(first + 5)
    row(TextAd.landing) = texts(first + 6)
    row(TextAd.agency) = texts(first + 7)
    row(TextAd.brand) = texts(first + 8)
    row(TextAd.placement) = texts(first + 9)
  }

  private def fillKept(row: Row[Candidate], texts: KeptTexts): Unit = {
    row(TextAd.creative) = texts.creative
    row(TextAd.campaign) = texts.campaign
    row(TextAd.advertiser) = texts.advertiser
    row(TextAd.category) = texts.category
    row(TextAd.format) = texts.format
    row(TextAd.theme) = texts.theme
    row(TextAd.landing) = texts.landing
    row(TextAd.agency) = texts.agency
    row(TextAd.brand) = texts.brand
    row(TextAd.placement) = texts.placement
  }

  override def predict(candidates: Int): Unit = scorer.predict(candidates)

  override def read(candidates: Int): Float = Read.sum(scorer, candidates)

  override def logit(candidate: Int): Double = scorer.logit(candidate)

  override def close(): Unit = scorer.close()
}
