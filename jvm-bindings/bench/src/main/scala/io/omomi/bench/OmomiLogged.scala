package io.omomi.bench

import java.nio.file.{Files, Path}

import scala.concurrent.duration._

import io.omomi.scaladsl._

/** This library with id fields only, and a record of one candidate of each request in a serving log. Every record must
  * be queued: a dropped one costs less.
  */
final class OmomiLogged(file: Path, traffic: Traffic) extends Omomi {
  private val scorer = Opened.scorer(file, IdAd, tailLenBytes = 0)
  private val request = scorer.request
  private val folder = Files.createTempDirectory(file.getParent, "served-")
  private val log = ServingLog.openOrThrow(
    folder,
    LogOptions
      .builder()
      .ringLenBytes(16L << 20)
      .detailsPerMillion(0)
      .maxSegmentLenBytes(16L << 20)
      .maxTotalLenBytes(64L << 20)
      .build())
  private val ring = log.ringOrThrow(scorer)

  /** Records after which the writer gets the time to empty the ring. The clock is that of this thread, so it does not
    * count the wait.
    */
  private val recordsOfBatch = 10000
  private var left = recordsOfBatch

  override def fill(number: Int, candidates: Int): Unit = FillIds(request, traffic, number, candidates)

  override def predict(candidates: Int): Unit = scorer.predict(candidates)

  override def read(candidates: Int): Float = Read.sum(scorer, candidates)

  override def score(number: Int, candidates: Int): Float = {
    fill(number, candidates)
    predict(candidates)
    record(number % candidates)
    read(candidates)
  }

  /** Records a candidate of the last request. */
  def record(candidate: Int): Unit = {
    ring.served.clear().requestId("5f0c7d5e-8d3b-4c1f-9a61").position(0).latencyNanos(26000L)
    ring.served.bid(1500000L, "JPY", io.omomi.Basis.THOUSAND_IMPRESSIONS)
    if (ring.record(candidate) ne io.omomi.Recorded.QUEUED) throw new AssertionError("a record was dropped")
    left -= 1
    if (left == 0) {
      left = recordsOfBatch
      if (!log.flush(1.minute)) throw new AssertionError("the writer is too slow")
    }
  }

  override def logit(candidate: Int): Double = scorer.logit(candidate)

  override def close(): Unit = {
    ring.close()
    log.close()
    scorer.close()
    val files = Files.list(folder)
    try files.forEach(path => Files.delete(path))
    finally files.close()
    Files.delete(folder)
  }
}
