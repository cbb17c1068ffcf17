package io.omomi

/** The Scala face of omomi: declared fields carry their type and side, and nothing on the request path allocates.
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
  * Opening answers with an `Either`; everything else throws [[OmomiException]], which means that the calling code is wrong.
  */
package object scaladsl {
  /** One weight file in memory, verified and ready: immutable and shareable. */
  type Model = io.omomi.Model

  /** Whatever this library refuses, with a stable code, the side that must act, and what to do. */
  type OmomiException = io.omomi.OmomiException

  /** What became of one candidate. */
  type CandidateStatus = io.omomi.CandidateStatus

  /** How a weight file comes into memory. */
  type LoadMode = io.omomi.LoadMode

  /** The model that a store says is to be served, now and later. Any number of threads may use one. */
  type LiveModel = io.omomi.LiveModel

  private[scaladsl] def ofJava(layout: Layout): io.omomi.RequestLayout = if (layout == null) null else layout.underlying

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
