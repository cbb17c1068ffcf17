package io.omomi.adserver

import java.net.URLEncoder

/** The place that an impression offers, and the size of what is shown there. */
final case class Slot(kind: String, w: Option[Int], h: Option[Int]) {
  def size: Option[String] = OpenRtb.Size(w, h).text

  /** Where creatives for it are in the index. */
  def place: String = if (kind == Kind.BANNER) size.getOrElse("") else kind

  /** The type of markup, by the list of OpenRTB 2.6. */
  def mtype: Int = kind match {
    case Kind.BANNER => 1
    case Kind.VIDEO => 2
    case _ => 4
  }
}

object Slot {
  /** Returns the first place of the impression for which there are creatives: banner, video, native. */
  def of(imp: OpenRtb.Imp, has: String => Boolean): Option[Slot] = {
    val banners = imp.banner.toList.flatMap(banner => OpenRtb.Size(banner.w, banner.h) :: banner.format)
    val slots = banners.filter(_.text.nonEmpty).map(size => Slot(Kind.BANNER, size.w, size.h)) ++
      imp.video.map(size => Slot(Kind.VIDEO, size.w, size.h)) ++ imp.native.map(_ => Slot(Kind.NATIVE, None, None))
    slots.find(slot => has(slot.place))
  }
}

/** The addresses of one bid. The exchange replaces the macros. */
final class Urls(publicUrl: String, predictionId: String, creative: Creative) {
  private def event(name: String, more: String): String = s"$publicUrl/$name?id=$predictionId$more"

  val win: String = event("win", "&price=${AUCTION_PRICE}&cur=${AUCTION_CURRENCY}")
  val impression: String = event("impression", "&price=${AUCTION_PRICE}&cur=${AUCTION_CURRENCY}")
  val loss: String = event("loss", "&reason=${AUCTION_LOSS}&price=${AUCTION_MIN_TO_WIN}")
  val click: String = event("click", s"&crid=${creative.id}")
}

/** What is shown. */
object Markup {
  def of(creative: Creative, slot: Slot, urls: Urls): String = slot.kind match {
    case Kind.BANNER =>
      val size = s"""width="${slot.w.getOrElse(0)}" height="${slot.h.getOrElse(0)}""""
      s"""<a href="${xml(urls.click)}"><img src="${xml(asset(creative, "png"))}" $size alt=""></a>"""
    case Kind.VIDEO =>
      s"""<VAST version="4.2"><Ad id="${creative.id}"><InLine><AdSystem>omomi</AdSystem><AdTitle>${creative.id}""" +
        s"""</AdTitle><Impression/><Creatives><Creative><Linear><Duration>00:00:15</Duration><MediaFiles>""" +
        s"""<MediaFile delivery="progressive" type="video/mp4" width="${slot.w.getOrElse(640)}" """ +
        s"""height="${slot.h.getOrElse(360)}"><![CDATA[${asset(creative, "mp4")}]]></MediaFile></MediaFiles>""" +
        s"""<VideoClicks><ClickThrough><![CDATA[${urls.click}]]></ClickThrough></VideoClicks></Linear></Creative>""" +
        "</Creatives></InLine></Ad></VAST>"
    case _ =>
      s"""{"native":{"ver":"1.2","link":{"url":"${urls.click}"},"assets":[{"id":1,"img":{"url":""" +
        s""""${asset(creative, "png")}"}}]}}"""
  }

  private def asset(creative: Creative, kind: String): String =
    s"https://${URLEncoder.encode(creative.domain, "UTF-8")}/creatives/${creative.id}.$kind"

  private def xml(text: String): String = text.replace("&", "&amp;").replace("\"", "&quot;").replace("<", "&lt;")
}
