package io.omomi.scaladsl

import java.lang.management.ManagementFactory
import java.nio.file.{Files, Path}
import java.security.MessageDigest
import java.time.Duration

import io.omomi.Code
import org.junit.jupiter.api.Assertions.{assertEquals, assertFalse, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The Scala faces of experiments. The Java tests compare arms, shadows and choices with what is known. */
class ExperimentTest {
  private val options = LiveOptions.builder().name("scala").pollInterval(Duration.ofHours(1)).build()
  private val candidates = 20
  private var sink = 0L

  private def publish(store: Path): Unit = {
    val bytes = Files.readAllBytes(Ad.weightFile)
    Files.createDirectories(store.resolve("generations"))
    Files.write(store.resolve("generations").resolve("000042.omomi"), bytes)
    Files.write(store.resolve("control"), "on follow\n".getBytes)
    val digest = MessageDigest.getInstance("SHA-256").digest(bytes).map(byte => f"$byte%02x").mkString
    Files.write(store.resolve("current"), s"000042 $digest\n".getBytes)
  }

  private def write(folder: Path, wideState: String): Path = {
    val text = s"""{"format": 1, "experiment": "wide-model", "version": 1, "unit": "request",
      "salt": "0000000000000007", "control": "current", "arms": [
        {"name": "current", "store": "current", "state": "serve", "buckets": [[0, 4999]]},
        {"name": "wide", "store": "wide", "state": "$wideState", "buckets": [[5000, 9999]]},
        {"name": "deep", "store": "wide", "state": "shadow", "share": 10000}],
      "exploration": {"share": 5000, "epsilon": 0.5}}"""
    Files.write(folder.resolve("wide-model.experiment"), text.getBytes)
  }

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

  private def codeOf(refused: => Any): Code =
    try throw new AssertionError(refused)
    catch { case refused: OmomiException => refused.code }

  @Test
  def arms_answer_like_a_scorer_of_their_file_and_a_stopped_one_gives_its_units_to_the_control_arm(
      @TempDir folder: Path): Unit = {
    Seq("current", "wide").foreach(arm => publish(folder.resolve(arm)))
    val file = write(folder, "serve")
    val experiment = Ad.get(LiveExperiment.open(file, Ad, options))
    val layout = Ad.get(Layout.of(Ad, candidates, tailLenBytes = 4096))
    val scorer = Ad.get(ExperimentScorer.open(experiment, Ad.get(layout.forModels(2))))
    val model = Ad.get(Model.open(Ad.weightFile))
    val fixed = Ad.get(Scorer.open(model, layout))
    fill(fixed.request)
    fixed.predict()
    val arms = (0 until 20).map { i =>
      fill(scorer.request)
      assertEquals(ServingState.SERVING, scorer.predict(s"request-$i"))
      for (c <- 0 until candidates) assertEquals(fixed.logit(c), scorer.logit(c))
      assertEquals(if (scorer.bucket < 5000) "current" else "wide", scorer.arm)
      assertEquals(scorer.arm == "current", scorer.isControl)
      assertFalse(scorer.fellBack)
      assertEquals((1, 1, 1L, "wide-model"), (scorer.shadowCount, scorer.modelCount, scorer.version, scorer.experiment))
      assertEquals((42L, "jvm-test-ロジック"), (scorer.generation, scorer.logicId))
      scorer.arm
    }
    assertEquals(Set("current", "wide"), arms.toSet)
    write(folder, "stopped")
    experiment.lookNow()
    for (i <- 0 until 20) {
      assertEquals(ServingState.SERVING, scorer.predictWithin(candidates, s"request-$i", Long.MaxValue))
      assertEquals("current", scorer.arm)
    }
    assertEquals(ServingState.NO_MODEL, scorer.predictFallback())
    assertEquals(Code.INVALID_ARGUMENT, codeOf(scorer.arm))
    assertTrue(experiment.statusJson.contains("\"stopped\""))
    val status: ExperimentStatus = experiment.status
    assertEquals(("wide-model", 1L, 3), (status.experiment, status.version, status.arms.size))
    val wide: ExperimentStatus.Arm = status.arms.get(1)
    wide.state match {
      case ArmState.STOPPED => assertEquals(arms.count(_ == "wide").toLong, wide.answeredCount)
      case other => throw new AssertionError(other)
    }

    val pool = Ad.get(ScorerPool.of(capacity = 1)(ExperimentScorer.open(experiment, layout)))
    val state = pool.use { lent =>
      fill(lent.request)
      lent.predict("r")
    }
    assertEquals(ServingState.SERVING, state)
    Seq(pool, scorer, fixed, model, experiment).foreach(_.close())
    assertEquals(Code.CLOSED, codeOf(scorer.predict("r")))
    assertEquals(Left(Code.CLOSED), ExperimentScorer.open(experiment, layout).left.map(_.code))
    assertEquals(Left(Code.NULL_ARGUMENT), LiveExperiment.open(null, Ad).left.map(_.code))
    assertEquals(Left(Code.NULL_ARGUMENT), ExperimentScorer.open(experiment, null).left.map(_.code))
  }

  @Test
  def a_choice_is_recorded_with_its_propensity_and_allocates_nothing(@TempDir folder: Path): Unit = {
    Seq("current", "wide").foreach(arm => publish(folder.resolve(arm)))
    val experiment = Ad.get(LiveExperiment.open(write(folder, "serve"), Ad, options))
    val layout = Ad.get(Ad.get(Layout.of(Ad, candidates, tailLenBytes = 4096)).forModels(2))
    val scorer = ExperimentScorer.openOrThrow(experiment, layout)
    val log = Ad.get(ServingLog.open(folder.resolve("served"), LogOptions.builder().ringLenBytes(4L << 20).build()))
    val ring = log.ringOrThrow(scorer)
    val utilities = Array.tabulate(candidates)(_.toDouble)
    fill(scorer.request)
    scorer.predict("r")
    val choice: Choice = scorer.choose("r", utilities)
    assertTrue(choice.hasCandidate && choice.hasPropensity)
    // The best has the probability of not exploring, and its part of exploring.
    val explored = 0.5 * 0.5 / candidates
    val expected = if (choice.candidate == candidates - 1) 1 - 0.5 * 0.5 + explored else explored
    assertEquals(expected, choice.propensity, 1e-12)

    val threads = ManagementFactory.getThreadMXBean.asInstanceOf[com.sun.management.ThreadMXBean]
    val thread = Thread.currentThread().getId
    run(scorer, ring, utilities, 3000)
    // A request's own cost appears in every round; what the JVM allocates while it links and compiles does not.
    val rounds = (0 until 5).map { _ =>
      var before = threads.getThreadAllocatedBytes(thread)
      val meter = threads.getThreadAllocatedBytes(thread) - before
      before = threads.getThreadAllocatedBytes(thread)
      run(scorer, ring, utilities, 200)
      threads.getThreadAllocatedBytes(thread) - before - meter
    }
    assertEquals(0L, rounds.min, s"bytes in each of five rounds of 200 requests: $rounds")
    assertEquals(0L, log.metrics.droppedCount(DropReason.INVALID))
    Seq(ring, log, scorer, experiment).foreach(_.close())
  }

  private def run(scorer: ExperimentScorer, ring: LogRing, utilities: Array[Double], requests: Int): Unit = {
    var request = 0
    while (request < requests) {
      val id = if (request % 2 == 0) "リクエスト" else "request-2"
      fill(scorer.request)
      sink += scorer.predict(id).ordinal
      val choice = scorer.choose(id, utilities)
      ring.served.clear().requestId(id).choice(choice)
      sink += ring.record(choice.candidate).ordinal + scorer.arm.length + scorer.logicId.length + scorer.bucket
      request += 1
    }
  }
}
