package io.omomi.scaladsl

import java.nio.file.Path
import java.util.ArrayList
import java.util.function.Consumer

import io.omomi.{Explanation, RequestLayout}

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

/** Scores requests with one model, or with several in one call. Make one for each thread. It holds its own reference to each
  * model, which may be closed or replaced at any time; after `close` every method throws.
  */
final class Scorer private (underlying: io.omomi.Scorer) extends AutoCloseable {
  /** The request to fill; always the same object. */
  val request: Request = new Request(underlying.request())

  /** Scores the first `candidateCount` candidates of the request. A candidate that cannot be read costs itself only. */
  def predict(candidateCount: Int): Unit = underlying.predict(candidateCount)

  /** The same, but begins no further chunk of 128 candidates once `budgetNanos` nanoseconds have passed since the call.
    * Candidates that were not reached are late: they have no probability, and `lateCount` says how many they are.
    */
  def predictWithin(candidateCount: Int, budgetNanos: Long): Unit = underlying.predictWithin(candidateCount, budgetNanos)

  /** The click probability of a candidate, in (0, 1), or NaN unless it was scored. Of several models the first answers here
    * and in the other methods without a model.
    */
  def probability(candidate: Int): Float = underlying.probability(candidate)

  /** The click probability of a candidate by model `model`, counted from 0 in the order given to `open`. */
  def probability(model: Int, candidate: Int): Float = underlying.probability(model, candidate)

  /** The logit of a candidate, or NaN unless it was scored. */
  def logit(candidate: Int): Double = underlying.logit(candidate)

  /** The logit of a candidate by model `model`. */
  def logit(model: Int, candidate: Int): Double = underlying.logit(model, candidate)

  /** What became of a candidate. */
  def status(candidate: Int): CandidateStatus = underlying.status(candidate)

  /** What became of a candidate with model `model`. */
  def status(model: Int, candidate: Int): CandidateStatus = underlying.status(model, candidate)

  /** Models that answer. */
  def modelCount: Int = underlying.modelCount()

  /** Candidates with a probability in the last predict. */
  def scoredCount: Int = underlying.scoredCount()

  /** Candidates with a probability by model `model`. */
  def scoredCount(model: Int): Int = underlying.scoredCount(model)

  /** Candidates that were refused, each with its status. */
  def refusedCount: Int = underlying.refusedCount()

  /** Candidates that model `model` refused. */
  def refusedCount(model: Int): Int = underlying.refusedCount(model)

  /** Candidates that were not reached before the time was up. */
  def lateCount: Int = underlying.lateCount()

  /** Categories for which the model has no weight. */
  def unseenCount: Long = underlying.unseenCount()

  /** Categories for which model `model` has no weight. */
  def unseenCount(model: Int): Long = underlying.unseenCount(model)

  /** Fields that the model reads and a row left empty. */
  def missingCount: Long = underlying.missingCount()

  /** Fields that model `model` reads and a row left empty. */
  def missingCount(model: Int): Long = underlying.missingCount(model)

  /** Numbers out of their field's range, or NaN. */
  def invalidNumberCount: Long = underlying.invalidNumberCount()

  /** Numbers out of their field's range, or NaN, in fields that model `model` reads. */
  def invalidNumberCount(model: Int): Long = underlying.invalidNumberCount(model)

  /** The generation of the model that gave the answers. */
  def generation: Long = underlying.generation()

  /** The generation of model `model`. */
  def generation(model: Int): Long = underlying.generation(model)

  /** The name of the serving logic, to be logged with each score. */
  def logicId: String = underlying.logicId()

  /** The name of the serving logic of model `model`. */
  def logicId(model: Int): String = underlying.logicId(model)

  /** Why a candidate has the logit it has. Allocates; not for the request path. */
  def explain(candidate: Int): Explanation = underlying.explain(candidate)

  /** Gives up the reference to the model, after a predict that is under way. May be called twice. */
  override def close(): Unit = underlying.close()
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

  private def ofJava(layout: Layout): RequestLayout = if (layout == null) null else layout.underlying

  private def ofJava(set: CandidateSet): io.omomi.CandidateSet = if (set == null) null else set.underlying

  private def ofJava(models: Seq[Model]): ArrayList[Model] =
    if (models == null) null
    else {
      val list = new ArrayList[Model](models.length)
      models.foreach(list.add(_))
      list
    }
}
