package io.omomi.scaladsl

import java.nio.file.{Files, Path}
import java.security.MessageDigest
import java.time.Duration

import io.omomi.Code
import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** A live scorer of the Scala API answers like a scorer of the published file, and says when there is no answer. */
class LiveScorerTest {
  private val options = LiveOptions.builder().name("scala").pollInterval(Duration.ofHours(1)).build()
  private val candidates = 20

  private def publish(store: Path): Unit = {
    val bytes = Files.readAllBytes(Ad.weightFile)
    Files.createDirectories(store.resolve("generations"))
    Files.write(store.resolve("generations").resolve("000042.omomi"), bytes)
    val digest = MessageDigest.getInstance("SHA-256").digest(bytes).map(byte => f"$byte%02x").mkString
    Files.write(store.resolve("current"), s"000042 $digest\n".getBytes)
  }

  private def fill(request: Request): Unit = {
    request.clear()
    request.context(Ad.mediaId) = 3L
    request.context(Ad.region) = "東京都"
    for (i <- 0 until candidates) request.candidate(i)(Ad.creativeId) = i.toLong
  }

  @Test
  def a_live_scorer_gives_the_answers_of_a_scorer_once_there_is_a_model(@TempDir store: Path): Unit = {
    val live = Ad.get(LiveModel.open(store, Ad, options))
    val layout = Ad.get(Layout.of(Ad, candidates, tailLenBytes = 4096))
    val scorer = Ad.get(LiveScorer.open(live, layout))
    fill(scorer.request)
    assertEquals(ServingState.NO_MODEL, scorer.predict(candidates))
    publish(store)
    live.lookNow()
    assertEquals(ServingState.SERVING, scorer.predict(candidates))

    val model = Ad.get(Model.open(Ad.weightFile))
    val fixed = Ad.get(Scorer.open(model, layout))
    fill(fixed.request)
    fixed.predict(candidates)
    val both: Seq[AbstractScorer] = Seq(scorer, fixed)
    for (i <- 0 until candidates) {
      assertEquals(1, both.map(_.logit(i)).distinct.length)
      assertEquals(1, both.map(_.probability(i)).distinct.length)
    }
    assertEquals(Seq(42L, 42L), both.map(_.generation))
    assertEquals(Seq("jvm-test-ロジック", "jvm-test-ロジック"), both.map(_.logicId))

    Files.write(store.resolve("control"), "off\n".getBytes)
    live.lookNow()
    assertEquals(ServingState.OFF, scorer.predictWithin(candidates, budgetNanos = 1000000L))
    assertTrue(live.isReady)
    live.close()
    both.foreach(_.close())
    model.close()
  }

  @Test
  def prepared_candidates_have_the_logits_of_rows(@TempDir store: Path): Unit = {
    publish(store)
    val live = Ad.get(LiveModel.open(store, Ad, options))
    val rows = Ad.get(LiveScorer.open(live, Ad.get(Layout.of(Ad, candidates, tailLenBytes = 4096))))
    fill(rows.request)
    assertEquals(ServingState.SERVING, rows.predict(candidates))
    val set = Ad.get(CandidateSet.open(Ad, candidates, valuesPerField = 1))
    val layout = Ad.get(Layout.prepared(Ad, candidates, tailLenBytes = 4096))
    val named = Ad.get(LiveScorer.open(live, layout, set))
    named.request.clear()
    named.request.context(Ad.mediaId) = 3L
    named.request.context(Ad.region) = "東京都"
    for (i <- 0 until candidates) {
      val index = set.add { row =>
        row(Ad.creativeId) = i.toLong
      }
      named.request.setCandidate(i, index)
    }
    assertEquals(ServingState.SERVING, named.predict(candidates))
    for (i <- 0 until candidates) assertEquals(rows.logit(i), named.logit(i))
    Seq(named, rows, set, live).foreach(_.close())
  }

  @Test
  def options_that_can_never_work_give_a_left(@TempDir store: Path): Unit = {
    val nameless = LiveOptions.builder().name("").build()
    assertEquals(Code.INVALID_ARGUMENT, LiveModel.open(store, Ad, nameless).swap.fold(_ => Code.PANIC, _.code))
    val live = Ad.get(LiveModel.open(store, Ad, options))
    val two = Ad.get(Ad.get(Layout.of(Ad, 1, 0)).forModels(2))
    assertEquals(Code.INVALID_ARGUMENT, LiveScorer.open(live, two).swap.fold(_ => Code.PANIC, _.code))
    live.close()
    val closed = LiveScorer.open(live, Ad.get(Layout.of(Ad, 1, 0)))
    assertEquals(Code.CLOSED, closed.swap.fold(_ => Code.PANIC, _.code))
  }
}
