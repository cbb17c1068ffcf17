package io.omomi.examples

import io.omomi.scaladsl._

object ServeExperiment {
  /** Answers one request. The ring is `log.ring(scorer)`: both are opened once for each thread. */
  def choose(scorer: ExperimentScorer, ring: LogRing, requestId: String, bids: Array[Double]): Int = {
    scorer.request.clear()
    scorer.request.context(GeneratedCtr.userId) = 1234L // the unit: this user always gets the same arm
    for (i <- bids.indices) scorer.request.candidate(i)(GeneratedCtr.creativeId) = 4000L + i
    scorer.predict(requestId) match {
      case ServingState.SERVING =>
        val utilities = bids.indices.map(i => bids(i) * scorer.probability(i)).toArray
        val choice = scorer.choose(requestId, utilities) // the best, or another one for exploration
        ring.served.clear().requestId(requestId).choice(choice)
        ring.record(choice.candidate) // with experiment, arm, bucket and propensity, and what shadows said
        choice.candidate
      case _ => bids.indices.maxBy(i => bids(i)) // no arm can answer
    }
  }
}
