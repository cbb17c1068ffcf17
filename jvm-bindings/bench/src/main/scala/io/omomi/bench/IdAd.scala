package io.omomi.bench

import io.omomi.scaladsl._

/** A declaration with id fields only, and how a server fills its rows field by field. */
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

  val contextTogether = context.together(user, device, os, region, segment, hour, site, slot, size, exchange)
  val candidateTogether =
    candidate.together(creative, campaign, advertiser, category, format, theme, landing, agency, brand, placement)

  /** Sets every field of the context. */
  def fillContext(row: Row[Context], ids: Array[Long]): Unit = {
    row(user) = ids(0)
    row(device) = ids(1)
    row(os) = ids(2)
    row(region) = ids(3)
    row(segment) = ids(4)
    row(hour) = ids(5)
    row(site) = ids(6)
    row(slot) = ids(7)
    row(size) = ids(8)
    row(exchange) = ids(9)
  }

  /** Sets every field of the candidate whose ids begin at `first`. */
  def fillCandidate(row: Row[Candidate], ids: Array[Long], first: Int): Unit = {
    row(creative) = ids(first)
    row(campaign) = ids(first + 1)
    row(advertiser) = ids(first + 2)
    row(category) = ids(first + 3)
    row(format) = ids(first + 4)
    row(theme) = ids(first + 5)
    row(landing) = ids(first + 6)
    row(agency) = ids(first + 7)
    row(brand) = ids(first + 8)
    row(placement) = ids(first + 9)
  }
}
