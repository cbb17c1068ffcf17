package io.omomi.adserver

import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files, Path}

import scala.jdk.CollectionConverters._

import com.networknt.schema.{InputFormat, SchemaRegistry, SpecificationVersion}
import io.omomi.scaladsl._

/** What tests of the server share: creatives, requests, and a check of the answers. */
object World {
  /** 2026-01-10 12:34:56 UTC. */
  final val NOW = 1768048496000L

  val settings: BidSettings = BidSettings(
    publicUrl = "https://bids.example",
    currency = "JPY",
    rates = Map("USD" -> BigDecimal(150)),
    seat = "omomi",
    candidates = 500,
    budgetNanos = 20000000L,
    networkNanos = 30000000L)

  def resource(name: String): Array[Byte] = {
    val stream = getClass.getResourceAsStream(s"/$name")
    try stream.readAllBytes()
    finally stream.close()
  }

  def request(name: String): Array[Byte] = resource(s"requests/$name.json")

  def requests: Seq[String] = Seq("banner", "video", "native-app", "several")

  def place(creatives: Seq[Creative]): IndexedSeq[Placed] =
    creatives.toVector.zipWithIndex.map { case (creative, index) => new Placed(creative, index) }

  def creatives(count: Int): Seq[Creative] = MakeCreatives.creatives(count, 1L, NOW).toSeq

  private lazy val schema = SchemaRegistry
    .withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
    .getSchema(new String(resource("bid-response.schema.json"), UTF_8))

  /** What is wrong with a bid response, by the schema. */
  def faults(json: Array[Byte]): Seq[String] =
    schema.validate(new String(json, UTF_8), InputFormat.JSON).asScala.map(_.toString).toSeq

  /** Publishes a weight file in a new store. */
  def publish(file: Path, store: Path): Unit = {
    val bytes = Files.readAllBytes(file)
    val digest = java.security.MessageDigest.getInstance("SHA-256").digest(bytes).map(byte => f"$byte%02x").mkString
    Files.createDirectories(store.resolve("generations"))
    Files.write(store.resolve("generations/000001.omomi"), bytes)
    Files.write(store.resolve("control"), "on follow\n".getBytes)
    Files.write(store.resolve("current"), s"000001 $digest\n".getBytes)
    ()
  }
}

/** Scores by a table: the probability of a creative is a given one, or none. */
final class TableScorer(probabilityOf: Creative => Option[Float], missing: Source) extends AdScorer {
  var asked: AdContext = _
  var budgetNanos = 0L
  var served = List.empty[BidRecord]
  private var scored = Array.empty[Float]

  override def predict(
      requestId: String,
      context: AdContext,
      candidates: Array[Placed],
      count: Int,
      budgetNanos: Long): ServingState = {
    asked = context
    this.budgetNanos = budgetNanos
    scored = candidates.take(count).map(one => probabilityOf(one.creative).getOrElse(Float.NaN))
    ServingState.SERVING
  }
  override def probability(candidate: Int): Float = scored(candidate)
  override def refusal(candidate: Int): Source = missing
  override def choose(requestId: String, utilities: Array[Double]): Int =
    utilities.indices.filterNot(utilities(_).isNaN).maxBy(utilities(_))
  override def record(one: BidRecord): Recorded = {
    served = one :: served
    Recorded.QUEUED
  }
  override def events: LogRing = throw new UnsupportedOperationException
  override def explain(candidate: Int): Explained = Explained(1L, "table", 0.0, 0.0, Nil)
  override def close(): Unit = ()
}
