package io.omomi.scaladsl

import java.nio.ByteBuffer
import java.nio.file.Path

import scala.concurrent.duration.Duration

/** Writes what a server served to a folder, so that the next model learns from it, and every logged answer can be
  * computed again. A thread of the native library writes; request threads record through a [[LogRing]] each and never
  * wait for it. Any number of threads may use one log.
  *
  * {{{
  * for {
  *   log  <- ServingLog.open(Paths.get("/var/log/omomi"), LogOptions.builder().name("ad-server-1").build()) // once
  *   ring <- log.ring(scorer)                                                                  // for each scorer
  * } yield {
  *   scorer.predict(candidateCount)                                                            // for each request
  *   ring.served.clear().requestId(id).bid(1500000L, "JPY", Basis.THOUSAND_IMPRESSIONS).position(0)
  *   ring.record(best)
  * }
  * }}}
  */
final class ServingLog private (underlying: io.omomi.ServingLog) extends AutoCloseable {
  /** Returns the folder. */
  def folder: Path = underlying.folder()

  /** Opens the ring of a scorer, for the thread that uses the scorer: before its first request, and off the request
    * path. The ring of a [[LiveScorer]] or an [[ExperimentScorer]] records every later generation, and the answers of
    * the fallback file. That of an experiment scorer also fills in experiment, arm and bucket, and records what shadows
    * answered. `Left` if the scorer or the log is closed, or if a test gives the scorer's answers.
    */
  def ring(scorer: AbstractScorer): Either[OmomiException, LogRing] =
    refusable(underlying.ring(if (scorer == null) null else scorer.javaScorer))

  /** Opens the ring of a scorer like `ring`, and throws instead of returning a `Left`. */
  def ringOrThrow(scorer: AbstractScorer): LogRing = orThrow(ring(scorer))

  /** Opens a ring for events, on a thread that scores nothing. */
  def eventRing(): Either[OmomiException, LogRing] = refusable(underlying.eventRing())

  /** Opens a ring for events like `eventRing`, and throws instead of returning a `Left`. */
  def eventRingOrThrow(): LogRing = orThrow(eventRing())

  /** Has everything written that was recorded before this call, waits up to `timeout` for it, and returns whether it is
    * written or counted as dropped. For tests, and before a planned end.
    */
  def flush(timeout: Duration): Boolean = underlying.flush(
    if (timeout == null) null
    else java.time.Duration.ofNanos(if (timeout.isFinite) timeout.toNanos else Long.MaxValue))

  /** Returns what was written and what was dropped. */
  def metrics: LogMetrics = underlying.metrics()

  /** Writes the current metrics as Prometheus text at the position of a direct buffer, and moves the position to the
    * end of the text. It can follow the text of live models.
    */
  def writePrometheus(buffer: ByteBuffer): Unit = underlying.writePrometheus(buffer)

  /** Writes what was recorded, seals the last segment and ends the thread, within 2 seconds. Rings that are still open
    * drop what they are given from now on. May be called twice.
    */
  override def close(): Unit = underlying.close()

  override def toString: String = underlying.toString
}

object ServingLog {
  /** Opens a log in `folder`, which is created if only its last part does not exist. Starts one thread. `Left` for
    * options that can never work, and if the folder cannot be created; problems that arise later are counted.
    */
  def open(
      folder: Path,
      options: io.omomi.LogOptions = io.omomi.LogOptions.defaults()): Either[OmomiException, ServingLog] =
    refusable(new ServingLog(io.omomi.ServingLog.open(folder, options)))

  /** Opens a log like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(folder: Path, options: io.omomi.LogOptions = io.omomi.LogOptions.defaults()): ServingLog =
    orThrow(open(folder, options))

  /** Returns the place of a request, from 0 to 999,999: it is in every sample of more requests in a million, in every
    * service and every language with that salt.
    */
  def samplePlace(salt: Long, requestId: CharSequence): Int = io.omomi.ServingLog.samplePlace(salt, requestId)
}

object PredictionId {
  /** Returns the id of a prediction, which joins it with its events. `impression` is empty if the request has only one.
    * Throws unless the request id has 1 to 128 bytes and the impression at most 64. On a path where no byte may be
    * allocated, use `putPredictionId` of [[Served]].
    */
  def of(requestId: CharSequence, impression: CharSequence, candidate: Int): PredictionId =
    io.omomi.PredictionId.of(requestId, impression, candidate)

  /** Returns the id that was written as 32 hexadecimal digits, `Left` for anything else: it may come from a URL that
    * somebody has changed.
    */
  def parse(text: CharSequence): Either[OmomiException, PredictionId] = refusable(io.omomi.PredictionId.parse(text))
}
