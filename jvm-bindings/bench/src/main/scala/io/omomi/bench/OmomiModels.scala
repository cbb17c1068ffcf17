package io.omomi.bench

import java.nio.file.Path

import io.omomi.scaladsl._

/** Three models of equal weights, each in separate memory, that score a request in one call. */
final class OmomiModels(file: Path, traffic: Traffic) extends Omomi {
  private val scorer = Opened.scorerOfModels(file, IdAd, OmomiModels.Count)
  private val request = scorer.request

  override def fill(number: Int, candidates: Int): Unit = FillIds(request, traffic, number, candidates)

  override def predict(candidates: Int): Unit = scorer.predict(candidates)

  override def read(candidates: Int): Float = {
    var sum = 0.0f
    var i = 0
    while (i < candidates) {
      sum += scorer.answers(0).probability(i) + scorer.answers(1).probability(i) + scorer.answers(2).probability(i)
      i += 1
    }
    sum
  }

  override def logit(candidate: Int): Double =
    OmomiModels.same(
      scorer.answers(0).logit(candidate),
      scorer.answers(1).logit(candidate),
      scorer.answers(2).logit(candidate))

  override def close(): Unit = scorer.close()
}

/** Three models of equal weights, with a separate scorer, request and call for each. */
final class OmomiModelCalls(file: Path, traffic: Traffic) extends Omomi {
  private val first = Opened.scorerOfModels(file, IdAd, 1)
  private val second = Opened.scorerOfModels(file, IdAd, 1)
  private val third = Opened.scorerOfModels(file, IdAd, 1)

  override def fill(number: Int, candidates: Int): Unit = {
    FillIds(first.request, traffic, number, candidates)
    FillIds(second.request, traffic, number, candidates)
    FillIds(third.request, traffic, number, candidates)
  }

  override def predict(candidates: Int): Unit = {
    first.predict(candidates)
    second.predict(candidates)
    third.predict(candidates)
  }

  override def read(candidates: Int): Float =
    Read.sum(first, candidates) + Read.sum(second, candidates) + Read.sum(third, candidates)

  override def logit(candidate: Int): Double =
    OmomiModels.same(first.logit(candidate), second.logit(candidate), third.logit(candidate))

  override def close(): Unit = {
    first.close()
    second.close()
    third.close()
  }
}

private object OmomiModels {
  val Count = 3

  /** Returns the logit, which all models must agree on. */
  def same(first: Double, second: Double, third: Double): Double =
    if (first == second && second == third) first else Double.NaN
}
