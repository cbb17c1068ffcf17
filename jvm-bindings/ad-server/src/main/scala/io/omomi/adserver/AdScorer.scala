package io.omomi.adserver

import io.omomi.scaladsl._

/** What is known about one impression: the context of the contract. */
final case class AdContext(
    userId: Option[Long],
    device: Option[String],
    os: Option[String],
    region: Option[String],
    segment: Option[String],
    interests: Option[IndexedSeq[String]],
    hour: Long,
    siteId: Option[Long],
    slot: Option[String],
    size: Option[String],
    exchange: Option[String],
    floorPrice: Option[Double])

/** The bid for one impression, as the log gets it. `probability` is the server's own if the source is not the model. */
final case class BidRecord(
    requestId: String,
    impression: String,
    candidate: Int,
    bidMicros: Long,
    currency: String,
    latencyNanos: Long,
    source: Source,
    probability: Float)

/** Scores the candidates of one impression, on one thread. Behind it is a live model, an experiment, or another kind of
  * model to compare with.
  */
trait AdScorer extends AutoCloseable {
  /** Scores the first `count` of `candidates`, within a time. After anything but `SERVING` there are no answers. */
  def predict(
      requestId: String,
      context: AdContext,
      candidates: Array[Placed],
      count: Int,
      budgetNanos: Long): ServingState

  /** Returns a click probability in (0, 1), or NaN if the candidate was not scored. */
  def probability(candidate: Int): Float

  /** Returns why a candidate has no probability. */
  def refusal(candidate: Int): Source

  /** Returns the candidate to bid with, by the utility of each; NaN for one that may not win. */
  def choose(requestId: String, utilities: Array[Double]): Int

  /** Records a bid. */
  def record(served: BidRecord): Recorded

  /** Records what happened to a bid later. */
  def events: LogRing

  def explain(candidate: Int): Explained
}

/** Why a candidate got its probability. */
final case class Explained(generation: Long, logicId: String, logit: Double, bias: Double, parts: List[Part])

final case class Part(feature: String, weight: Double, unseen: Boolean)

/** Scores like `scorer`, and records nothing: to warm up. */
final class Unrecorded(scorer: AdScorer) extends AdScorer {
  override def predict(
      requestId: String,
      context: AdContext,
      candidates: Array[Placed],
      count: Int,
      budgetNanos: Long): ServingState = scorer.predict(requestId, context, candidates, count, budgetNanos)
  override def probability(candidate: Int): Float = scorer.probability(candidate)
  override def refusal(candidate: Int): Source = scorer.refusal(candidate)
  override def choose(requestId: String, utilities: Array[Double]): Int = scorer.choose(requestId, utilities)
  override def record(served: BidRecord): Recorded = Recorded.SAMPLED_OUT
  override def events: LogRing = scorer.events
  override def explain(candidate: Int): Explained = scorer.explain(candidate)
  override def close(): Unit = scorer.close()
}

object AdScorer {
  /** Room for the texts of a context: 100 interests and 8 other texts of 100 characters. */
  final val TAIL_LEN_BYTES = 64 * 1024

  /** Most characters of a text, and most interests. Longer ones are unknown to every model. */
  final val MAX_CHARS = 100
  final val MAX_INTERESTS = 100

  def ofLive(live: LiveModel, set: CandidateSet, log: ServingLog, candidates: Int): Either[OmomiException, AdScorer] =
    for {
      layout <- Layout.prepared(GeneratedCtr, candidates, TAIL_LEN_BYTES)
      scorer <- LiveScorer.open(live, layout, set)
      ring <- log.ring(scorer)
    } yield new OmomiAdScorer(scorer, ring) {
      override protected def predict(requestId: String, count: Int, budgetNanos: Long): ServingState =
        scorer.predictWithin(count, budgetNanos)
    }

  /** A scorer for an experiment, with room for one shadow. */
  def ofExperiment(
      experiment: LiveExperiment,
      set: CandidateSet,
      log: ServingLog,
      candidates: Int): Either[OmomiException, AdScorer] =
    for {
      one <- Layout.prepared(GeneratedCtr, candidates, TAIL_LEN_BYTES)
      layout <- one.forModels(2)
      scorer <- ExperimentScorer.open(experiment, layout, set)
      ring <- log.ring(scorer)
    } yield new OmomiAdScorer(scorer, ring) {
      override protected def predict(requestId: String, count: Int, budgetNanos: Long): ServingState =
        scorer.predictWithin(count, requestId, budgetNanos)

      /** The policy chooses among candidates that the arm scored. */
      override def choose(requestId: String, utilities: Array[Double]): Int = {
        val scored = utilities.indices.map(i => if (probability(i).isNaN) Double.NaN else utilities(i)).toArray
        if (scored.forall(_.isNaN)) super.choose(requestId, utilities)
        else {
          choice = Some(scorer.choose(requestId, scored))
          choice.get.candidate
        }
      }
    }
}

/** Scores with omomi: a live model or an experiment over prepared candidates. */
private abstract class OmomiAdScorer(scorer: AbstractScorer, ring: LogRing) extends AdScorer {
  private val indices = new Array[Int](1 << 16)
  private var state: ServingState = ServingState.NO_MODEL
  protected var choice = Option.empty[Choice]

  protected def predict(requestId: String, count: Int, budgetNanos: Long): ServingState

  override def predict(
      requestId: String,
      context: AdContext,
      candidates: Array[Placed],
      count: Int,
      budgetNanos: Long): ServingState = {
    choice = None
    scorer.request.clear()
    val row = scorer.request.context
    row(GeneratedCtr.userId) = context.userId
    row(GeneratedCtr.device) = context.device
    row(GeneratedCtr.os) = context.os
    row(GeneratedCtr.region) = context.region
    row(GeneratedCtr.segment) = context.segment
    row(GeneratedCtr.interest) = context.interests
    row(GeneratedCtr.hour) = context.hour
    row(GeneratedCtr.siteId) = context.siteId
    row(GeneratedCtr.slot) = context.slot
    row(GeneratedCtr.size) = context.size
    row(GeneratedCtr.exchange) = context.exchange
    row(GeneratedCtr.floorPrice) = context.floorPrice
    var i = 0
    while (i < count) {
      indices(i) = candidates(i).index
      i += 1
    }
    scorer.request.setCandidates(indices, count)
    state = predict(requestId, count, math.max(0L, budgetNanos))
    state
  }

  override def probability(candidate: Int): Float =
    if (state == ServingState.SERVING) scorer.probability(candidate) else Float.NaN

  override def refusal(candidate: Int): Source = state match {
    case ServingState.OFF => Source.OFF
    case ServingState.NO_MODEL => Source.NO_MODEL
    case _ if scorer.status(candidate) == CandidateStatus.LATE => Source.LATE
    case _ => Source.REFUSED
  }

  override def choose(requestId: String, utilities: Array[Double]): Int = {
    var best = -1
    for (i <- utilities.indices if !utilities(i).isNaN && (best < 0 || utilities(i) > utilities(best))) best = i
    best
  }

  override def record(served: BidRecord): Recorded = {
    val row = ring.served.clear().requestId(served.requestId).impression(served.impression)
    row.bid(served.bidMicros, served.currency, Basis.THOUSAND_IMPRESSIONS).latencyNanos(served.latencyNanos)
    choice.foreach(row.choice(_))
    if (served.source != Source.MODEL) row.source(served.source).ownProbability(served.probability)
    ring.record(served.candidate)
  }

  override def events: LogRing = ring

  override def explain(candidate: Int): Explained = {
    val explanation = scorer.explain(candidate)
    val parts = new scala.collection.mutable.ListBuffer[Part]
    explanation.parts.forEach(part => if (!part.isMissing) parts += Part(part.name, part.weight, part.isUnseen))
    Explained(scorer.generation, scorer.logicId, explanation.logit, explanation.bias, parts.toList)
  }

  override def close(): Unit = {
    ring.close()
    scorer.close()
  }
}
