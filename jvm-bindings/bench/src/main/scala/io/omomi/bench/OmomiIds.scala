package io.omomi.bench

import java.nio.file.Path

import io.omomi.scaladsl._

/** This library through its Scala API, with id fields only. */
final class OmomiIds(file: Path, traffic: Traffic) extends Omomi {
  private val scorer = Opened.scorer(file, IdAd, tailLenBytes = 0)
  private val request = scorer.request

  override def fill(number: Int, candidates: Int): Unit = FillIds(request, traffic, number, candidates)

  override def predict(candidates: Int): Unit = scorer.predict(candidates)

  override def read(candidates: Int): Float = Read.sum(scorer, candidates)

  override def logit(candidate: Int): Double = scorer.logit(candidate)

  override def close(): Unit = scorer.close()
}

/** This library with a row at a time from the server's arrays, and all probabilities read into one array. */
final class OmomiIdRows(file: Path, traffic: Traffic) extends Omomi {
  private val scorer = Opened.scorer(file, IdAd, tailLenBytes = 0)
  private val request = scorer.request
  private val probabilities = new Array[Float](Traffic.CANDIDATES)

  override def fill(number: Int, candidates: Int): Unit = {
    request.clear()
    request.context(IdAd.contextTogether) = traffic.context(number)
    val ids = traffic.candidates(number)
    var i = 0
    while (i < candidates) {
      request.candidate(i).setIdFields(IdAd.candidateTogether, ids, i * Weights.FIELDS)
      i += 1
    }
  }

  override def predict(candidates: Int): Unit = scorer.predict(candidates)

  override def read(candidates: Int): Float = Read.sumOfAll(scorer, probabilities)

  override def logit(candidate: Int): Double = scorer.logit(candidate)

  override def close(): Unit = scorer.close()
}

private object FillIds {
  /** Clears a request, and sets all its fields. */
  def apply(request: Request, traffic: Traffic, number: Int, candidates: Int): Unit = {
    request.clear()
    IdAd.fillContext(request.context, traffic.context(number))
    val ids = traffic.candidates(number)
    var i = 0
    while (i < candidates) {
      IdAd.fillCandidate(request.candidate(i), ids, i * Weights.FIELDS)
      i += 1
    }
  }
}
