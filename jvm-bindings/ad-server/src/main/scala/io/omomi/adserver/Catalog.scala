package io.omomi.adserver

import java.nio.file.{Files, Path}
import java.nio.file.attribute.FileTime

import io.omomi.scaladsl._

/** A creative that may be shown, at its index in the candidate set. */
final class Placed(val creative: Creative, val index: Int) {
  /** The kinds of device and the prefectures that it targets, one bit for each. */
  private val devices = Placed.bits(creative.devices, Words.devices)
  private val regions = Placed.bits(creative.regions, Words.regions)

  /** Whether it may be shown on a device in a region. One that targets some is not shown where that is unknown. */
  def targets(device: Option[String], region: Option[String]): Boolean =
    Placed.includes(devices, device, Words.devices) && Placed.includes(regions, region, Words.regions)
}

private object Placed {
  private val all = -1L

  private def bits(texts: List[String], words: IndexedSeq[String]): Long =
    if (texts.isEmpty) all else texts.map(words.indexOf(_)).filter(_ >= 0).foldLeft(0L)((set, bit) => set | 1L << bit)

  private def includes(set: Long, text: Option[String], words: IndexedSeq[String]): Boolean =
    set == all || text.exists { known =>
      val bit = words.indexOf(known)
      bit >= 0 && (set >>> bit & 1) == 1
    }
}

/** The creatives by kind, size and device: immutable, so that a request sees one state of all of them. */
final class CreativeIndex(placed: IndexedSeq[Placed]) {
  private val byId = placed.iterator.map(one => one.creative.id -> one).toMap
  private val byPlace: Map[(String, Option[String]), Array[Placed]] = {
    val devices = None +: Words.devices.map(Option(_))
    val places = for {
      one <- placed
      place <- if (one.creative.kind == Kind.BANNER) one.creative.sizes else List(one.creative.kind)
      device <- devices
      if one.creative.devices.isEmpty || device.exists(one.creative.devices.contains(_))
    } yield (place, device) -> one
    places.groupBy(_._1).map { case (place, found) => place -> found.map(_._2).toArray }
  }

  def count: Int = placed.length

  def creative(id: Long): Option[Creative] = byId.get(id).map(_.creative)

  /** Returns whether any creative fits this place: the size of a banner, or the kind of anything else. */
  def has(place: String): Boolean = byPlace.contains((place, None)) ||
    Words.devices.exists(device => byPlace.contains((place, Some(device))))

  /** Writes up to `into.length` creatives that may be shown at this place to `into`, and returns their number. The walk
    * begins where `start` says, so that each creative has its turn if there are more.
    */
  def select(place: String, device: Option[String], region: Option[String], start: Int, into: Array[Placed]): Int = {
    val known = device.filter(Words.devices.contains(_))
    val found = byPlace.getOrElse((place, known), Array.empty[Placed])
    val first = if (found.isEmpty) 0 else Math.floorMod(start, found.length)
    var count = 0
    var seen = 0
    while (seen < found.length && count < into.length) {
      val one = found((first + seen) % found.length)
      if (one.targets(known, region)) {
        into(count) = one
        count += 1
      }
      seen += 1
    }
    count
  }
}

/** Keeps the creatives of a file: in a candidate set, which scorers read by index, and in a [[CreativeIndex]]. One
  * thread calls `refresh` again and again; any thread may read `index`.
  */
final class Catalog(path: Path, set: CandidateSet) {
  @volatile private var current = new CreativeIndex(Vector.empty)
  private var placed = Map.empty[Long, (Placed, Long)] // by id, with the age in hours that is in the set
  private var retired = Vector.empty[Int]
  private var version = Option.empty[(FileTime, Long)]

  def index: CreativeIndex = current

  /** Reads the file if it has changed, and brings the ages up to date. A file that is not good changes nothing: `Left`
    * says what is wrong. `Right` has the number of rows that were changed.
    */
  def refresh(nowUnixMillis: Long): Either[String, Int] = {
    // A request that began before the last refresh may still name these. It has ended since, and is in
    // the log: it had a second at most.
    retired.foreach(set.remove(_))
    retired = Vector.empty
    try {
      val found = (Files.getLastModifiedTime(path), Files.size(path))
      if (version.contains(found)) Right(replace(placed.valuesIterator.map(_._1.creative).toVector, nowUnixMillis))
      else Creative.read(path).flatMap { creatives =>
        if (creatives.length > set.capacity / 2)
          Left(s"$path has ${creatives.length} creatives; this server has room for ${set.capacity / 2}: see --capacity")
        else {
          version = Some(found)
          Right(replace(creatives, nowUnixMillis))
        }
      }
    } catch {
      case failed: java.io.IOException => Left(s"$path cannot be read: $failed")
    }
  }

  private def replace(creatives: IndexedSeq[Creative], now: Long): Int = {
    var changed = 0
    val next = creatives.map { creative =>
      val age = creative.ageHours(now)
      placed.get(creative.id) match {
        case Some((old, `age`)) if old.creative == creative => old -> age
        case _ =>
          // At an index of its own: the log still reads the row of the bids before.
          changed += 1
          new Placed(creative, set.add(fill(creative, age)(_))) -> age
      }
    }
    val kept = next.iterator.map(one => one._1.creative.id -> one).toMap
    val gone = placed.valuesIterator.map(_._1).filterNot(old => kept.get(old.creative.id).exists(_._1 eq old)).toVector
    if (changed > 0 || gone.nonEmpty) {
      placed = kept
      current = new CreativeIndex(next.map(_._1))
      retired = gone.map(_.index)
    }
    changed + gone.count(old => !kept.contains(old.creative.id))
  }

  private def fill(creative: Creative, ageHours: Long)(row: Row[Candidate]): Unit = {
    row(GeneratedCtr.creativeId) = creative.id
    row(GeneratedCtr.campaignId) = creative.campaignId
    row(GeneratedCtr.advertiserId) = creative.advertiserId
    row(GeneratedCtr.category) = creative.category
    row(GeneratedCtr.format) = creative.format
    row(GeneratedCtr.theme) = creative.theme
    row(GeneratedCtr.landing) = creative.landing
    row(GeneratedCtr.creativeAge) = ageHours.toDouble
  }
}
