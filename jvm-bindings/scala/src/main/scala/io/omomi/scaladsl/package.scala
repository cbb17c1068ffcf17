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

  /** Serves the arms of an experiment file: follows the file, and the store of each arm. Any number of threads may use
    * one.
    */
  type LiveExperiment = io.omomi.LiveExperiment

  /** What a [[LiveExperiment]] has in force, and what is wrong. */
  type ExperimentStatus = io.omomi.ExperimentStatus

  /** The parts of an [[ExperimentStatus]]. */
  object ExperimentStatus {
    /** Status of an arm. */
    type Arm = io.omomi.ExperimentStatus.Arm
  }

  /** What an arm of an experiment does, as the file says. */
  type ArmState = io.omomi.ArmState

  /** The states of an arm. */
  object ArmState {
    final val SERVE = io.omomi.ArmState.SERVE
    final val SHADOW = io.omomi.ArmState.SHADOW
    final val STOPPED = io.omomi.ArmState.STOPPED
  }

  /** The candidate that the policy of an experiment has chosen, with its propensity. */
  type Choice = io.omomi.Choice

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

  /** Records the predictions of one scorer, or events, for a [[ServingLog]]. Allocates nothing, takes no lock and never
    * waits. For the thread of its scorer.
    */
  type LogRing = io.omomi.LogRing

  /** What a server did with a candidate: the value that a [[LogRing]] records next, reused from request to request. */
  type Served = io.omomi.Served

  /** Joins a prediction with its events: 16 bytes, which are 32 hexadecimal digits as a text. */
  type PredictionId = io.omomi.PredictionId

  /** What a [[ServingLog]] has written and dropped. */
  type LogMetrics = io.omomi.LogMetrics

  /** Options of a [[ServingLog]]. Immutable. */
  type LogOptions = io.omomi.LogOptions

  /** Makes [[LogOptions]]. */
  object LogOptions {
    /** Returns a builder with the default options. */
    def builder(): io.omomi.LogOptions.Builder = io.omomi.LogOptions.builder()

    /** Returns the default options. */
    def defaults(): LogOptions = io.omomi.LogOptions.defaults()
  }

  /** Where a logged value is from: the model, or the server, because the model gave none. */
  type Source = io.omomi.Source

  /** The values of [[Source]]. */
  object Source {
    final val MODEL = io.omomi.Source.MODEL
    final val OFF = io.omomi.Source.OFF
    final val NO_MODEL = io.omomi.Source.NO_MODEL
    final val LATE = io.omomi.Source.LATE
    final val REFUSED = io.omomi.Source.REFUSED
  }

  /** What an amount of money is for. */
  type Basis = io.omomi.Basis

  /** The values of [[Basis]]. */
  object Basis {
    final val IMPRESSION = io.omomi.Basis.IMPRESSION
    final val THOUSAND_IMPRESSIONS = io.omomi.Basis.THOUSAND_IMPRESSIONS
    final val CLICK = io.omomi.Basis.CLICK
    final val CONVERSION = io.omomi.Basis.CONVERSION
  }

  /** What happened to a prediction. */
  type EventKind = io.omomi.EventKind

  /** The values of [[EventKind]]. */
  object EventKind {
    final val WIN = io.omomi.EventKind.WIN
    final val IMPRESSION = io.omomi.EventKind.IMPRESSION
    final val CLICK = io.omomi.EventKind.CLICK
    final val CONVERSION = io.omomi.EventKind.CONVERSION
  }

  /** What became of a record. The request goes on in any case. */
  type Recorded = io.omomi.Recorded

  /** The values of [[Recorded]]. */
  object Recorded {
    final val QUEUED = io.omomi.Recorded.QUEUED
    final val SAMPLED_OUT = io.omomi.Recorded.SAMPLED_OUT
    final val DROPPED_RING_FULL = io.omomi.Recorded.DROPPED_RING_FULL
    final val DROPPED_TOO_LARGE = io.omomi.Recorded.DROPPED_TOO_LARGE
    final val DROPPED_RATE_LIMITED = io.omomi.Recorded.DROPPED_RATE_LIMITED
    final val DROPPED_CLOSED = io.omomi.Recorded.DROPPED_CLOSED
  }

  /** Why a record was dropped. Every dropped record is counted by its reason. */
  type DropReason = io.omomi.DropReason

  /** The values of [[DropReason]]. */
  object DropReason {
    final val RING_FULL = io.omomi.DropReason.RING_FULL
    final val TOO_LARGE = io.omomi.DropReason.TOO_LARGE
    final val RATE_LIMITED = io.omomi.DropReason.RATE_LIMITED
    final val INVALID = io.omomi.DropReason.INVALID
    final val DISK_FULL = io.omomi.DropReason.DISK_FULL
    final val DISK_FAILED = io.omomi.DropReason.DISK_FAILED
    final val FOLDER_GONE = io.omomi.DropReason.FOLDER_GONE
    final val MODEL_GONE = io.omomi.DropReason.MODEL_GONE
    final val CLOSED = io.omomi.DropReason.CLOSED
    final val DEFECT = io.omomi.DropReason.DEFECT
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
