package io.omomi.scaladsl

import java.util.function.{Function, Supplier}

/** Scorers with answers that a test gives, for unit tests of a server's own code: no weight file, no training and no
  * store. They are filled, scored and read like any other, but no model is behind them.
  *
  * {{{
  * val scorer = TestScorers.scorer(layout, "feed-ctr-test")((candidate, values) => if (candidate == 3) 0.9 else 0.1)
  * }}}
  */
object TestScorers {
  /** Returns a scorer whose candidates get the probabilities that `probability` returns, in (0, 1), or NaN for a
    * candidate that is refused. It gets the index of a candidate, and the values that are set, as texts, by the names
    * of their fields. The generation is 1.
    */
  def scorer(layout: Layout, logicId: String)(probability: (Int, Map[String, String]) => Double): Scorer =
    new Scorer(io.omomi.TestScorers.scorer(ofJava(layout), logicId, answering(probability)))

  /** Returns a live scorer like `scorer`, which answers while `state` is `SERVING`. */
  def liveScorer(layout: Layout, logicId: String, state: () => ServingState)(
      probability: (Int, Map[String, String]) => Double): LiveScorer = {
    val supplier = new Supplier[ServingState] {
      override def get(): ServingState = state()
    }
    new LiveScorer(io.omomi.TestScorers.liveScorer(ofJava(layout), logicId, supplier, answering(probability)))
  }

  /** The arm that answers a request in a test: `GivenArm.of("wide", "wide-logic", bucket = 9999)`. */
  type GivenArm = io.omomi.TestScorers.GivenArm

  object GivenArm {
    /** Returns an arm that answers a request of its own unit, whose bucket is from 0 to 9,999. */
    def of(name: String, logicId: String, bucket: Int): GivenArm =
      io.omomi.TestScorers.GivenArm.of(name, logicId, bucket)
  }

  /** Returns an experiment scorer whose requests are answered by the arm that `arms` returns for the request id. `None`
    * means that no arm can answer: `predict` then returns `NO_MODEL`. It chooses the best candidate, unless the arm is
    * `exploring`. The generation is 1, and the version of the file too.
    *
    * {{{
    * val wide = TestScorers.GivenArm.of("wide", "wide-logic", bucket = 9999)
    * val scorer = TestScorers.experimentScorer(layout, "wide-model", _ => Some(wide))((candidate, values) => 0.1)
    * }}}
    */
  def experimentScorer(layout: Layout, experiment: String, arms: String => Option[GivenArm])(
      probability: (Int, Map[String, String]) => Double): ExperimentScorer = {
    val function = new Function[String, GivenArm] {
      override def apply(requestId: String): GivenArm = arms(requestId).orNull
    }
    val answers = answering(probability)
    new ExperimentScorer(io.omomi.TestScorers.experimentScorer(ofJava(layout), experiment, function, answers))
  }

  private def answering(answer: (Int, Map[String, String]) => Double): io.omomi.TestScorers.GivenAnswer =
    new io.omomi.TestScorers.GivenAnswer {
      override def probability(candidate: Int, values: java.util.Map[String, String]): Double = {
        val builder = Map.newBuilder[String, String]
        values.forEach((name, value) => builder += name -> value)
        answer(candidate, builder.result())
      }
    }
}
