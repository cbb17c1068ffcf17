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
  * Opening returns an `Either`; `openOrThrow` throws instead, for `scala.util.Using` and for scripts. Everything else
  * throws [[OmomiException]], which means that the calling code is wrong.
  */
package object scaladsl {
  /** One verified weight file in memory. Immutable; threads may share it. */
  type Model = io.omomi.Model

  /** Thrown for everything that this library refuses. Has a stable code, the side that must act, and what to do. */
  type OmomiException = io.omomi.OmomiException

  /** What one of several models answered in the last predict of a scorer. */
  type Answers = io.omomi.Answers

  /** Is told what changes in a [[LiveModel]]: see [[LiveWatcher]]. */
  type LiveListener = io.omomi.LiveListener

  /** Tells a [[LiveListener]] what has changed whenever it is run: give it to a scheduler. */
  type LiveWatcher = io.omomi.LiveWatcher

  /** Whether a candidate was scored, or why not. */
  type CandidateStatus = io.omomi.CandidateStatus

  /** The values of [[CandidateStatus]]. */
  object CandidateStatus {
    final val NOT_COMPUTED = io.omomi.CandidateStatus.NOT_COMPUTED
    final val SCORED = io.omomi.CandidateStatus.SCORED
    final val OUTSIDE_TAIL = io.omomi.CandidateStatus.OUTSIDE_TAIL
    final val NOT_UTF8 = io.omomi.CandidateStatus.NOT_UTF8
    final val TOO_MANY_VALUES = io.omomi.CandidateStatus.TOO_MANY_VALUES
    final val NO_CANDIDATE = io.omomi.CandidateStatus.NO_CANDIDATE
    final val NOT_FILLED = io.omomi.CandidateStatus.NOT_FILLED
    final val LATE = io.omomi.CandidateStatus.LATE
  }

  /** How a weight file is brought into memory. */
  type LoadMode = io.omomi.LoadMode

  /** The values of [[LoadMode]]. */
  object LoadMode {
    final val MAP = io.omomi.LoadMode.MAP
    final val COPY = io.omomi.LoadMode.COPY
    final val AUTO = io.omomi.LoadMode.AUTO
  }

  /** Serves the model that a store names as current, and every later one. Any number of threads may use one. */
  type LiveModel = io.omomi.LiveModel

  /** Options of a [[LiveModel]]. Immutable. */
  type LiveOptions = io.omomi.LiveOptions

  /** Makes [[LiveOptions]]. */
  object LiveOptions {
    /** Returns a builder with the default options. */
    def builder(): io.omomi.LiveOptions.Builder = io.omomi.LiveOptions.builder()

    /** Returns the default options. */
    def defaults(): LiveOptions = io.omomi.LiveOptions.defaults()
  }

  /** What a [[LiveModel]] serves, and what is wrong. */
  type LiveStatus = io.omomi.LiveStatus

  /** The parts of a [[LiveStatus]]. */
  object LiveStatus {
    /** The generation that answers. */
    type Served = io.omomi.LiveStatus.Served

    /** A problem, and who must act. */
    type Reason = io.omomi.LiveStatus.Reason
  }

  /** Metrics of a [[LiveModel]] at one moment. */
  type LiveMetrics = io.omomi.LiveMetrics

  /** Whether requests get answers. No state is a failure. */
  type ServingState = io.omomi.ServingState

  /** The values of [[ServingState]]. */
  object ServingState {
    final val SERVING = io.omomi.ServingState.SERVING
    final val NO_MODEL = io.omomi.ServingState.NO_MODEL
    final val OFF = io.omomi.ServingState.OFF
  }

  private[scaladsl] def ofJava(fields: Fields): io.omomi.Schema = if (fields == null) null else fields.schema

  private[scaladsl] def ofJava(layout: Layout): io.omomi.RequestLayout = if (layout == null) null else layout.underlying

  private[scaladsl] def ofJava(set: CandidateSet): io.omomi.CandidateSet = if (set == null) null else set.underlying

  private[scaladsl] def ofJava(models: Seq[Model]): java.util.ArrayList[Model] =
    if (models == null) null
    else {
      val list = new java.util.ArrayList[Model](models.length)
      models.foreach(list.add(_))
      list
    }

  private[scaladsl] def orThrow[A](opened: Either[OmomiException, A]): A = opened match {
    case Right(value)  => value
    case Left(refused) => throw refused
  }

  private[scaladsl] def refusable[A](open: => A): Either[OmomiException, A] =
    try Right(open)
    catch { case refused: OmomiException => Left(refused) }
}
