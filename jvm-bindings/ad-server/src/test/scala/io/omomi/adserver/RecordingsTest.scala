package io.omomi.adserver

import java.nio.file.{Path, Paths}

import scala.jdk.CollectionConverters._

import io.omomi.scaladsl._
import jdk.jfr.Recording
import jdk.jfr.consumer.RecordingFile
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The events for the flight recorder. */
class RecordingsTest {
  @Test
  def a_swap_a_switch_and_dropped_records_are_events(@TempDir folder: Path): Unit = {
    World.publish(Paths.get(System.getProperty("omomi.test.example.file")), folder.resolve("store"))
    val file = folder.resolve("recording.jfr")
    val live = LiveModel.openOrThrow(folder.resolve("store"), GeneratedCtr)
    val log = ServingLog.openOrThrow(folder.resolve("log"))
    val recording = new Recording()
    try {
      recording.start()
      val recordings = new Recordings(log)
      new io.omomi.LiveWatcher(live, recordings).run()
      recordings.creatives(7)
      val ring = log.eventRingOrThrow()
      val id = PredictionId.of("request", "", 0)
      // More than the ring has room for, at once.
      for (_ <- 0 until 200000) ring.click(id)
      recordings.drops()
      recordings.drops()
      recording.stop()
      recording.dump(file)
    } finally {
      recording.close()
      log.close()
      live.close()
    }
    val events = RecordingFile.readAllEvents(file).asScala.filter(_.getEventType.getName.startsWith("io.omomi."))
    def values(name: String, field: String): Seq[Any] =
      events.filter(_.getEventType.getName == s"io.omomi.$name").map(_.getValue[Any](field)).toSeq
    assertEquals(Seq("generation", "creatives"), values("Reload", "what"))
    assertEquals(Seq("SERVING"), values("Switch", "state"))
    assertEquals(Seq("ring_full"), values("LogDrop", "reason").distinct)
  }
}
