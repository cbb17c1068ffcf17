package io.omomi.bench

import io.omomi.scaladsl._

private object Read {
  /** Returns the sum of the first model's probabilities. */
  def sum(scorer: Scorer, candidates: Int): Float = {
    var sum = 0.0f
    var i = 0
    while (i < candidates) {
      sum += scorer.probability(i)
      i += 1
    }
    sum
  }

  /** Returns the sum of the first model's probabilities, after copying all of them to `into`. */
  def sumOfAll(scorer: Scorer, into: Array[Float]): Float = {
    val count = scorer.probabilities(into)
    var sum = 0.0f
    var i = 0
    while (i < count) {
      sum += into(i)
      i += 1
    }
    sum
  }
}
