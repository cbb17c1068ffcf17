package io.omomi.adserver

import java.net.URI
import java.net.http.{HttpClient, HttpRequest, HttpResponse}
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files, Path, Paths}

import scala.util.Using

import io.omomi.adserver.OpenRtb.BidResponse
import com.github.plokhotnyuk.jsoniter_scala.core._
import com.github.plokhotnyuk.jsoniter_scala.macros._
import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The whole server on a free port, with the weight file of the repository. */
class ServerTest {
  private val weights = Paths.get(System.getProperty("omomi.test.example.file"))
  private val responses: JsonValueCodec[BidResponse] = JsonCodecMaker.make
  private val client = HttpClient.newHttpClient()

  private def options(folder: Path): Options = {
    Creative.write(MakeCreatives.creatives(3000, 1L, System.currentTimeMillis()), folder.resolve("creatives.jsonl"))
    Options(port = 0, threads = 2, store = folder.resolve("store"), creatives = folder.resolve("creatives.jsonl"),
      logFolder = folder.resolve("log"), detailsPerMillion = 1000000, drainMillis = 200,
      // A minute for each request, and more than its tmax: none is late on a busy machine.
      budgetMillis = 60000L, networkMillis = -60000L)
  }

  private def send(server: AdServer, request: String => HttpRequest.Builder, path: String): HttpResponse[String] =
    client.send(request(s"http://127.0.0.1:${server.port}$path").build(), HttpResponse.BodyHandlers.ofString())

  private def get(server: AdServer, path: String): HttpResponse[String] =
    send(server, uri => HttpRequest.newBuilder(URI.create(uri)).GET(), path)

  private def bid(server: AdServer, body: Array[Byte]): HttpResponse[String] = send(
    server,
    uri => HttpRequest.newBuilder(URI.create(uri)).POST(HttpRequest.BodyPublishers.ofByteArray(body)),
    "/openrtb2/bid?exchange=north")

  @Test
  def it_bids_by_the_model_takes_events_and_explains_its_bids(@TempDir folder: Path): Unit = {
    World.publish(weights, folder.resolve("store"))
    Using.resource(new AdServer(options(folder))) { server =>
      for (name <- World.requests) {
        val answer = bid(server, World.request(name))
        assertEquals(200, answer.statusCode, name)
        assertEquals(Nil, World.faults(answer.body.getBytes(UTF_8)).toList)
        for (one <- readFromString(answer.body)(responses).seatbid.head.bid) {
          val win = one.nurl.replace("${AUCTION_PRICE}", "12.5").replace("${AUCTION_CURRENCY}", "JPY")
          val loss = one.lurl.replace("${AUCTION_LOSS}", "102").replace("${AUCTION_MIN_TO_WIN}", "")
          for (url <- Seq(win, loss)) {
            assertTrue(url.startsWith(s"http://127.0.0.1:${server.port}/"), url)
            assertEquals(204, get(server, url.drop(url.indexOf('/', 8))).statusCode, url)
          }
          val click = get(server, s"/click?id=${one.id}&crid=${one.crid}")
          assertEquals(302, click.statusCode)
          assertTrue(click.headers.firstValue("location").get.startsWith("https://advertiser-"))
          val explained = get(server, s"/debug/explain?prediction_id=${one.id}")
          assertTrue(explained.body.contains("\"feature\":\"creative_id\""), explained.body)
        }
      }
      val metrics = get(server, "/metrics").body
      assertTrue(metrics.contains("ad_server_bids_total{source=\"model\"} 5\n"), metrics)
      assertTrue(metrics.contains("ad_server_losses_total{reason=\"102\"} 5\n"), metrics)
      assertTrue(metrics.contains("omomi_served_generation"), metrics)
      // It has no series while there is no problem.
      for (file <- Seq("alerts.yml", "dashboard.json"); name <- monitored(file) if name != "omomi_reasons")
        assertTrue(metrics.contains(s"# TYPE $name "), s"$file: there is no $name")
      assertEquals(200, get(server, "/health/live").statusCode)
      assertEquals(200, get(server, "/health/ready").statusCode)
    }
    assertTrue(Files.list(folder.resolve("log")).count() > 0)
  }

  /** The metrics that a file of the folder `monitoring` names. Scala 3 is tested in a folder of its own. */
  private def monitored(file: String): Seq[String] = {
    val folder = Seq("monitoring", "../monitoring").map(Paths.get(_)).find(Files.isDirectory(_)).get
    val text = Files.readString(folder.resolve(file))
    val names = "\\b(ad_server|omomi)_[a-z_]+".r.findAllIn(text).map(_.replaceAll("_(bucket|count|sum)$", "")).toSet
    assertTrue(names.size > 8, names.toString)
    names.toSeq.sorted
  }

  @Test
  def without_a_model_it_bids_by_the_baseline_and_without_creatives_it_is_not_ready(@TempDir folder: Path): Unit = {
    val good = options(folder)
    Using.resource(new AdServer(good)) { server =>
      assertEquals(200, bid(server, World.request("banner")).statusCode)
      assertTrue(get(server, "/metrics").body.contains("ad_server_bids_total{source=\"no_model\"} 1\n"))
      assertEquals(200, get(server, "/health/ready").statusCode)
    }
    Using.resource(new AdServer(good.copy(creatives = folder.resolve("absent")))) { server =>
      assertEquals(204, bid(server, World.request("banner")).statusCode)
      assertEquals(503, get(server, "/health/ready").statusCode)
      assertEquals(200, get(server, "/health/live").statusCode)
    }
  }

  @Test
  def an_experiment_chooses_among_candidates_and_its_arms_are_served(@TempDir folder: Path): Unit = {
    World.publish(weights, folder.resolve("store"))
    val arms = """{"name":"current","store":"store","state":"serve","buckets":[[0,4999]]},""" +
      """{"name":"wide","store":"store","state":"serve","buckets":[[5000,9999]]}"""
    val experiment = folder.resolve("wide.experiment")
    Files.write(
      experiment,
      (s"""{"format":1,"experiment":"wide","version":1,"unit":{"field":"user_id"},"salt":"0123456789abcdef",""" +
        s""""control":"current","arms":[$arms],"exploration":{"share":5000,"epsilon":0.5}}""").getBytes(UTF_8))
    Using.resource(new AdServer(options(folder).copy(experiment = Some(experiment)))) { server =>
      for (user <- 0 until 20) {
        val body = s"""{"id":"r$user","imp":[{"id":"1","native":{}}],"user":{"id":"$user"}}"""
        val answer = bid(server, body.getBytes(UTF_8))
        assertEquals(200, answer.statusCode)
        val id = readFromString(answer.body)(responses).seatbid.head.bid.head.id
        assertEquals(200, get(server, s"/debug/explain?prediction_id=$id").statusCode)
      }
      assertTrue(get(server, "/metrics").body.contains("ad_server_bids_total{source=\"model\"} 20\n"))
      assertTrue(get(server, "/debug/status").body.contains("wide"))
    }
  }

  @Test
  def what_is_no_request_of_the_server_is_refused_and_it_goes_on(@TempDir folder: Path): Unit =
    Using.resource(new AdServer(options(folder))) { server =>
      for ((path, status) <- Seq("/openrtb2/bid" -> 405, "/" -> 404, "/win" -> 400, "/win?id=1" -> 400,
          s"/win?id=${"0" * 32}" -> 400, s"/win?id=${"0" * 32}&price=-1" -> 400, s"/win?id=${"0" * 32}&price=1&cur=yen" -> 400,
          s"/impression?id=${"0" * 32}&price=9999999999" -> 400, "/debug/explain" -> 404, "/click?id=%zz".replace("%zz", "x") -> 400))
        assertEquals(status, get(server, path).statusCode, path)
      assertEquals(400, bid(server, "{".getBytes).statusCode)
      assertEquals(413, bid(server, new Array[Byte](HttpServer.MAX_BODY_LEN_BYTES + 1)).statusCode)
      assertEquals(200, bid(server, World.request("video")).statusCode)
    }

  @Test
  def options_that_mean_nothing_are_named(): Unit = {
    for ((arguments, expected) <- Seq("--port" -> "a value after --port", "--port x" -> "found x", "--port 65536" -> "65535",
        "--nope 1" -> "no option --nope", "--currency yen" -> "capital", "--rate USD" -> "USD=150", "--rate USD=0" -> "USD=150"))
      assertTrue(Options.parse(arguments.split(' ').toList).swap.exists(_.contains(expected)), arguments)
    assertEquals(Right(Map("USD" -> BigDecimal(2))), Options.parse(List("--rate", "USD=2")).map(_.rates))
  }
}
