package io.omomi.bench

import java.nio.file.Path

import io.omomi.scaladsl._

private object Opened {
  /** A scorer for the requests of the benchmark; it holds the model open. */
  def scorer(file: Path, fields: Fields, tailLenBytes: Int): Scorer = {
    val opened = for {
      layout <- Layout.of(fields, Traffic.CANDIDATES, tailLenBytes)
      model <- Model.open(file)
      scorer <- Scorer.open(model, layout)
    } yield {
      model.close()
      scorer
    }
    opened.fold(refused => throw refused, identity)
  }
}
