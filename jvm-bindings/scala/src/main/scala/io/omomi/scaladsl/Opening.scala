package io.omomi.scaladsl

import java.nio.file.Path
import java.util.function.Consumer

import io.omomi.{Explanation, RequestLayout}

/** The positions in a request of one declaration. Immutable, created once, valid for every later model. */
final class Layout private (private[scaladsl] val underlying: RequestLayout) {
  /** Returns this layout with answers of `modelCount` models, which score a request in one call. `Left` unless there
    * are 1 to 16 models.
    */
  def forModels(modelCount: Int): Either[OmomiException, Layout] =
    refusable(new Layout(underlying.forModels(modelCount)))

  override def toString: String = underlying.toString
}

object Layout {
  /** Creates the layout of requests with up to `candidates` candidates, with `tailLenBytes` bytes for texts and for
    * the values of fields with many. `Left` if the declaration or the capacity is not valid.
    */
  def of(fields: Fields, candidates: Int, tailLenBytes: Int): Either[OmomiException, Layout] =
    refusable(new Layout(RequestLayout.of(ofJava(fields), candidates, tailLenBytes)))

  /** Creates a layout like `of`, and throws instead of returning a `Left`. */
  def ofOrThrow(fields: Fields, candidates: Int, tailLenBytes: Int): Layout =
    orThrow(of(fields, candidates, tailLenBytes))

  /** Creates the layout of requests that name the candidates of a [[CandidateSet]] by index. The tail is for the
    * context alone. `Left` if the declaration or the capacity is not valid.
    */
  def prepared(fields: Fields, candidates: Int, tailLenBytes: Int): Either[OmomiException, Layout] =
    refusable(new Layout(RequestLayout.prepared(ofJava(fields), candidates, tailLenBytes)))

  /** Creates a layout like `prepared`, and throws instead of returning a `Left`. */
  def preparedOrThrow(fields: Fields, candidates: Int, tailLenBytes: Int): Layout =
    orThrow(prepared(fields, candidates, tailLenBytes))
}

object Model {
  /** Opens a weight file: verifies every byte and recomputes its golden requests. `Left` names the fault of the file
    * and who must act.
    */
  def open(path: Path, mode: LoadMode = io.omomi.LoadMode.MAP): Either[OmomiException, Model] =
    refusable(io.omomi.Model.open(path, mode))

  /** Opens a weight file like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(path: Path, mode: LoadMode = io.omomi.LoadMode.MAP): Model = orThrow(open(path, mode))
}

/** Candidates that requests name by index. Creatives live for hours, so their rows are passed once. Any thread may add,
  * replace and remove candidates at any time, while others score; no predict waits, and none sees half a change.
  *
  * {{{
  * val index = set.add { row =>
  *   row(Ad.creativeId) = 42L
  * }
  * scorer.request.setCandidate(0, index)
  * }}}
  */
final class CandidateSet private (private[scaladsl] val underlying: io.omomi.CandidateSet) extends AutoCloseable {
  /** Adds a candidate whose row `fill` sets, and returns its index. `fill` must not keep the row. */
  def add(fill: Row[Candidate] => Unit): Int = underlying.add(filler(fill))

  /** Puts a candidate whose row `fill` sets at `index`, replacing the candidate there, if any. */
  def put(index: Int)(fill: Row[Candidate] => Unit): Unit = underlying.put(index, filler(fill))

  /** Removes the candidate at `index`, and returns whether there was one. */
  def remove(index: Int): Boolean = underlying.remove(index)

  /** Returns the number of candidates in the set. */
  def count: Int = underlying.count()

  /** Returns the maximum number of candidates. All indices are below it. */
  def capacity: Int = underlying.capacity()

  /** Releases this reference to the candidates; scorers have their own. May be called twice. */
  override def close(): Unit = underlying.close()

  override def toString: String = underlying.toString

  private def filler(fill: Row[Candidate] => Unit): Consumer[io.omomi.Row] =
    if (fill == null) null
    else new Consumer[io.omomi.Row] {
      override def accept(row: io.omomi.Row): Unit = fill(new Row[Candidate](row))
    }
}

object CandidateSet {
  /** Creates an empty set for up to `capacity` candidates, whose fields with many have up to `valuesPerField` values.
    * `Left` if one of them is out of its limits.
    */
  def open(fields: Fields, capacity: Int, valuesPerField: Int): Either[OmomiException, CandidateSet] =
    refusable(new CandidateSet(io.omomi.CandidateSet.open(ofJava(fields), capacity, valuesPerField)))

  /** Creates a set like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(fields: Fields, capacity: Int, valuesPerField: Int): CandidateSet =
    orThrow(open(fields, capacity, valuesPerField))
}

/** The common part of [[Scorer]], [[LiveScorer]] and [[ExperimentScorer]]: a request and its answers. */
sealed abstract class AbstractScorer(underlying: io.omomi.AbstractScorer) extends AutoCloseable {
  private[scaladsl] final def javaScorer: io.omomi.AbstractScorer = underlying

  /** The request to fill. It is always the same object. */
  final val request: Request = new Request(underlying.request())

  /** Returns the click probability of a candidate, in (0, 1), or NaN unless it was scored. With several models, this
    * method and the other accessors here are about the first: see `answers`.
    */
  final def probability(candidate: Int): Float = underlying.probability(candidate)

  /** Writes the probability of every answered candidate to `into`, from index 0 on, faster than one by one, and
    * returns their number.
    */
  final def probabilities(into: Array[Float]): Int = underlying.probabilities(into)

  /** Returns the logit of a candidate, or NaN unless it was scored. */
  final def logit(candidate: Int): Double = underlying.logit(candidate)

  /** Returns the status of a candidate: whether it was scored, or why not. */
  final def status(candidate: Int): CandidateStatus = underlying.status(candidate)

  /** Returns the answers of model `model`, counted from 0 in the order given to `open`. The accessors here are about
    * the first model.
    */
  final def answers(model: Int): Answers = underlying.answers(model)

  /** Returns the number of models that answer. */
  final def modelCount: Int = underlying.modelCount()

  /** Leaves the scorer to the next thread that uses it. It belongs to the first thread that fills, predicts or reads;
    * another one gets an exception. [[ScorerPool]] calls this when a scorer comes back.
    */
  final def handOver(): Unit = underlying.handOver()

  /** Returns the number of candidates of the last predict, or 0 before the first and after one that threw. */
  final def answeredCount: Int = underlying.answeredCount()

  /** Returns the number of candidates with a probability in the last predict. */
  final def scoredCount: Int = underlying.scoredCount()

  /** Returns the number of candidates that were refused. Each has its status. */
  final def refusedCount: Int = underlying.refusedCount()

  /** Returns the number of candidates that were not reached within the time limit. */
  final def lateCount: Int = underlying.lateCount()

  /** Returns the number of categories without a weight. */
  final def unseenCount: Long = underlying.unseenCount()

  /** Returns the number of fields that the model reads and that have no value. */
  final def missingCount: Long = underlying.missingCount()

  /** Returns the number of values that are NaN or out of their field's range. */
  final def invalidNumberCount: Long = underlying.invalidNumberCount()

  /** Returns the generation of the model that gave the answers. */
  final def generation: Long = underlying.generation()

  /** Returns the logic id of the model that gave the answers, to be logged with each score. */
  def logicId: String

  /** Explains the logit of a candidate. Allocates, so do not call it on the request path. */
  final def explain(candidate: Int): Explanation = underlying.explain(candidate)

  override final def toString: String = underlying.toString

  /** Releases the references to models and candidates, after a predict in progress. May be called twice. */
  override final def close(): Unit = underlying.close()
}

/** Scores requests with one model, or with several in one call. Open one for each thread. It holds its own reference
  * to each model, which may be closed or replaced at any time. After `close`, every method throws.
  */
final class Scorer private[scaladsl] (underlying: io.omomi.Scorer) extends AbstractScorer(underlying) {
  /** Scores the candidates that the request was given since it was cleared, up to the last one. */
  def predict(): Unit = underlying.predict()

  /** Scores the first `candidateCount` candidates of the request. A candidate that cannot be read, or that was not
    * filled, fails alone.
    */
  def predict(candidateCount: Int): Unit = underlying.predict(candidateCount)

  /** Scores the request like `predict`, within a time limit: starts no further chunk of up to 256 candidates once
    * `budgetNanos` nanoseconds have passed since the call. Candidates that were not reached are late: they have no
    * probability, and `lateCount` counts them.
    */
  def predictWithin(candidateCount: Int, budgetNanos: Long): Unit = underlying.predictWithin(candidateCount, budgetNanos)

  override def logicId: String = underlying.logicId()
}

object Scorer {
  /** Opens a scorer for `model`, with memory for requests of `layout`. `Left` if the model needs a field that is not
    * declared, or is declared differently.
    */
  def open(model: Model, layout: Layout): Either[OmomiException, Scorer] =
    refusable(new Scorer(io.omomi.Scorer.open(model, ofJava(layout))))

  /** Opens a scorer for `model` and requests that name candidates of `set` by index. */
  def open(model: Model, layout: Layout, set: CandidateSet): Either[OmomiException, Scorer] =
    refusable(new Scorer(io.omomi.Scorer.open(model, ofJava(layout), ofJava(set))))

  /** Opens a scorer for several models in one call, with a layout for that many. Each answers as it would alone. */
  def open(models: Seq[Model], layout: Layout): Either[OmomiException, Scorer] =
    refusable(new Scorer(io.omomi.Scorer.open(ofJava(models), ofJava(layout))))

  /** Opens a scorer for several models and requests that name candidates of `set` by index. */
  def open(models: Seq[Model], layout: Layout, set: CandidateSet): Either[OmomiException, Scorer] =
    refusable(new Scorer(io.omomi.Scorer.open(ofJava(models), ofJava(layout), ofJava(set))))

  /** Opens a scorer like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(model: Model, layout: Layout): Scorer = orThrow(open(model, layout))

  /** Opens a scorer for prepared candidates like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(model: Model, layout: Layout, set: CandidateSet): Scorer = orThrow(open(model, layout, set))

  /** Opens a scorer for several models like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(models: Seq[Model], layout: Layout): Scorer = orThrow(open(models, layout))

  /** Opens a scorer for several models and prepared candidates, and throws instead of returning a `Left`. */
  def openOrThrow(models: Seq[Model], layout: Layout, set: CandidateSet): Scorer = orThrow(open(models, layout, set))
}

object LiveModel {
  /** Opens the store in `dir`: verifies and serves what is published there. If the newest generation is bad, the last
    * good one is served, or none. `Left` only for options that can never work; `status` reports current problems.
    */
  def open(
      dir: Path,
      fields: Fields,
      options: io.omomi.LiveOptions = io.omomi.LiveOptions.defaults()): Either[OmomiException, LiveModel] =
    refusable(io.omomi.LiveModel.open(dir, ofJava(fields), options))

  /** Opens a store like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(
      dir: Path,
      fields: Fields,
      options: io.omomi.LiveOptions = io.omomi.LiveOptions.defaults()): LiveModel =
    orThrow(open(dir, fields, options))
}

/** Scores requests with the generation that a live model serves. Open one for each thread, once. When its live model is
  * closed, it continues with the generation that it has. After its own `close`, every method throws.
  *
  * {{{
  * scorer.predict(candidateCount) match {
  *   case ServingState.SERVING => rankByProbability(scorer)
  *   case _                    => rankByBid()
  * }
  * }}}
  */
final class LiveScorer private[scaladsl] (underlying: io.omomi.LiveScorer) extends AbstractScorer(underlying) {
  /** Scores the candidates that the request was given since it was cleared, and returns whether it did. */
  def predict(): ServingState = underlying.predict()

  /** Scores the first `candidateCount` candidates of the request, and returns whether it did. After anything but
    * `SERVING` there are no answers, and the server answers by its own logic.
    */
  def predict(candidateCount: Int): ServingState = underlying.predict(candidateCount)

  /** Scores the candidates that the request was given since it was cleared with the fallback file of the options. */
  def predictFallback(): ServingState = underlying.predictFallback()

  /** Scores the first `candidateCount` candidates of the request with the fallback file of the options: a second call,
    * after `predict` returned `OFF` or `NO_MODEL`. `generation` and `logicId` are then those of the fallback file.
    * Returns `SERVING`, or `NO_MODEL` if the options have no fallback file.
    */
  def predictFallback(candidateCount: Int): ServingState = underlying.predictFallback(candidateCount)

  /** Scores the request like `predict`, within `budgetNanos` nanoseconds: see [[Scorer.predictWithin]]. */
  def predictWithin(candidateCount: Int, budgetNanos: Long): ServingState =
    underlying.predictWithin(candidateCount, budgetNanos)

  override def logicId: String = underlying.logicId()
}

object LiveScorer {
  /** Opens a scorer for the generations that `live` serves, with memory for requests of `layout`. `Left` if the layout
    * has other fields than the live model, is for several models, or is for prepared candidates.
    */
  def open(live: LiveModel, layout: Layout): Either[OmomiException, LiveScorer] =
    refusable(new LiveScorer(io.omomi.LiveScorer.open(live, ofJava(layout))))

  /** Opens a scorer for the generations that `live` serves and requests that name candidates of `set` by index. */
  def open(live: LiveModel, layout: Layout, set: CandidateSet): Either[OmomiException, LiveScorer] =
    refusable(new LiveScorer(io.omomi.LiveScorer.open(live, ofJava(layout), ofJava(set))))

  /** Opens a scorer like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(live: LiveModel, layout: Layout): LiveScorer = orThrow(open(live, layout))

  /** Opens a scorer for prepared candidates like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(live: LiveModel, layout: Layout, set: CandidateSet): LiveScorer = orThrow(open(live, layout, set))
}

object LiveExperiment {
  /** Opens an experiment file, and the store of each arm with `options`. If the file is not good, the last good one is
    * in force, or none. `Left` only for options that can never work; `status` reports current problems.
    */
  def open(
      file: Path,
      fields: Fields,
      options: io.omomi.LiveOptions = io.omomi.LiveOptions.defaults()): Either[OmomiException, LiveExperiment] =
    refusable(io.omomi.LiveExperiment.open(file, ofJava(fields), options))

  /** Opens an experiment file like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(
      file: Path,
      fields: Fields,
      options: io.omomi.LiveOptions = io.omomi.LiveOptions.defaults()): LiveExperiment =
    orThrow(open(file, fields, options))
}

/** Scores requests with the arm of their unit, as a [[LiveExperiment]] says. Open one for each thread, once. When its
  * experiment is closed, it continues with the arms and generations that it has. After its own `close`, every method
  * throws.
  *
  * {{{
  * scorer.predict(requestId) match {
  *   case ServingState.SERVING =>
  *     val choice = scorer.choose(requestId, utilitiesOf(scorer))  // the best, or exploration
  *     ring.served.clear().requestId(requestId).choice(choice)
  *     ring.record(choice.candidate)                               // adds experiment, arm, bucket and shadows
  *   case _ => rankByBid()
  * }
  * }}}
  *
  * A layout for `1 + n` models has room for `n` shadows. Their answers go to the ring alone.
  */
final class ExperimentScorer private[scaladsl] (underlying: io.omomi.ExperimentScorer)
    extends AbstractScorer(underlying) {
  /** Scores the candidates that the request was given since it was cleared, and returns whether it did. */
  def predict(requestId: CharSequence): ServingState = underlying.predict(requestId)

  /** Scores the first `candidateCount` candidates of the request with the arm of its unit, and returns whether it did.
    * An arm that cannot answer is replaced by the control arm. After anything but `SERVING`, not even that can answer,
    * and the server answers by its own logic. The request id has 1 to 128 bytes.
    */
  def predict(candidateCount: Int, requestId: CharSequence): ServingState =
    underlying.predict(candidateCount, requestId)

  /** Scores the request like `predict`, within `budgetNanos` nanoseconds: see [[Scorer.predictWithin]]. A shadow that
    * would probably take longer than the rest of that time is skipped.
    */
  def predictWithin(candidateCount: Int, requestId: CharSequence, budgetNanos: Long): ServingState =
    underlying.predictWithin(candidateCount, requestId, budgetNanos)

  /** Scores the candidates that the request was given since it was cleared with the fallback file of the options. */
  def predictFallback(): ServingState = underlying.predictFallback()

  /** Scores the first `candidateCount` candidates of the request with the fallback file of the options. Such an answer
    * belongs to no arm. Returns `SERVING`, or `NO_MODEL` if the options have no fallback file.
    */
  def predictFallback(candidateCount: Int): ServingState = underlying.predictFallback(candidateCount)

  /** Chooses one of the answered candidates by the policy under which the request was answered: the one with the
    * highest utility, or, in some requests, another one. A candidate whose utility is NaN is not eligible. Always
    * returns the same object.
    */
  def choose(requestId: CharSequence, utilities: Array[Double]): Choice = underlying.choose(requestId, utilities)

  /** Returns the name of the arm that answered. Like every method here about the answer, it throws if no arm did. */
  def arm: String = underlying.arm()

  /** Returns the name of the experiment. */
  def experiment: String = underlying.experiment()

  /** Returns the bucket of the request's unit, from 0 to 9,999, or -1 if the unit has no value. Such a request is
    * answered by the control arm and counts for no arm.
    */
  def bucket: Int = underlying.bucket()

  /** Returns whether the control arm answered. */
  def isControl: Boolean = underlying.isControl()

  /** Returns whether the control arm answered because the arm of the unit could not. */
  def fellBack: Boolean = underlying.fellBack()

  /** Returns the number of shadows that scored the request. */
  def shadowCount: Int = underlying.shadowCount()

  /** Returns the version of the experiment file under which the request was answered. */
  def version: Long = underlying.version()

  override def logicId: String = underlying.logicId()
}

object ExperimentScorer {
  /** Opens a scorer for the arms of `experiment`, with memory for requests of `layout`. `Left` if the layout has other
    * fields than the experiment, or is for prepared candidates.
    */
  def open(experiment: LiveExperiment, layout: Layout): Either[OmomiException, ExperimentScorer] =
    refusable(new ExperimentScorer(io.omomi.ExperimentScorer.open(experiment, ofJava(layout))))

  /** Opens a scorer for the arms of `experiment` and requests that name candidates of `set` by index. */
  def open(experiment: LiveExperiment, layout: Layout, set: CandidateSet): Either[OmomiException, ExperimentScorer] =
    refusable(new ExperimentScorer(io.omomi.ExperimentScorer.open(experiment, ofJava(layout), ofJava(set))))

  /** Opens a scorer like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(experiment: LiveExperiment, layout: Layout): ExperimentScorer = orThrow(open(experiment, layout))

  /** Opens a scorer for prepared candidates like `open`, and throws instead of returning a `Left`. */
  def openOrThrow(experiment: LiveExperiment, layout: Layout, set: CandidateSet): ExperimentScorer =
    orThrow(open(experiment, layout, set))
}
