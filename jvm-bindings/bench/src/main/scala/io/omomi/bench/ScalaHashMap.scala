package io.omomi.bench

import scala.collection.mutable

/** `scala.collection.mutable.HashMap[String, Double]`. */
final class ScalaHashMap(traffic: Traffic) extends NamedFeatures(traffic) {
  private val weights = mutable.HashMap.empty[String, Double]
  fill(traffic, (feature, weight) => weights.update(feature, weight))

  override protected def weight(feature: String): Double = weights.getOrElse(feature, 0.0)
}
