/*
 * Made by `omomi contract generate --scala` from the contract generated-ctr, fingerprint af8eac355f781a04.
 * Do not edit it: make it again when the contract changes.
 */
package io.omomi.adserver

import io.omomi.scaladsl._

/** The fields of the contract generated-ctr, declared once for every later model. */
object GeneratedCtr extends Fields {
  /** the user, an opaque number; missing when unknown */
  val userId = context.id("user_id")

  /** kind of device that the user holds */
  val device = context.text("device")

  /** operating system of the device */
  val os = context.text("os")

  /** prefecture of Japan in which the user lives */
  val region = context.text("region")

  /** audience segment to which the user belongs */
  val segment = context.text("segment")

  /** interest categories of the user */
  val interest = context.texts("interest")

  /** hour of the day in UTC, 0 to 23 */
  val hour = context.id("hour")

  /** the site on which the slot is */
  val siteId = context.id("site_id")

  /** where on the page the slot is */
  val slot = context.text("slot")

  /** width and height of the slot in CSS pixels */
  val size = context.text("size")

  /** the exchange through which the request came */
  val exchange = context.text("exchange")

  /** lowest bid that the site accepts */
  val floorPrice = context.number("floor_price", "JPY per 1,000 impressions", 0.0, 100000.0)

  /** the creative */
  val creativeId = candidate.id("creative_id")

  /** the campaign to which the creative belongs */
  val campaignId = candidate.id("campaign_id")

  /** who pays for the campaign */
  val advertiserId = candidate.id("advertiser_id")

  /** what the campaign advertises */
  val category = candidate.text("category")

  /** format of the creative */
  val format = candidate.text("format")

  /** what the creative appeals to */
  val theme = candidate.text("theme")

  /** kind of page to which a click leads */
  val landing = candidate.text("landing")

  /** time since the creative was first ready to be shown */
  val creativeAge = candidate.number("creative_age", "hours", 0.0, 2400.0)
}
