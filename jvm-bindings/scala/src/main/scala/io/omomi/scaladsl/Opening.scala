package io.omomi.scaladsl

import java.nio.file.Path

import io.omomi.{Explanation, RequestLayout}

/** Where everything lies in a request of some declaration; immutable, made once, good for every later model. */
final class Layout private (private[scaladsl] val underlying: RequestLayout)

object Layout {
  /** The layout for requests of up to `candidates` candidates, with `tailLenBytes` bytes for texts and for the values of
    * fields with many. Left if the declaration or the capacity is not valid.
    */
  def of(fields: Fields, candidates: Int, tailLenBytes: Int): Either[OmomiException, Layout] =
    refusable(new Layout(RequestLayout.of(fields.schema, candidates, tailLenBytes)))
}

object Model {
  /** Opens a weight file: verifies every byte and recomputes its golden requests. Left says what is wrong with the file,
    * and who must act.
    */
  def open(path: Path, mode: LoadMode = io.omomi.LoadMode.MAP): Either[OmomiException, Model] =
    refusable(io.omomi.Model.open(path, mode))
}

/** Scores requests with one model. Make one for each thread. It holds its own reference to the model, which may be closed
  * or replaced at any time; after `close` every method throws.
  */
final class Scorer private (underlying: io.omomi.Scorer) extends AutoCloseable {
  /** The request to fill; always the same object. */
  val request: Request = new Request(underlying.request())

  /** Scores the first `candidateCount` candidates of the request. A candidate that cannot be read costs itself only. */
  def predict(candidateCount: Int): Unit = underlying.predict(candidateCount)

  /** The click probability of a candidate, in (0, 1), or NaN unless it was scored. */
  def probability(candidate: Int): Float = underlying.probability(candidate)

  /** The logit of a candidate, or NaN unless it was scored. */
  def logit(candidate: Int): Double = underlying.logit(candidate)

  /** What became of a candidate. */
  def status(candidate: Int): CandidateStatus = underlying.status(candidate)

  /** Candidates with a probability in the last predict. */
  def scoredCount: Int = underlying.scoredCount()

  /** Candidates without one, each with its status. */
  def refusedCount: Int = underlying.refusedCount()

  /** Categories for which the model has no weight. */
  def unseenCount: Long = underlying.unseenCount()

  /** Fields that the model reads and a row left empty. */
  def missingCount: Long = underlying.missingCount()

  /** Numbers out of their field's range, or NaN. */
  def invalidNumberCount: Long = underlying.invalidNumberCount()

  /** The generation of the model that gave the answers. */
  def generation: Long = underlying.generation()

  /** The name of the serving logic, to be logged with each score. */
  def logicId: String = underlying.logicId()

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
    refusable(new Scorer(io.omomi.Scorer.open(model, if (layout == null) null else layout.underlying)))
}
