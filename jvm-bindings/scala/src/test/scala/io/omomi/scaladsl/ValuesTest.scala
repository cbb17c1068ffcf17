package io.omomi.scaladsl

import java.nio.file.Paths

import io.omomi.Code
import org.junit.jupiter.api.Assertions.{assertEquals, assertThrows, assertTrue}
import org.junit.jupiter.api.Test

/** Values as Scala programs have them: collections, options and small integers; and the ways to open. */
class ValuesTest {
  private val layout = Layout.ofOrThrow(Ad, candidates = 1, tailLenBytes = 4096)

  /** Returns the logit of a request that `fill` fills. */
  private def logit(fill: Request => Unit): Double = {
    val model = Model.openOrThrow(Ad.weightFile, LoadMode.COPY)
    val scorer = Scorer.openOrThrow(model, layout)
    try {
      scorer.request.clear()
      fill(scorer.request)
      scorer.request.candidate(0)
      scorer.predict(1)
      assertEquals(1, scorer.answeredCount)
      assertEquals(CandidateStatus.SCORED, scorer.status(0))
      scorer.logit(0)
    } finally {
      scorer.close()
      model.close()
    }
  }

  private def same(one: Request => Unit, others: (Request => Unit)*): Unit = {
    val expected = logit(one)
    others.zipWithIndex.foreach { case (other, i) => assertEquals(expected, logit(other), s"number $i") }
  }

  @Test
  def collections_give_what_arrays_give(): Unit = {
    same(
      _.context(Ad.interest) = Array("旅行", "料理"),
      _.context(Ad.interest) = List("旅行", "料理"),
      _.context(Ad.interest) = Seq("旅行", "料理"),
      _.context(Ad.interest) = Vector("旅行", "料理"),
      _.context(Ad.interest) = Set("旅行", "料理"),
      _.context(Ad.interest) = List("旅行", "料理").iterator.toSeq,
      _.context(Ad.interest) = Option(List("旅行", "料理")))
    same(
      _.context(Ad.segmentId) = Array(1L, 2L),
      _.context(Ad.segmentId) = List(1L, 2L),
      _.context(Ad.segmentId) = Vector(1L, 2L),
      _.context(Ad.segmentId) = Set(1L, 2L),
      _.context(Ad.segmentId) = Some(Array(1L, 2L)))
    // An empty list is a known value, and no list is a missing one. Both exist, and only `None` is the second.
    same(_.context(Ad.interest) = Array.empty[String], _.context(Ad.interest) = Nil, _.context(Ad.interest) = Set.empty[String])
    same(_ => (), _.context(Ad.interest) = (None: Option[List[String]]))
  }

  @Test
  def an_option_is_its_value_or_makes_the_field_missing(): Unit = {
    same(_.context(Ad.mediaId) = 3L, _.context(Ad.mediaId) = Option(3L), _.context(Ad.mediaId) = Some(3))
    same(_.context(Ad.region) = "東京都", _.context(Ad.region) = Option("東京都"), _.context(Ad.region) = Some(TextValue.of("東京都")))
    same(_.context(Ad.floorPrice) = 120.0, _.context(Ad.floorPrice) = Some(120.0), _.context(Ad.floorPrice) = Option(120))
    same(
      _ => (),
      request => {
        request.context(Ad.mediaId) = 3L
        request.context(Ad.mediaId) = (None: Option[Long])
        request.context(Ad.region) = "東京都"
        request.context(Ad.region) = (None: Option[String])
      })
  }

  @Test
  def small_integers_are_ids_and_numbers(): Unit = {
    val three = 3
    same(_.context(Ad.mediaId) = 3L, _.context(Ad.mediaId) = 3, _.context(Ad.mediaId) = three)
    same(_.context(Ad.floorPrice) = 120.0, _.context(Ad.floorPrice) = 120, _.context(Ad.floorPrice) = 120L)
    same(_.context(Ad.floorPrice) = 0.5, _.context(Ad.floorPrice) = 0.5f)
  }

  @Test
  def null_is_a_left_wherever_something_is_opened_and_openOrThrow_throws_it(): Unit = {
    val model = Model.openOrThrow(Ad.weightFile)
    val lefts: Seq[Either[OmomiException, Any]] = Seq(
      Layout.of(null, 1, 0),
      Layout.prepared(null, 1, 0),
      Model.open(null),
      Model.open(Ad.weightFile, null),
      Scorer.open(null: Model, layout),
      Scorer.open(model, null),
      Scorer.open(null: Seq[Model], layout),
      Scorer.open(Seq(model, null), layout),
      Scorer.open(model, layout, null),
      CandidateSet.open(null, 1, 1),
      LiveModel.open(null, Ad),
      LiveModel.open(Paths.get("store"), null),
      LiveModel.open(Paths.get("store"), Ad, null),
      LiveScorer.open(null, layout))
    lefts.zipWithIndex.foreach { case (left, i) =>
      assertEquals(Left(Code.NULL_ARGUMENT), left.left.map(_.code), s"number $i")
    }
    for (
      open <- Seq[() => Any](
        () => Layout.ofOrThrow(null, 1, 0),
        () => Layout.preparedOrThrow(null, 1, 0),
        () => Model.openOrThrow(null),
        () => Scorer.openOrThrow(model, null),
        () => Scorer.openOrThrow(Seq(null), layout),
        () => CandidateSet.openOrThrow(null, 1, 1),
        () => LiveModel.openOrThrow(null, Ad),
        () => LiveScorer.openOrThrow(null, layout)))
      assertEquals(Code.NULL_ARGUMENT, assertThrows(classOf[OmomiException], () => { open(); () }).code)
    model.close()
  }

  @Test
  def a_scorer_has_the_answers_that_a_test_gives(): Unit = {
    val scorer = TestScorers.scorer(layout, "given")((_, values) => if (values.contains("creative_id")) 0.75 else 0.25)
    scorer.request.clear()
    scorer.request.candidate(0)(Ad.creativeId) = 7L
    scorer.predict(1)
    assertEquals(0.75f, scorer.probability(0))
    assertEquals("given", scorer.logicId)
    scorer.close()
    var state: ServingState = ServingState.OFF
    val live = TestScorers.liveScorer(layout, "given", () => state)((_, _) => 0.5)
    live.request.clear()
    live.request.candidate(0)
    assertEquals(ServingState.OFF, live.predict(1))
    state = ServingState.SERVING
    assertEquals(ServingState.SERVING, live.predict(1))
    assertEquals(0.5f, live.probability(0))
    live.close()
  }

  @Test
  def an_experiment_scorer_answers_with_the_arm_that_a_test_names(): Unit = {
    val wide = TestScorers.GivenArm.of("wide", "given", bucket = 9000)
    val arms = Map("r" -> wide.exploring(1, 0.5), "s" -> wide)
    val two = Layout.ofOrThrow(Ad, candidates = 2, tailLenBytes = 4096)
    val scorer =
      TestScorers.experimentScorer(two, "wide-model", arms.get(_))((candidate, _) => 0.5 - 0.25 * candidate)
    scorer.request.clear()
    scorer.request.candidate(0)(Ad.creativeId) = 7L
    scorer.request.candidate(1)(Ad.creativeId) = 8L
    assertEquals(ServingState.SERVING, scorer.predict("r"))
    assertEquals(("wide-model", "wide", 9000, "given"), (scorer.experiment, scorer.arm, scorer.bucket, scorer.logicId))
    val choice = scorer.choose("r", Array.tabulate(2)(i => scorer.probability(i).toDouble))
    assertEquals((1, 0.5), (choice.candidate, choice.propensity))
    assertEquals(ServingState.SERVING, scorer.predict("s"))
    assertEquals(0, scorer.choose("s", Array.tabulate(2)(i => scorer.probability(i).toDouble)).candidate)
    assertEquals(ServingState.NO_MODEL, scorer.predict("of no arm"))
    scorer.close()
  }

  @Test
  def the_names_of_the_core_are_here_as_types_and_as_values(): Unit = {
    val options: LiveOptions = LiveOptions.builder().name("scala").build()
    val state: ServingState = ServingState.NO_MODEL
    val mode: LoadMode = LoadMode.AUTO
    val status: CandidateStatus = CandidateStatus.LATE
    val said = state match {
      case ServingState.SERVING => "serving"
      case ServingState.OFF     => "off"
      case _                    => "none"
    }
    assertEquals("none", said)
    assertTrue(options != LiveOptions.defaults() && mode != LoadMode.MAP && status != CandidateStatus.SCORED)
    // A value that the core gets is a value here.
    assertEquals(io.omomi.LoadMode.values.toSeq, Seq(LoadMode.MAP, LoadMode.COPY, LoadMode.AUTO))
    assertEquals(
      io.omomi.ServingState.values.toSeq,
      Seq(ServingState.SERVING, ServingState.NO_MODEL, ServingState.OFF))
    import CandidateStatus._
    assertEquals(
      io.omomi.CandidateStatus.values.toSet,
      Set(NOT_COMPUTED, SCORED, OUTSIDE_TAIL, NOT_UTF8, TOO_MANY_VALUES, NO_CANDIDATE, NOT_FILLED, LATE))
  }
}
