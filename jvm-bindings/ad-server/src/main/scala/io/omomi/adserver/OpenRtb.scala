package io.omomi.adserver

import com.github.plokhotnyuk.jsoniter_scala.core._
import com.github.plokhotnyuk.jsoniter_scala.macros._

/** The part of OpenRTB 2.6 that this server reads and writes, under the names of the specification. Unknown members are
  * skipped.
  */
object OpenRtb {
  final case class BidRequest(
      id: String,
      imp: List[Imp],
      site: Option[Site] = None,
      app: Option[Site] = None,
      device: Option[Device] = None,
      user: Option[User] = None,
      tmax: Option[Int] = None,
      cur: List[String] = Nil)

  final case class Imp(
      id: String,
      banner: Option[Banner] = None,
      video: Option[Size] = None,
      native: Option[Native] = None,
      tagid: Option[String] = None,
      bidfloor: BigDecimal = BigDecimal(0),
      bidfloorcur: String = "USD")

  /** A banner has one size, or a list of formats. */
  final case class Banner(w: Option[Int] = None, h: Option[Int] = None, format: List[Size] = Nil)

  final case class Size(w: Option[Int] = None, h: Option[Int] = None) {
    /** The size as the contract writes it, such as 300x250. */
    def text: Option[String] = for (width <- w; height <- h) yield s"${width}x$height"
  }

  final case class Native(ver: Option[String] = None)

  /** A site or an app. */
  final case class Site(id: Option[String] = None)

  final case class Device(devicetype: Option[Int] = None, os: Option[String] = None, geo: Option[Geo] = None)

  final case class Geo(country: Option[String] = None, region: Option[String] = None)

  final case class User(
      id: Option[String] = None,
      keywords: Option[String] = None,
      kwarray: Option[List[String]] = None,
      data: List[Data] = Nil,
      geo: Option[Geo] = None)

  final case class Data(segment: List[Segment] = Nil)

  final case class Segment(id: Option[String] = None, name: Option[String] = None)

  final case class BidResponse(id: String, seatbid: List[SeatBid], cur: String)

  final case class SeatBid(bid: List[Bid], seat: String)

  final case class Bid(
      id: String,
      impid: String,
      price: BigDecimal,
      nurl: String,
      burl: String,
      lurl: String,
      adm: String,
      adid: String,
      adomain: List[String],
      cid: String,
      crid: String,
      w: Option[Int],
      h: Option[Int],
      mtype: Int)

  private val requests: JsonValueCodec[BidRequest] = JsonCodecMaker.make
  private val responses: JsonValueCodec[BidResponse] = JsonCodecMaker.make
  private val reading = ReaderConfig.withAppendHexDumpToParseException(false)

  /** Reads a bid request. `Left` says what is wrong with it. */
  def read(body: Array[Byte]): Either[String, BidRequest] =
    try Right(readFromArray(body, reading)(requests))
    catch { case bad: JsonReaderException => Left(s"not a bid request of OpenRTB 2.6: ${bad.getMessage}") }

  def write(response: BidResponse): Array[Byte] = writeToArray(response)(responses)
}
