package io.omomi.adserver

import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files, Path}

import com.github.plokhotnyuk.jsoniter_scala.core._
import com.github.plokhotnyuk.jsoniter_scala.macros._

import scala.collection.immutable.ArraySeq

/** One creative: a line of the creatives file.
  *
  * @param bornUnixMillis when it was first ready to be shown
  * @param sizes widths and heights such as 300x250; only banners have them
  * @param cpcMicros what a click is worth to the advertiser, in millionths of the server's currency
  * @param observedCtr clicks divided by impressions until now: the baseline, where the model gives no answer
  * @param devices the kinds of device that it targets; empty for all
  * @param regions the prefectures that it targets; empty for all
  */
final case class Creative(
    id: Long,
    campaignId: Long,
    advertiserId: Long,
    category: String,
    format: String,
    theme: Option[String],
    landing: Option[String],
    bornUnixMillis: Long,
    sizes: List[String],
    cpcMicros: Long,
    observedCtr: Float,
    devices: List[String],
    regions: List[String],
    domain: String,
    url: String) {

  /** How it is shown, in the words of OpenRTB. */
  def kind: String = format match {
    case "video" => Kind.VIDEO
    case "native" | "carousel" | "text" => Kind.NATIVE
    case _ => Kind.BANNER
  }

  def ageHours(nowUnixMillis: Long): Long = math.max(0L, (nowUnixMillis - bornUnixMillis) / 3600000L)

  /** What is wrong with it, if anything. */
  private[adserver] def fault: Option[String] =
    if (cpcMicros <= 0 || cpcMicros > Creative.MAX_CPC_MICROS)
      Some(s"expected cpcMicros from 1 to ${Creative.MAX_CPC_MICROS}, found $cpcMicros")
    else if (!(observedCtr > 0 && observedCtr < 1)) Some(s"expected observedCtr in (0, 1), found $observedCtr")
    else if (kind == Kind.BANNER && sizes.isEmpty) Some("a banner has no sizes")
    else None
}

object Kind {
  final val BANNER = "banner"
  final val VIDEO = "video"
  final val NATIVE = "native"
}

object Creative {
  /** A bid of a CPC above this, 1,000,000 units, would not be exact as micros. */
  final val MAX_CPC_MICROS = 1000000000000L

  private val codec: JsonValueCodec[Creative] = JsonCodecMaker.make
  private val reading = ReaderConfig.withAppendHexDumpToParseException(false)

  /** Reads a file of JSON lines. `Left` names the first line that is not a creative, and what is wrong with it. */
  def read(path: Path): Either[String, IndexedSeq[Creative]] = {
    val found = ArraySeq.newBuilder[Creative]
    val ids = new java.util.HashSet[Long]
    var fault = Option.empty[String]
    val reader = Files.newBufferedReader(path)
    try {
      var number = 0
      var line = reader.readLine()
      while (line != null && fault.isEmpty) {
        number += 1
        val read =
          try Right(readFromArray(line.getBytes(UTF_8), reading)(codec))
          catch { case bad: JsonReaderException => Left(bad.getMessage) }
        read.flatMap(creative => creative.fault.toLeft(creative)) match {
          case Right(creative) if ids.add(creative.id) => found += creative
          case Right(creative) => fault = Some(s"$path, line $number: the id ${creative.id} is there twice")
          case Left(wrong) => fault = Some(s"$path, line $number: $wrong")
        }
        line = reader.readLine()
      }
    } finally reader.close()
    fault.toLeft(found.result()).flatMap(all => if (all.isEmpty) Left(s"$path has no creatives") else Right(all))
  }

  /** Writes a file of JSON lines beside `path`, and renames it to `path`: a server may read the old one meanwhile. */
  def write(creatives: Iterator[Creative], path: Path): Unit = {
    val partial = path.resolveSibling(s"${path.getFileName}.partial")
    val out = new java.io.BufferedOutputStream(Files.newOutputStream(partial))
    try creatives.foreach { creative =>
      out.write(writeToArray(creative)(codec))
      out.write('\n')
    } finally out.close()
    Files.move(partial, path, java.nio.file.StandardCopyOption.ATOMIC_MOVE)
    ()
  }
}
