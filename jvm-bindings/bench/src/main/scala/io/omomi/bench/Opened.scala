package io.omomi.bench

import java.nio.file.Path

import io.omomi.LoadMode
import io.omomi.scaladsl._

/** Opens scorers for the requests of the benchmark. The scorers keep their models open. */
private object Opened {
  def scorer(file: Path, fields: Fields, tailLenBytes: Int): Scorer = opened(for {
    layout <- Layout.of(fields, Traffic.CANDIDATES, tailLenBytes)
    model <- Model.open(file)
    scorer <- Scorer.open(model, layout)
  } yield {
    model.close()
    scorer
  })

  def preparedScorer(file: Path, fields: Fields, set: CandidateSet): Scorer = opened(for {
    layout <- Layout.prepared(fields, Traffic.CANDIDATES, tailLenBytes = 0)
    model <- Model.open(file)
    scorer <- Scorer.open(model, layout, set)
  } yield {
    model.close()
    scorer
  })

  /** Opens a scorer of several models, which are separate copies in memory: they share no pages. */
  def scorerOfModels(file: Path, fields: Fields, count: Int): Scorer = {
    val models = Seq.fill(count)(opened(Model.open(file, LoadMode.COPY)))
    val scorer = opened(for {
      one <- Layout.of(fields, Traffic.CANDIDATES, tailLenBytes = 0)
      layout <- one.forModels(count)
      scorer <- Scorer.open(models, layout)
    } yield scorer)
    models.foreach(_.close())
    scorer
  }

  def set(fields: Fields, capacity: Int): CandidateSet =
    opened(CandidateSet.open(fields, capacity, valuesPerField = 0))

  private def opened[A](tried: Either[OmomiException, A]): A = tried.fold(refused => throw refused, identity)
}
