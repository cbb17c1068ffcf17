package io.omomi.adserver

import java.net.InetSocketAddress
import java.nio.charset.StandardCharsets.UTF_8
import java.util.concurrent.TimeUnit

import io.netty.bootstrap.ServerBootstrap
import io.netty.buffer.{ByteBufUtil, Unpooled}
import io.netty.channel._
import io.netty.channel.epoll.{Epoll, EpollIoHandler, EpollServerSocketChannel}
import io.netty.channel.group.DefaultChannelGroup
import io.netty.channel.nio.NioIoHandler
import io.netty.channel.socket.nio.NioServerSocketChannel
import io.netty.handler.codec.http._
import io.netty.util.concurrent.{FastThreadLocal, GlobalEventExecutor}

/** An answer of the server, for any transport. */
final case class Answer(status: Int, contentType: String, body: Array[Byte], location: Option[String] = None)

object Answer {
  def text(status: Int, text: String): Answer = Answer(status, "text/plain; charset=utf-8", text.getBytes(UTF_8))

  def json(bytes: Array[Byte]): Answer = Answer(200, "application/json", bytes)

  def empty(status: Int): Answer = Answer(status, "", Array.emptyByteArray)
}

/** What answers the requests of one thread. */
trait Worker extends AutoCloseable {
  /** Answers a request that was received at `receivedNanos`. Must not wait. */
  def answer(method: String, uri: String, body: Array[Byte], receivedNanos: Long): Answer
}

/** HTTP/1.1 on Netty: each thread of the event loop has a worker, which answers on that thread. `open` makes one, given
  * the port.
  */
final class HttpServer(host: String, port: Int, threads: Int, open: Int => Worker) extends AutoCloseable {
  private val factory = if (Epoll.isAvailable) EpollIoHandler.newFactory() else NioIoHandler.newFactory()
  private val loops = new MultiThreadIoEventLoopGroup(threads, factory)
  private val connections = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE)
  @volatile private var stopping = false
  private val worker = new FastThreadLocal[Worker]

  private val server: Channel = new ServerBootstrap()
    .group(loops)
    .channel(if (Epoll.isAvailable) classOf[EpollServerSocketChannel] else classOf[NioServerSocketChannel])
    .option[java.lang.Integer](ChannelOption.SO_BACKLOG, 1024)
    .option[java.lang.Boolean](ChannelOption.AUTO_READ, false)
    .childOption[java.lang.Boolean](ChannelOption.TCP_NODELAY, true)
    .childHandler(new ChannelInitializer[Channel] {
      override def initChannel(channel: Channel): Unit = {
        connections.add(channel)
        channel.pipeline.addLast(
          new HttpServerCodec(),
          new HttpServerKeepAliveHandler(),
          new HttpObjectAggregator(HttpServer.MAX_BODY_LEN_BYTES, true),
          new Requests)
        ()
      }
    })
    .bind(host, port)
    .sync()
    .channel

  /** The port on which the server listens. */
  val listening: Int = server.localAddress.asInstanceOf[InetSocketAddress].getPort

  // Connections wait until each thread has its worker: opening a scorer takes longer than a request may.
  onEachThread(worker.set(open(listening)))
  server.config.setAutoRead(true)

  private def onEachThread(work: => Unit): Unit = loops.forEach { loop =>
    val task: Runnable = () => work
    loop.submit(task).get()
    ()
  }

  private final class Requests extends SimpleChannelInboundHandler[FullHttpRequest] {
    override def channelRead0(context: ChannelHandlerContext, request: FullHttpRequest): Unit = {
      val received = System.nanoTime()
      val answer =
        if (!request.decoderResult.isSuccess) Answer.text(400, "not an HTTP request")
        else worker.get().answer(request.method.name, request.uri, ByteBufUtil.getBytes(request.content), received)
      val response = new DefaultFullHttpResponse(
        HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(answer.status), Unpooled.wrappedBuffer(answer.body))
      // The keep-alive handler closes the connection after such an answer.
      if (stopping || !HttpUtil.isKeepAlive(request)) HttpUtil.setKeepAlive(response, false)
      val headers = response.headers
      if (answer.status != 204) headers.set(HttpHeaderNames.CONTENT_LENGTH, answer.body.length)
      if (answer.contentType.nonEmpty) headers.set(HttpHeaderNames.CONTENT_TYPE, answer.contentType)
      answer.location.foreach(headers.set(HttpHeaderNames.LOCATION, _))
      context.writeAndFlush(response)
      ()
    }

    override def exceptionCaught(context: ChannelHandlerContext, cause: Throwable): Unit = {
      context.close()
      ()
    }
  }

  /** Takes no more connections, answers what arrives on the open ones for up to `drainMillis`, and closes the workers.
    */
  def stop(drainMillis: Long): Unit = {
    stopping = true
    server.close().sync()
    val until = System.nanoTime() + drainMillis * 1000000L
    while (!connections.isEmpty && System.nanoTime() < until) Thread.sleep(10)
    connections.close().awaitUninterruptibly()
    onEachThread(worker.get().close())
    loops.shutdownGracefully(0, 2, TimeUnit.SECONDS).awaitUninterruptibly()
    ()
  }

  override def close(): Unit = stop(0)
}

object HttpServer {
  /** A bid request of OpenRTB is a few KB; a larger one gets status 413. */
  final val MAX_BODY_LEN_BYTES = 256 * 1024
}
