package io.omomi.adserver

import java.nio.ByteBuffer
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.Path
import java.util.concurrent.{Executors, TimeUnit}

import io.netty.handler.codec.http.QueryStringDecoder
import io.omomi.scaladsl._

/** The whole server: a model, creatives, a log, and HTTP in front of them. */
final class AdServer(options: Options) extends AutoCloseable {
  private val metrics = new Metrics
  private val live: LiveOptions = LiveOptions.builder().name(options.name).hasFallback(true).build()
  private val model: Either[LiveModel, LiveExperiment] = options.experiment match {
    case Some(file) => Right(LiveExperiment.openOrThrow(file, GeneratedCtr, live))
    case None => Left(LiveModel.openOrThrow(options.store, GeneratedCtr, live))
  }
  private val log = ServingLog.openOrThrow(
    options.logFolder,
    LogOptions.builder().name(options.name).detailsPerMillion(options.detailsPerMillion).salt(AdServer.SALT).build())
  private val set = CandidateSet.openOrThrow(GeneratedCtr, options.capacity, valuesPerField = 0)
  private val catalog = new Catalog(options.creatives, set)
  private val details = new Details(options.detailsPerMillion, AdServer.SALT, capacity = 1000)
  private val recordings = new Recordings(log)
  private val watcher = model.left.toOption.map(live => new io.omomi.LiveWatcher(live, recordings))
  @volatile private var draining = false

  refreshCreatives()
  private val http = new HttpServer(options.host, options.port, options.threads, new ServerWorker(_))
  private val housekeeping = Executors.newSingleThreadScheduledExecutor { (task: Runnable) =>
    val thread = new Thread(task, "housekeeping")
    thread.setDaemon(true)
    thread
  }
  every(options.reloadMillis)(refreshCreatives())
  every(1000L) {
    watcher.foreach(_.run())
    recordings.drops()
  }

  /** The port on which the server listens. */
  def port: Int = http.listening

  /** Takes part in no auction any more, answers what is under way, and closes everything. */
  override def close(): Unit = {
    draining = true
    // A load balancer has time to see that this server is not ready.
    Thread.sleep(options.unreadyMillis)
    http.stop(options.drainMillis)
    housekeeping.shutdown()
    housekeeping.awaitTermination(5, TimeUnit.SECONDS)
    log.close()
    model.fold(_.close(), _.close())
    set.close()
  }

  private def every(millis: Long)(work: => Unit): Unit = {
    // A task that throws would not be run again.
    val task: Runnable = () =>
      try work
      catch { case scala.util.control.NonFatal(failed) => AdServer.say(s"housekeeping failed: $failed") }
    housekeeping.scheduleWithFixedDelay(task, millis, millis, TimeUnit.MILLISECONDS)
    ()
  }

  private def refreshCreatives(): Unit = catalog.refresh(System.currentTimeMillis()) match {
    case Right(0) =>
    case Right(changed) =>
      metrics.add(Metrics.CREATIVE_LOADS, "changed")
      recordings.creatives(changed)
    case Left(wrong) =>
      metrics.add(Metrics.CREATIVE_LOADS, "refused")
      AdServer.say(s"the creatives stay as they are: $wrong")
  }

  private def isReady: Boolean = !draining && catalog.index.count > 0 && model.fold(_.isReady, _ => true)

  private def isLive: Boolean = model.fold(_.isLive, _ => true)

  private def metricsText(): String = {
    val index = catalog.index
    val own = metrics.text(Seq(
      ("ad_server_creatives", "Creatives that may be shown.", index.count.toDouble),
      ("ad_server_ready", "1 if requests may be sent here.", if (isReady) 1.0 else 0.0)))
    val buffer = ByteBuffer.allocateDirect(AdServer.METRICS_LEN_BYTES)
    model.left.foreach(_.writePrometheus(buffer))
    log.writePrometheus(buffer)
    buffer.flip()
    own + UTF_8.decode(buffer).toString
  }

  /** Answers the requests of one thread. */
  private final class ServerWorker(port: Int) extends Worker {
    private val settings = options.bids(port)
    private val scorer = model
      .fold(
        AdScorer.ofLive(_, set, log, settings.candidates),
        AdScorer.ofExperiment(_, set, log, settings.candidates))
      .fold(refused => throw refused, identity)
    private val bids = handler(scorer, metrics)
    BidHandler.warmUp(handler(new Unrecorded(scorer), new Metrics), AdServer.WARM_UP_REQUESTS, () => System.nanoTime())
    private val events = new EventHandler(scorer.events, () => catalog.index, settings.currency, metrics)

    private def handler(scorer: AdScorer, metrics: Metrics): BidHandler = new BidHandler(
      settings,
      () => catalog.index,
      scorer,
      details,
      metrics,
      () => System.currentTimeMillis(),
      () => System.nanoTime())

    override def answer(method: String, uri: String, body: Array[Byte], receivedNanos: Long): Answer =
      try {
        val decoded = new QueryStringDecoder(uri)
        val parameters = (name: String) => Option(decoded.parameters.get(name)).map(_.get(0))
        (method, decoded.path) match {
          case ("POST", "/openrtb2/bid") => bid(body, parameters("exchange"), receivedNanos)
          case (_, "/openrtb2/bid") => Answer.text(405, "send a bid request with POST")
          case ("GET", path) if EventHandler.kinds(path.drop(1)) => event(path.drop(1), parameters)
          case ("GET", "/metrics") =>
            Answer(200, "text/plain; version=0.0.4; charset=utf-8", metricsText().getBytes(UTF_8))
          case ("GET", "/health/live") => health(isLive)
          case ("GET", "/health/ready") => health(isReady)
          case ("GET", "/debug/explain") =>
            parameters("prediction_id").flatMap(details.get(_)).fold(
              Answer.text(404, "not among the last bids whose details are logged"))(Answer.json(_))
          case ("GET", "/debug/status") => Answer.json(model.fold(_.status.json, _.statusJson).getBytes(UTF_8))
          case _ => Answer.text(404, "no such path")
        }
      } catch {
        case bad: IllegalArgumentException => Answer.text(400, s"not a URL: ${bad.getMessage}")
        case scala.util.control.NonFatal(failed) =>
          metrics.add(Metrics.REQUESTS, "error")
          AdServer.say(s"$method $uri failed: $failed")
          Answer.text(500, "a defect of this server")
      }

    private def bid(body: Array[Byte], exchange: Option[String], receivedNanos: Long): Answer = {
      val answer = bids.handle(body, exchange, receivedNanos) match {
        case BidAnswer.Bids(json) => Answer.json(json)
        case BidAnswer.NoBid => Answer.empty(204)
        case BidAnswer.Refused(reason) => Answer.text(400, reason)
      }
      metrics.duration(System.nanoTime() - receivedNanos)
      answer
    }

    private def event(kind: String, parameters: String => Option[String]): Answer =
      events.handle(kind, parameters) match {
        case EventAnswer.Noted => Answer.empty(204)
        case EventAnswer.Redirect(url) => Answer(302, "", Array.emptyByteArray, Some(url))
        case EventAnswer.Refused(reason) => Answer.text(400, reason)
      }

    private def health(good: Boolean): Answer = if (good) Answer.text(200, "yes\n") else Answer.text(503, "no\n")

    override def close(): Unit = scorer.close()
  }
}

object AdServer {
  /** The salt of the samples: the server and its log choose the same requests. */
  private val SALT = 0L

  /** Takes about a second, of which the first thread has the most. */
  private val WARM_UP_REQUESTS = 1000

  private val METRICS_LEN_BYTES = 256 * 1024

  def say(text: String): Unit = Console.err.println(s"ad-server: $text")

  def main(arguments: Array[String]): Unit =
    if (arguments.contains("--help")) println(Options.usage) else run(arguments)

  private def run(arguments: Array[String]): Unit =
    Options.parse(arguments.toList) match {
      case Left(wrong) =>
        say(s"$wrong\n${Options.usage}")
        sys.exit(2)
      case Right(options) =>
        val server =
          try new AdServer(options)
          catch {
            case refused: OmomiException =>
              say(s"${refused.getMessage} (${refused.owner.word} must act: ${refused.action})")
              sys.exit(1)
            case failed: java.io.IOException =>
              say(failed.toString)
              sys.exit(1)
          }
        Runtime.getRuntime.addShutdownHook(new Thread(() => server.close()))
        println(s"ad-server: listening on http://${options.host}:${server.port}")
    }
}
