package io.omomi.examples

import java.nio.file.{Files, Path, Paths}
import java.security.MessageDigest
import java.time.Duration

import io.omomi.scaladsl._
import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The program of the README answers a request by the arm of its user, and by the bids if no arm can answer. */
class ServeExperimentTest {
  @Test
  def it_chooses_by_the_arm_of_the_user_and_logs_the_choice(@TempDir folder: Path): Unit = {
    val options = LiveOptions.builder().name("ad-server-1").pollInterval(Duration.ofHours(1)).build()
    val file = folder.resolve("wide-model.experiment")
    val experiment = LiveExperiment.openOrThrow(file, GeneratedCtr, options)
    val layout = Layout.ofOrThrow(GeneratedCtr, candidates = 3, tailLenBytes = 256)
    val scorer = ExperimentScorer.openOrThrow(experiment, layout)
    val log = ServingLog.openOrThrow(folder.resolve("served"))
    val ring = log.ringOrThrow(scorer)
    val bids = Array(1.0, 1e9, 2.0)
    assertEquals(1, ServeExperiment.choose(scorer, ring, "r-1", bids))

    publish(folder.resolve("current"))
    publish(folder.resolve("wide"))
    val experimentFile = """{"format": 1, "experiment": "wide-model", "version": 1, "unit": {"field": "user_id"},
      "salt": "0123456789abcdef", "control": "current", "arms": [
        {"name": "current", "store": "current", "state": "serve", "buckets": [[0, 4999]]},
        {"name": "wide", "store": "wide", "state": "serve", "buckets": [[5000, 9999]]}],
      "exploration": {"share": 10000, "epsilon": 1.0}}"""
    Files.write(file, experimentFile.getBytes)
    experiment.lookNow()
    // Exploration takes each candidate sometimes.
    val chosen = (0 until 40).map(i => ServeExperiment.choose(scorer, ring, s"r-$i", bids))
    assertEquals(Set(0, 1, 2), chosen.toSet)
    assertTrue(Set("current", "wide").contains(scorer.arm))
    assertTrue(log.flush(scala.concurrent.duration.Duration(1, "minute")))
    assertEquals(40L, log.metrics.writtenCount)
    Seq(ring, log, scorer, experiment).foreach(_.close())
  }

  private def publish(store: Path): Unit = {
    val bytes = Files.readAllBytes(Paths.get(System.getProperty("omomi.test.example.file")))
    val digest = MessageDigest.getInstance("SHA-256").digest(bytes).map(byte => f"$byte%02x").mkString
    Files.createDirectories(store.resolve("generations"))
    Files.write(store.resolve("generations/000001.omomi"), bytes)
    Files.write(store.resolve("control"), "on follow\n".getBytes)
    Files.write(store.resolve("current"), s"000001 $digest\n".getBytes)
  }
}
