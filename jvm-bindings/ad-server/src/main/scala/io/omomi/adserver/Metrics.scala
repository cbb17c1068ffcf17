package io.omomi.adserver

import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.LongAdder

/** The server's own counts, as Prometheus text. Any thread may count. */
final class Metrics {
  private val counts = new ConcurrentHashMap[(String, String), LongAdder]
  private val durations = Array.fill(Metrics.bounds.length + 1)(new LongAdder)
  private val durationNanos = new LongAdder

  /** Adds to the counter `name`, with the label that [[Metrics]] lists for it. */
  def add(name: String, label: String, count: Long): Unit =
    counts.computeIfAbsent((name, label), _ => new LongAdder).add(count)

  def add(name: String, label: String): Unit = add(name, label, 1L)

  /** Counts how long a bid request took, from its last byte to its answer. */
  def duration(nanos: Long): Unit = {
    val bucket = Metrics.bounds.indexWhere(nanos <= _)
    durations(if (bucket < 0) Metrics.bounds.length else bucket).increment()
    durationNanos.add(nanos)
  }

  /** Returns a counter, for tests and the end of the process. */
  def count(name: String, label: String): Long = Option(counts.get((name, label))).fold(0L)(_.sum)

  def text(gauges: Seq[(String, String, Double)]): String = {
    val out = new StringBuilder
    for ((name, label, values, help) <- Metrics.counters) {
      out ++= s"# HELP $name $help\n# TYPE $name counter\n"
      // All known values from the start: a rate needs the 0 before the first count.
      val known = (values ++ seen(name)).distinct
      known.foreach(value => out ++= s"""$name{$label="$value"} ${count(name, value)}\n""")
    }
    val name = "ad_server_request_duration_seconds"
    out ++= s"# HELP $name Time from the last byte of a bid request to its answer.\n# TYPE $name histogram\n"
    var below = 0L
    for ((bound, count) <- Metrics.bounds.zip(durations)) {
      below += count.sum
      out ++= s"""${name}_bucket{le="${bound / 1e9}"} $below\n"""
    }
    below += durations.last.sum
    out ++= s"""${name}_bucket{le="+Inf"} $below\n${name}_sum ${durationNanos.sum / 1e9}\n${name}_count $below\n"""
    for ((name, help, value) <- gauges) out ++= s"# HELP $name $help\n# TYPE $name gauge\n$name $value\n"
    out.result()
  }

  private def seen(name: String): Seq[String] = {
    val labels = new scala.collection.mutable.ListBuffer[String]
    counts.keySet.forEach(key => if (key._1 == name) labels += key._2)
    labels.toList.sorted
  }
}

object Metrics {
  final val REQUESTS = "ad_server_requests_total"
  final val NO_BIDS = "ad_server_no_bids_total"
  final val BIDS = "ad_server_bids_total"
  final val CANDIDATES = "ad_server_candidates_total"
  final val EVENTS = "ad_server_events_total"
  final val LOSSES = "ad_server_losses_total"
  final val CREATIVE_LOADS = "ad_server_creative_loads_total"

  private val sources = Seq("model", "off", "no_model", "late", "refused")

  /** Name, label, known values and meaning of each counter. */
  private val counters = Seq(
    (REQUESTS, "answer", Seq("bid", "no_bid", "bad_request", "error"), "Bid requests by their answer."),
    (NO_BIDS, "reason", NoBidReason.all, "Impressions without a bid."),
    (BIDS, "source", sources, "Bids by where the probability is from."),
    (CANDIDATES, "source", sources, "Candidates by where their probability is from."),
    (EVENTS, "kind", Seq("win", "impression", "click", "bad_request"), "Events received."),
    (LOSSES, "reason", Nil, "Loss notices by the loss reason of OpenRTB."),
    (CREATIVE_LOADS, "result", Seq("changed", "refused"), "Changes of the creatives, and files that were refused."))

  /** Upper bounds of the histogram, in nanoseconds. */
  private val bounds =
    Vector(0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 500.0).map(ms => (ms * 1e6).toLong)
}
