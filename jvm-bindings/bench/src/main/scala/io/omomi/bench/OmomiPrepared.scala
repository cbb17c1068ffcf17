package io.omomi.bench

import java.nio.file.Path

import io.omomi.scaladsl._

/** All candidates of the traffic, prepared beforehand. A request sets the ids of its context and names candidates by
  * index: one by one or together from an array, and reads probabilities the same way.
  */
final class OmomiPrepared(file: Path, traffic: Traffic, arrays: Boolean) extends Omomi {
  // In random order: the candidates of a request have nothing to do with the order of their arrival at the server.
  private val indices = traffic.shuffledCandidates()
  private val set = Opened.set(IdAd, indices.length)
  private val scorer = Opened.preparedScorer(file, IdAd, set)
  private val request = scorer.request
  private val indicesOfRequests = indices.grouped(Traffic.CANDIDATES).toArray
  private val probabilities = new Array[Float](Traffic.CANDIDATES)

  locally {
    var at = 0
    while (at < indices.length) {
      val (ids, first) = (traffic.candidates(at / Traffic.CANDIDATES), at % Traffic.CANDIDATES * Weights.FIELDS)
      set.put(indices(at))(row => IdAd.fillCandidate(row, ids, first))
      at += 1
    }
  }

  override def fill(number: Int, candidates: Int): Unit = {
    request.clear()
    val named = indicesOfRequests(number)
    if (arrays) {
      request.context(IdAd.contextTogether) = traffic.context(number)
      request.setCandidates(named, candidates)
    } else {
      IdAd.fillContext(request.context, traffic.context(number))
      var i = 0
      while (i < candidates) {
        request.setCandidate(i, named(i))
        i += 1
      }
    }
  }

  override def predict(candidates: Int): Unit = scorer.predict(candidates)

  override def read(candidates: Int): Float =
    if (arrays) Read.sumOfAll(scorer, probabilities) else Read.sum(scorer, candidates)

  override def logit(candidate: Int): Double = scorer.logit(candidate)

  override def close(): Unit = {
    scorer.close()
    set.close()
  }
}
