package io.omomi

/** The Scala API of omomi. Declared fields carry their type and side, and nothing on the request path allocates.
  *
  * {{{
  * object Ad extends Fields {
  *   val mediaId    = context.id("media_id")
  *   val interest   = context.texts("interest")
  *   val creativeId = candidate.id("creative_id")
  * }
  *
  * for {
  *   layout <- Layout.of(Ad, candidates = 500, tailLenBytes = 4096)
  *   model  <- Model.open(Paths.get("000042.omomi"))
  *   scorer <- Scorer.open(model, layout)
  * } yield {
  *   val request = scorer.request
  *   request.clear()
  *   request.context(Ad.mediaId) = 7L
  *   request.candidate(0)(Ad.creativeId) = 42L
  *   scorer.predict(candidateCount = 1)
  *   scorer.probability(0)
  * }
  * }}}
  *
  * Opening returns an `Either`. Everything else throws [[OmomiException]], which means that the calling code is wrong.
  */
package object scaladsl {
  /** One verified weight file in memory. Immutable; threads may share it. */
  type Model = io.omomi.Model

  /** Thrown for everything that this library refuses. Has a stable code, the side that must act, and what to do. */
  type OmomiException = io.omomi.OmomiException

  /** Whether a candidate was scored, or why not. */
  type CandidateStatus = io.omomi.CandidateStatus

  /** How a weight file is brought into memory. */
  type LoadMode = io.omomi.LoadMode

  /** Serves the model that a store names as current, and every later one. Any number of threads may use one. */
  type LiveModel = io.omomi.LiveModel

  private[scaladsl] def ofJava(layout: Layout): io.omomi.RequestLayout = if (layout == null) null else layout.underlying

  /** Null stays null, which Java refuses like any other wrong argument. */
  private[scaladsl] def schemaOf(fields: Fields): io.omomi.Schema = if (fields == null) null else fields.schema

  private[scaladsl] def ofJava(set: CandidateSet): io.omomi.CandidateSet = if (set == null) null else set.underlying

  private[scaladsl] def ofJava(models: Seq[Model]): java.util.ArrayList[Model] =
    if (models == null) null
    else {
      val list = new java.util.ArrayList[Model](models.length)
      models.foreach(list.add(_))
      list
    }

  private[scaladsl] def refusable[A](open: => A): Either[OmomiException, A] =
    try Right(open)
    catch { case refused: OmomiException => Left(refused) }
}
