package io.omomi.adserver

import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.ConcurrentLinkedQueue

import com.github.plokhotnyuk.jsoniter_scala.core._
import com.github.plokhotnyuk.jsoniter_scala.macros._
import io.omomi.scaladsl.ServingLog

/** Explanations of the last bids whose details are logged: of the same requests as in the log, by its sample. */
final class Details(perMillion: Int, salt: Long, capacity: Int) {
  private val byId = new ConcurrentHashMap[String, Explained]
  private val order = new ConcurrentLinkedQueue[String]

  def includes(requestId: String): Boolean = ServingLog.samplePlace(salt, requestId) < perMillion

  def keep(predictionId: String, explained: Explained): Unit = {
    if (byId.put(predictionId, explained) == null) order.add(predictionId)
    while (byId.size > capacity) Option(order.poll()).foreach(byId.remove(_))
  }

  def get(predictionId: String): Option[Array[Byte]] =
    Option(byId.get(predictionId)).map(writeToArray(_)(Details.codec))
}

private object Details {
  val codec: JsonValueCodec[Explained] = JsonCodecMaker.make
}
