package io.omomi.scaladsl

import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Path}
import java.time.Duration

import scala.concurrent.duration._

import io.omomi.Code
import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The Scala faces of the serving log and of the fallback file. The Java tests read back what is in the segments. */
class ServingLogTest {
  private val candidates = 20
  private val layout = Ad.get(Layout.of(Ad, candidates, tailLenBytes = 4096))
  private var sink = 0L

  private def fill(request: Request): Unit = {
    request.clear()
    request.context(Ad.mediaId) = 3L
    request.context(Ad.region) = "東京都"
    var i = 0
    while (i < candidates) {
      request.candidate(i)(Ad.creativeId) = i.toLong
      i += 1
    }
  }

  private def codeOf(opened: Either[OmomiException, Any]): Code =
    opened.fold(_.code, found => throw new AssertionError(found))

  @Test
  def a_scorer_records_what_was_served_and_events_follow(@TempDir folder: Path): Unit = {
    val model = Ad.get(Model.open(Ad.weightFile))
    val scorer = Ad.get(Scorer.open(model, layout))
    val options = LogOptions.builder().name("scala").detailsPerMillion(0).build()
    val log = Ad.get(ServingLog.open(folder.resolve("served"), options))
    val ring = Ad.get(log.ring(scorer))
    fill(scorer.request)
    scorer.predict()
    ring.served.clear().requestId("リクエスト").impression("1").experiment("bids").arm("b").bucket(3).latencyNanos(7L)
    ring.served.bid(1500000L, "JPY", Basis.THOUSAND_IMPRESSIONS).propensity(0.5)
    for (place <- 0 until 3) {
      ring.served.position(place)
      assertEquals(Recorded.QUEUED, ring.record(place))
    }
    val id = PredictionId.of("リクエスト", "1", 2)
    assertEquals(Right(id), PredictionId.parse(id.toString))
    assertEquals(Code.INVALID_ARGUMENT, codeOf(PredictionId.parse("x")))
    val events = Ad.get(log.eventRing())
    assertEquals(Recorded.QUEUED, events.win(id, 1200000L, "JPY", Basis.IMPRESSION))
    assertEquals(Recorded.QUEUED, events.click(id))
    assertTrue(log.flush(1.minute))
    val metrics = log.metrics
    assertEquals(5L, metrics.writtenCount)
    assertEquals(2L, metrics.openRingCount)
    assertEquals(0L, metrics.droppedCount(DropReason.INVALID))
    val page = ByteBuffer.allocateDirect(1 << 16)
    log.writePrometheus(page)
    page.flip()
    assertTrue(StandardCharsets.UTF_8.decode(page).toString.contains("omomi_log_records_total{log=\"served\"} 5\n"))
    assertEquals(folder.resolve("served"), log.folder)
    Seq(log, ring, events, scorer, model).foreach(_.close())
    assertEquals(Code.CLOSED, codeOf(log.eventRing()))
    assertEquals(Code.CLOSED, codeOf(log.ring(scorer)))
    assertEquals(Code.FILE, codeOf(ServingLog.open(folder.resolve("no/such/folder"))))
    assertEquals(Code.INVALID_ARGUMENT, codeOf(ServingLog.open(folder, LogOptions.builder().ringLenBytes(1L).build())))
    assertEquals(Code.NULL_ARGUMENT, codeOf(ServingLog.open(null)))
    val files = Files.list(folder.resolve("served"))
    try assertEquals(1L, files.count())
    finally files.close()
    assertTrue((0 until 1000).exists(i => ServingLog.samplePlace(7L, s"request-$i") < 10000))
  }

  @Test
  def a_live_scorer_answers_with_its_fallback_file_and_recording_allocates_nothing(@TempDir folder: Path): Unit = {
    val builder = LiveOptions.builder().name("scala").pollInterval(Duration.ofHours(1))
    val options = builder.fallbackFile(Ad.weightFile).build()
    val live = Ad.get(LiveModel.open(folder.resolve("store"), Ad, options))
    val scorer = Ad.get(LiveScorer.open(live, layout))
    val log = Ad.get(ServingLog.open(folder.resolve("served"), LogOptions.builder().ringLenBytes(4L << 20).build()))
    val ring = log.ringOrThrow(scorer)
    fill(scorer.request)
    assertEquals(ServingState.NO_MODEL, scorer.predict())
    assertEquals(ServingState.SERVING, scorer.predictFallback())
    assertEquals(42L, scorer.generation)
    assertEquals("jvm-test-ロジック", scorer.logicId)

    val model = Ad.get(Model.open(Ad.weightFile))
    val fixed = Ad.get(Scorer.open(model, layout))
    fill(fixed.request)
    fixed.predict()
    for (i <- 0 until candidates) assertEquals(fixed.logit(i), scorer.logit(i))

    ring.served.clear().requestId("1")
    val refused =
      try Right(ring.record(0))
      catch { case refused: OmomiException => Left(refused) }
    assertEquals(Code.RECORD_INVALID, codeOf(refused))

    val threads = ManagementFactory.getThreadMXBean.asInstanceOf[com.sun.management.ThreadMXBean]
    val thread = Thread.currentThread().getId
    val id = PredictionId.of("1", "", 0)
    run(scorer, ring, id, 3000)
    // A request's own cost appears in every round; what the JVM allocates while it links and compiles does not.
    val rounds = (0 until 5).map { _ =>
      var before = threads.getThreadAllocatedBytes(thread)
      val meter = threads.getThreadAllocatedBytes(thread) - before
      before = threads.getThreadAllocatedBytes(thread)
      run(scorer, ring, id, 200)
      threads.getThreadAllocatedBytes(thread) - before - meter
    }
    assertEquals(0L, rounds.min, s"bytes in each of five rounds of 200 requests: $rounds")
    assertTrue(live.metrics.fallbackCount.getAsLong >= 4000L)
    Seq(ring, log, scorer, live, fixed, model).foreach(_.close())
  }

  private def run(scorer: LiveScorer, ring: LogRing, id: PredictionId, requests: Int): Unit = {
    var request = 0
    while (request < requests) {
      fill(scorer.request)
      if (scorer.predict() ne io.omomi.ServingState.SERVING) scorer.predictFallback()
      ring.served.clear().requestId("リクエスト").source(io.omomi.Source.NO_MODEL)
      ring.served.bid(1L, "JPY", io.omomi.Basis.CLICK)
      sink += ring.record(request % candidates).ordinal + ring.click(id).ordinal
      request += 1
    }
  }
}
