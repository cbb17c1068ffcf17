package io.omomi.adserver

import java.nio.file.{Path, Paths}

/** The options of the command line. */
final case class Options(
    host: String = "127.0.0.1",
    port: Int = 8080,
    threads: Int = Runtime.getRuntime.availableProcessors,
    name: String = "ad-server-1",
    store: Path = Paths.get("demo/generated/store"),
    experiment: Option[Path] = None,
    creatives: Path = Paths.get("creatives.jsonl"),
    capacity: Int = 1 << 17,
    logFolder: Path = Paths.get("serving-log"),
    detailsPerMillion: Int = 1000,
    reloadMillis: Long = 10000L,
    unreadyMillis: Long = 0L,
    drainMillis: Long = 5000L,
    publicUrl: String = "",
    currency: String = "JPY",
    rates: Map[String, BigDecimal] = Map("USD" -> BigDecimal(150)),
    budgetMillis: Long = 20L,
    networkMillis: Long = 30L) {

  /** How to bid, if the server listens on `port`. */
  def bids(port: Int): BidSettings = BidSettings(
    publicUrl = if (publicUrl.isEmpty) s"http://$host:$port" else publicUrl,
    currency = currency,
    rates = rates,
    seat = "omomi",
    candidates = 500,
    budgetNanos = budgetMillis * 1000000L,
    networkNanos = networkMillis * 1000000L)
}

object Options {
  val usage: String =
    """usage: ad-server [OPTION VALUE]...
      |
      |  --host ADDRESS            where to listen, default 127.0.0.1
      |  --port N                  default 8080; 0 for any free port
      |  --threads N               threads that answer, default one for each processor
      |  --name TEXT               of this process, another one for each
      |  --store FOLDER            the store to follow, default demo/generated/store
      |  --experiment FILE         the experiment to follow, instead of a store
      |  --creatives FILE          JSON lines, default creatives.jsonl; read again when it changes
      |  --capacity N              room for twice as many creatives as there are, default 131072
      |  --log FOLDER              the serving log, default serving-log
      |  --details-per-million N   requests whose details are logged and explained, default 1000
      |  --reload-millis N         how often to look at the creatives, default 10000
      |  --unready-millis N        how long to say that it is not ready before it stops, default 0
      |  --drain-millis N          how long to wait for open connections when it stops, default 5000
      |  --public-url URL          where exchanges reach this server, default http://HOST:PORT
      |  --currency CUR            of creatives and bids, default JPY
      |  --rate CUR=X              units of it for one unit of another currency, default USD=150; may be repeated
      |  --budget-millis N         the time for a request, default 20
      |  --network-millis N        the part of tmax that the network needs, default 30""".stripMargin

  /** Reads the command line. `Left` says what is wrong with it. */
  def parse(arguments: List[String], so: Options = Options()): Either[String, Options] = arguments match {
    case Nil => Right(so)
    case flag :: value :: rest =>
      def whole(from: Long, to: Long): Either[String, Long] = value.toLongOption.filter(n => n >= from && n <= to)
        .toRight(s"expected a whole number from $from to $to after $flag, found $value")
      val changed = flag match {
        case "--host" => Right(so.copy(host = value))
        case "--port" => whole(0, 65535).map(n => so.copy(port = n.toInt))
        case "--threads" => whole(1, 1024).map(n => so.copy(threads = n.toInt))
        case "--name" => Right(so.copy(name = value))
        case "--store" => Right(so.copy(store = Paths.get(value)))
        case "--experiment" => Right(so.copy(experiment = Some(Paths.get(value))))
        case "--creatives" => Right(so.copy(creatives = Paths.get(value)))
        case "--capacity" => whole(2, 1 << 20).map(n => so.copy(capacity = n.toInt))
        case "--log" => Right(so.copy(logFolder = Paths.get(value)))
        case "--details-per-million" => whole(0, 1000000).map(n => so.copy(detailsPerMillion = n.toInt))
        case "--reload-millis" => whole(2000, 3600000).map(n => so.copy(reloadMillis = n))
        case "--unready-millis" => whole(0, 600000).map(n => so.copy(unreadyMillis = n))
        case "--drain-millis" => whole(0, 600000).map(n => so.copy(drainMillis = n))
        case "--public-url" => Right(so.copy(publicUrl = value.stripSuffix("/")))
        case "--currency" =>
          val isCode = value.matches("[A-Z]{3}")
          Either.cond(isCode, so.copy(currency = value), s"expected three capital letters, found $value")
        case "--rate" => value.split('=') match {
          case Array(other, rate) if rate.matches("[0-9]{1,12}(\\.[0-9]{1,12})?") && BigDecimal(rate) > 0 =>
            Right(so.copy(rates = so.rates + (other -> BigDecimal(rate))))
          case _ => Left(s"expected a currency and a number such as USD=150, found $value")
        }
        case "--budget-millis" => whole(1, 1000).map(n => so.copy(budgetMillis = n))
        case "--network-millis" => whole(0, 1000).map(n => so.copy(networkMillis = n))
        case _ => Left(s"there is no option $flag")
      }
      changed.flatMap(parse(rest, _))
    case flag :: Nil => Left(s"expected a value after $flag")
  }
}
