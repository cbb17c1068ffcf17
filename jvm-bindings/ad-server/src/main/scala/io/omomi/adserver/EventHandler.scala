package io.omomi.adserver

import io.omomi.scaladsl._

/** What an event is answered with. */
sealed trait EventAnswer

object EventAnswer {
  /** Status 204. */
  case object Noted extends EventAnswer

  /** Status 302. */
  final case class Redirect(url: String) extends EventAnswer

  /** Status 400. */
  final case class Refused(reason: String) extends EventAnswer
}

/** Writes wins, impressions and clicks to the serving log, and counts losses. For the thread of its ring. */
final class EventHandler(ring: LogRing, index: () => CreativeIndex, currency: String, metrics: Metrics) {
  import EventAnswer._

  /** Handles the event `kind` with the parameters of its URL. */
  def handle(kind: String, parameters: String => Option[String]): EventAnswer = {
    val answer = for {
      text <- parameters("id").toRight("expected the parameter id")
      id <- PredictionId.parse(text).left.map(_.getMessage)
      answer <- handle(kind, id, parameters)
    } yield answer
    answer match {
      case Right(done) =>
        metrics.add(Metrics.EVENTS, kind)
        done
      case Left(reason) =>
        metrics.add(Metrics.EVENTS, "bad_request")
        Refused(reason)
    }
  }

  private def handle(
      kind: String,
      id: PredictionId,
      parameters: String => Option[String]): Either[String, EventAnswer] =
    kind match {
      case "win" => priced(EventKind.WIN, id, parameters)
      case "impression" => priced(EventKind.IMPRESSION, id, parameters)
      case "click" =>
        ring.click(id)
        val creative = parameters("crid").flatMap(_.toLongOption).flatMap(index().creative(_))
        Right(creative.fold[EventAnswer](Noted)(found => Redirect(found.url)))
      case "loss" =>
        // The log has no such event: a prediction without a win has lost.
        val reason = parameters("reason").flatMap(_.toIntOption).filter(code => code >= 0 && code < 1000)
        metrics.add(Metrics.LOSSES, reason.fold("unknown")(_.toString))
        Right(Noted)
    }

  /** Records an event with its price per thousand impressions, if the exchange has replaced the macro. */
  private def priced(
      kind: EventKind,
      id: PredictionId,
      parameters: String => Option[String]): Either[String, EventAnswer] =
    parameters("price").filterNot(_.startsWith("${")) match {
      // What was paid is the reason for the notice: the exchange has to replace the macro.
      case None if kind == EventKind.WIN => Left("expected a price with a win")
      case None =>
        ring.event(kind, id, 0)
        Right(Noted)
      case Some(text) =>
        val letters = parameters("cur").filterNot(_.startsWith("${")).getOrElse(currency)
        for {
          micros <- EventHandler.micros(text).toRight(s"expected a price such as 1.25, found ${text.take(40)}")
          _ <- Either.cond(letters.matches("[A-Z]{3}"), (), "expected a currency of three capital letters")
        } yield {
          ring.event(kind, id, 0, micros, letters, Basis.THOUSAND_IMPRESSIONS)
          Noted
        }
    }
}

object EventHandler {
  val kinds: Set[String] = Set("win", "impression", "click", "loss")

  /** Reads a price of at most 1,000,000,000 as millionths. */
  private def micros(text: String): Option[Long] =
    if (!text.matches("[0-9]{1,9}(\\.[0-9]{1,12})?")) None else Some((BigDecimal(text) * 1000000).toLong)
}
