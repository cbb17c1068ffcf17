package io.omomi.adserver

import io.omomi.scaladsl._
import jdk.jfr.{Category, Description, Event, Label, Name, StackTrace}

/** A generation, or a file of creatives, replaced another one. */
@Name("io.omomi.Reload")
@Label("Reload")
@Description("A generation, or a file of creatives, replaced another one")
@Category(Array("omomi"))
@StackTrace(false)
final class ReloadEvent(val what: String, val generation: Long, val count: Long) extends Event

/** Requests began or ceased to get answers of the model. */
@Name("io.omomi.Switch")
@Label("Switch")
@Description("Requests began or ceased to get answers of the model")
@Category(Array("omomi"))
@StackTrace(false)
final class SwitchEvent(val state: String) extends Event

/** Records of the serving log were dropped since the last event. */
@Name("io.omomi.LogDrop")
@Label("Log drop")
@Description("Records of the serving log were dropped since the last event")
@Category(Array("omomi"))
@StackTrace(false)
final class LogDropEvent(val reason: String, val count: Long) extends Event

/** Commits events of the JDK's flight recorder, on the thread of the housekeeping, never on that of a request. */
final class Recordings(log: ServingLog) extends LiveListener {
  private var dropped = Map.empty[DropReason, Long]

  override def onSwap(served: LiveStatus.Served): Unit =
    new ReloadEvent("generation", served.generation, served.weightCount).commit()

  override def onState(state: ServingState): Unit = new SwitchEvent(state.name).commit()

  def creatives(changed: Int): Unit = new ReloadEvent("creatives", 0L, changed.toLong).commit()

  /** Commits an event for each reason for which records were dropped since the last call. */
  def drops(): Unit = log.metrics.droppedCounts.forEach { (reason, count) =>
    val before = dropped.getOrElse(reason, 0L)
    if (count > before) new LogDropEvent(reason.word, count - before).commit()
    dropped += reason -> count.toLong
  }
}
