package io.omomi.scaladsl

import java.nio.file.Path
import java.util.function.Consumer

import io.omomi.{Explanation, RequestLayout, ServingState}

/** Where everything lies in a request of some declaration; immutable, made once, good for every later model. */
final class Layout private (private[scaladsl] val underlying: RequestLayout) {
  /** The same layout with answers of `modelCount` models, which score a request in one call. Left unless they are 1 to 16. */
  def forModels(modelCount: Int): Either[OmomiException, Layout] =
    refusable(new Layout(underlying.forModels(modelCount)))
}

object Layout {
  /** The layout for requests of up to `candidates` candidates, with `tailLenBytes` bytes for texts and for the values of
    * fields with many. Left if the declaration or the capacity is not valid.
    */
  def of(fields: Fields, candidates: Int, tailLenBytes: Int): Either[OmomiException, Layout] =
    refusable(new Layout(RequestLayout.of(fields.schema, candidates, tailLenBytes)))

  /** The same for requests that name the candidates of a [[CandidateSet]] by index; the tail is for the context alone. */
  def prepared(fields: Fields, candidates: Int, tailLenBytes: Int): Either[OmomiException, Layout] =
    refusable(new Layout(RequestLayout.prepared(fields.schema, candidates, tailLenBytes)))
}

object Model {
  /** Opens a weight file: verifies every byte and recomputes its golden requests. Left says what is wrong with the file,
    * and who must act.
    */
  def open(path: Path, mode: LoadMode = io.omomi.LoadMode.MAP): Either[OmomiException, Model] =
    refusable(io.omomi.Model.open(path, mode))
}

/** Candidates that requests name by index: creatives live for hours, so their rows are handed over once. Any thread may add,
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
  /** Adds a candidate, whose row `fill` sets, and answers with its index. The row is not to be kept. */
  def add(fill: Row[Candidate] => Unit): Int = underlying.add(filler(fill))

  /** Puts a candidate, whose row `fill` sets, at `index`, in place of what was there. */
  def put(index: Int)(fill: Row[Candidate] => Unit): Unit = underlying.put(index, filler(fill))

  /** Removes the candidate at `index` and says whether there was one. */
  def remove(index: Int): Boolean = underlying.remove(index)

  /** Number of candidates in the set. */
  def count: Int = underlying.count()

  /** Most candidates at once; indices lie below it. */
  def capacity: Int = underlying.capacity()

  /** Gives up this reference to the candidates; scorers have their own. May be called twice. */
  override def close(): Unit = underlying.close()

  private def filler(fill: Row[Candidate] => Unit): Consumer[io.omomi.Row] =
    if (fill == null) null
    else new Consumer[io.omomi.Row] {
      override def accept(row: io.omomi.Row): Unit = fill(new Row[Candidate](row))
    }
}

object CandidateSet {
  /** An empty set for up to `capacity` candidates, whose fields with many have up to `valuesPerField` values. Left if one of
    * them is out of its limits.
    */
  def open(fields: Fields, capacity: Int, valuesPerField: Int): Either[OmomiException, CandidateSet] =
    refusable(new CandidateSet(io.omomi.CandidateSet.open(fields.schema, capacity, valuesPerField)))
}

/** What a [[Scorer]] and a [[LiveScorer]] have in common: a request and its answers. */
sealed abstract class AbstractScorer(underlying: io.omomi.AbstractScorer) extends AutoCloseable {
  /** The request to fill; always the same object. */
  final val request: Request = new Request(underlying.request())

  /** The click probability of a candidate, in (0, 1), or NaN unless it was scored. Of several models the first answers here
    * and in the other methods without a model.
    */
  final def probability(candidate: Int): Float = underlying.probability(candidate)

  /** The click probability of a candidate by model `model`, counted from 0 in the order given to `open`. */
  final def probability(model: Int, candidate: Int): Float = underlying.probability(model, candidate)

  /** Writes the probability of every candidate that was answered to `into`, from place 0 on, faster than one by one, and answers with how
    * many they are.
    */
  final def probabilities(into: Array[Float]): Int = underlying.probabilities(into)

  /** The same by model `model`. */
  final def probabilities(model: Int, into: Array[Float]): Int = underlying.probabilities(model, into)

  /** The logit of a candidate, or NaN unless it was scored. */
  final def logit(candidate: Int): Double = underlying.logit(candidate)

  /** The logit of a candidate by model `model`. */
  final def logit(model: Int, candidate: Int): Double = underlying.logit(model, candidate)

  /** What became of a candidate. */
  final def status(candidate: Int): CandidateStatus = underlying.status(candidate)

  /** What became of a candidate with model `model`. */
  final def status(model: Int, candidate: Int): CandidateStatus = underlying.status(model, candidate)

  /** Models that answer. */
  final def modelCount: Int = underlying.modelCount()

  /** Candidates with a probability in the last predict. */
  final def scoredCount: Int = underlying.scoredCount()

  /** Candidates with a probability by model `model`. */
  final def scoredCount(model: Int): Int = underlying.scoredCount(model)

  /** Candidates that were refused, each with its status. */
  final def refusedCount: Int = underlying.refusedCount()

  /** Candidates that model `model` refused. */
  final def refusedCount(model: Int): Int = underlying.refusedCount(model)

  /** Candidates that were not reached before the time was up. */
  final def lateCount: Int = underlying.lateCount()

  /** Categories for which the model has no weight. */
  final def unseenCount: Long = underlying.unseenCount()

  /** Categories for which model `model` has no weight. */
  final def unseenCount(model: Int): Long = underlying.unseenCount(model)

  /** Fields that the model reads and a row left empty. */
  final def missingCount: Long = underlying.missingCount()

  /** Fields that model `model` reads and a row left empty. */
  final def missingCount(model: Int): Long = underlying.missingCount(model)

  /** Numbers out of their field's range, or NaN. */
  final def invalidNumberCount: Long = underlying.invalidNumberCount()

  /** Numbers out of their field's range, or NaN, in fields that model `model` reads. */
  final def invalidNumberCount(model: Int): Long = underlying.invalidNumberCount(model)

  /** The generation of the model that gave the answers. */
  final def generation: Long = underlying.generation()

  /** The generation of model `model`. */
  final def generation(model: Int): Long = underlying.generation(model)

  /** The name of the serving logic that gave the answers, to be logged with each score. */
  def logicId: String

  /** Why a candidate has the logit it has. Allocates; not for the request path. */
  final def explain(candidate: Int): Explanation = underlying.explain(candidate)

  /** Gives up what it holds of models and candidates, after a predict that is under way. May be called twice. */
  override final def close(): Unit = underlying.close()
}

/** Scores requests with one model, or with several in one call. Make one for each thread. It holds its own reference to each
  * model, which may be closed or replaced at any time; after `close` every method throws.
  */
final class Scorer private (underlying: io.omomi.Scorer) extends AbstractScorer(underlying) {
  /** Scores the first `candidateCount` candidates of the request. A candidate that cannot be read costs itself only. */
  def predict(candidateCount: Int): Unit = underlying.predict(candidateCount)

  /** The same, but begins no further chunk of 256 candidates once `budgetNanos` nanoseconds have passed since the call.
    * Candidates that were not reached are late: they have no probability, and `lateCount` says how many they are.
    */
  def predictWithin(candidateCount: Int, budgetNanos: Long): Unit = underlying.predictWithin(candidateCount, budgetNanos)

  override def logicId: String = underlying.logicId()

  /** The name of the serving logic of model `model`. */
  def logicId(model: Int): String = underlying.logicId(model)
}

object Scorer {
  /** A scorer for `model`, with memory for requests of `layout`. Left if the model needs a field that is not declared, or
    * is declared otherwise.
    */
  def open(model: Model, layout: Layout): Either[OmomiException, Scorer] =
    refusable(new Scorer(io.omomi.Scorer.open(model, ofJava(layout))))

  /** The same for requests that name candidates of `set` by index. */
  def open(model: Model, layout: Layout, set: CandidateSet): Either[OmomiException, Scorer] =
    refusable(new Scorer(io.omomi.Scorer.open(model, ofJava(layout), ofJava(set))))

  /** A scorer for several models in one call, with a layout for as many. Each answers as it would alone. */
  def open(models: Seq[Model], layout: Layout): Either[OmomiException, Scorer] =
    refusable(new Scorer(io.omomi.Scorer.open(ofJava(models), ofJava(layout))))

  /** The same for requests that name candidates of `set` by index. */
  def open(models: Seq[Model], layout: Layout, set: CandidateSet): Either[OmomiException, Scorer] =
    refusable(new Scorer(io.omomi.Scorer.open(ofJava(models), ofJava(layout), ofJava(set))))
}

object LiveModel {
  /** Follows the store in `dir`: what is published there is verified and served, the last good generation where the newest is
    * bad, or none yet. Left only for options that would never work; `status` says what is not as it should be.
    */
  def open(
      dir: Path,
      fields: Fields,
      options: io.omomi.LiveOptions = io.omomi.LiveOptions.defaults()): Either[OmomiException, LiveModel] =
    refusable(io.omomi.LiveModel.open(dir, fields.schema, options))
}

/** Scores requests with whatever generation a live model serves. Make one for each thread, once. It goes on with the generation
  * that it has when its live model is closed; after its own `close` every method throws.
  *
  * {{{
  * scorer.predict(candidateCount) match {
  *   case ServingState.SERVING => rankByProbability(scorer)
  *   case _                    => rankByBid()
  * }
  * }}}
  */
final class LiveScorer private (underlying: io.omomi.LiveScorer) extends AbstractScorer(underlying) {
  /** Scores the first `candidateCount` candidates of the request, and says whether it did. After anything but `SERVING` there are
    * no answers, and the server answers by its own logic.
    */
  def predict(candidateCount: Int): ServingState = underlying.predict(candidateCount)

  /** The same within `budgetNanos` nanoseconds: see [[Scorer.predictWithin]]. */
  def predictWithin(candidateCount: Int, budgetNanos: Long): ServingState =
    underlying.predictWithin(candidateCount, budgetNanos)

  override def logicId: String = underlying.logicId()
}

object LiveScorer {
  /** A scorer for whatever `live` serves, with memory for requests of `layout`. Left for a layout of other fields than the live
    * model's, of several models, or of prepared candidates.
    */
  def open(live: LiveModel, layout: Layout): Either[OmomiException, LiveScorer] =
    refusable(new LiveScorer(io.omomi.LiveScorer.open(live, ofJava(layout))))

  /** The same for requests that name candidates of `set` by index. */
  def open(live: LiveModel, layout: Layout, set: CandidateSet): Either[OmomiException, LiveScorer] =
    refusable(new LiveScorer(io.omomi.LiveScorer.open(live, ofJava(layout), ofJava(set))))
}
