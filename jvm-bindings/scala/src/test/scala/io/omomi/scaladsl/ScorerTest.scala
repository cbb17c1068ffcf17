package io.omomi.scaladsl

import java.lang.management.ManagementFactory
import java.nio.file.Paths

import io.omomi.Code
import org.junit.jupiter.api.Assertions.{assertEquals, assertThrows, assertTrue}
import org.junit.jupiter.api.Test

/** The Scala API fills, predicts and answers like the Java core, at the same cost. */
class ScorerTest {
  private val candidates = 100
  private val interests = Vector("旅行", "料理", "未知の分野")
  private val labels = Array("sale", "𠮷野家")
  private val segments = Array(1L, 2L)
  private val campaigns = Array(3L)

  private def withScorer[A](body: Scorer => A): A = {
    val model = Ad.get(Model.open(Ad.weightFile))
    val layout = Ad.get(Layout.of(Ad, candidates = candidates, tailLenBytes = 64 * 1024))
    val scorer = Ad.get(Scorer.open(model, layout))
    model.close()
    try body(scorer)
    finally scorer.close()
  }

  private def fill(request: Request, category: TextValue): Unit = {
    request.clear()
    val context = request.context
    context(Ad.mediaId) = 3L
    context(Ad.region) = "東京都"
    context(Ad.interest) = interests
    context(Ad.segmentId) = segments
    context(Ad.floorPrice) = 120.5
    var i = 0
    while (i < candidates) {
      val candidate = request.candidate(i)
      candidate(Ad.creativeId) = i.toLong
      candidate(Ad.category) = category
      candidate(Ad.label) = labels
      candidate(Ad.campaignId) = campaigns
      candidate(Ad.creativeAge) = i.toDouble
      i += 1
    }
  }

  @Test
  def a_request_filled_in_scala_has_the_logits_of_one_filled_in_java(): Unit = withScorer { scorer =>
    fill(scorer.request, TextValue.of("自動車"))
    scorer.predict(candidates)
    val model = io.omomi.Model.open(Ad.weightFile)
    val reference = io.omomi.Scorer.open(model, io.omomi.RequestLayout.of(Ad.schema, candidates, 1 << 16))
    reference.request().context()
      .setId(Ad.schema.field("media_id"), 3)
      .setText(Ad.schema.field("region"), "東京都")
      .setTexts(Ad.schema.field("interest"), javaList(interests))
      .setIds(Ad.schema.field("segment_id"), segments, 2)
      .setNumber(Ad.schema.field("floor_price"), 120.5)
    for (i <- 0 until candidates) {
      reference.request().candidate(i)
        .setId(Ad.schema.field("creative_id"), i.toLong)
        .setText(Ad.schema.field("category"), "自動車")
        .setTexts(Ad.schema.field("label"), javaList(labels.toVector))
        .setIds(Ad.schema.field("campaign_id"), campaigns, 1)
        .setNumber(Ad.schema.field("creative_age"), i.toDouble)
    }
    reference.predict(candidates)
    for (i <- 0 until candidates) {
      assertEquals(reference.logit(i), scorer.logit(i))
      assertEquals(reference.probability(i), scorer.probability(i))
      assertEquals(io.omomi.CandidateStatus.SCORED, scorer.status(i))
    }
    assertEquals(reference.unseenCount(), scorer.unseenCount)
    assertEquals(reference.missingCount(), scorer.missingCount)
    assertEquals(candidates, scorer.scoredCount)
    assertEquals(0, scorer.refusedCount)
    assertEquals(0L, scorer.invalidNumberCount)
    assertEquals(42L, scorer.generation)
    assertEquals("jvm-test-ロジック", scorer.logicId)
    assertEquals(scorer.logit(1), scorer.explain(1).logit())
    reference.close()
    model.close()
  }

  @Test
  def ids_and_answers_by_arrays_equal_those_set_and_read_one_by_one(): Unit = withScorer { scorer =>
    fill(scorer.request, TextValue.of("自動車"))
    scorer.predict(candidates)
    val expected = (0 until candidates).map(scorer.probability(_))
    val pairs = Array.tabulate(2 * candidates)(at => at / 2L)
    for (i <- 0 until candidates) {
      scorer.request.candidate(i).unset(Ad.creativeId)
      scorer.request.candidate(i).setIdFields(Ad.creativeAndBrand, pairs, 2 * i)
    }
    scorer.request.candidate(5).unset(Ad.creativeId)
    scorer.request.candidate(5)(Ad.creativeAndBrand) = Array(5L, 7L)
    scorer.predict(candidates)
    val found = new Array[Float](candidates)
    assertEquals(candidates, scorer.probabilities(found))
    assertEquals(expected, found.toSeq)
  }

  @Test
  def a_request_allocates_nothing_from_clear_to_the_last_answer(): Unit = withScorer { scorer =>
    val threads = ManagementFactory.getThreadMXBean.asInstanceOf[com.sun.management.ThreadMXBean]
    val thread = Thread.currentThread().getId
    val category = TextValue.of("自動車")
    run(scorer, category, 3000)
    // A request's own cost appears in every round; what the JVM allocates while it links and compiles does not.
    val rounds = (0 until 5).map { _ =>
      var before = threads.getThreadAllocatedBytes(thread)
      val meter = threads.getThreadAllocatedBytes(thread) - before
      before = threads.getThreadAllocatedBytes(thread)
      run(scorer, category, 200)
      threads.getThreadAllocatedBytes(thread) - before - meter
    }
    assertEquals(0L, rounds.min, s"bytes in each of five rounds of 200 requests: $rounds")
  }

  private var sink = 0.0

  private def run(scorer: Scorer, category: TextValue, requests: Int): Unit = {
    var request = 0
    while (request < requests) {
      fill(scorer.request, category)
      scorer.predict(candidates)
      var i = 0
      while (i < candidates) {
        if (scorer.status(i) eq io.omomi.CandidateStatus.SCORED) {
          sink += scorer.probability(i) + scorer.logit(i)
        }
        i += 1
      }
      request += 1
    }
  }

  @Test
  def prepared_candidates_have_the_logits_of_rows_for_each_of_two_models(): Unit = withScorer { inline =>
    val category = TextValue.of("自動車")
    fill(inline.request, category)
    inline.predict(candidates)
    val model = Ad.get(Model.open(Ad.weightFile))
    val set = Ad.get(CandidateSet.open(Ad, capacity = 2 * candidates, valuesPerField = 4))
    val layout = Ad.get(Ad.get(Layout.prepared(Ad, candidates, tailLenBytes = 4096)).forModels(2))
    val scorer = Ad.get(Scorer.open(Seq(model, model), layout, set))
    def row(i: Int)(row: Row[Candidate]): Unit = {
      row(Ad.creativeId) = i.toLong
      row(Ad.category) = category
      row(Ad.label) = labels
      row(Ad.campaignId) = campaigns
      row(Ad.creativeAge) = i.toDouble
    }
    val indices = (0 until candidates).map(i => set.add(row(i) _))
    set.put(indices(1))(row(1))
    val request = scorer.request
    request.clear()
    val context = request.context
    context(Ad.mediaId) = 3L
    context(Ad.region) = "東京都"
    context(Ad.interest) = interests
    context(Ad.segmentId) = segments
    context(Ad.floorPrice) = 120.5
    indices.zipWithIndex.foreach { case (index, i) => request.setCandidate(i, index) }
    scorer.predictWithin(candidates, budgetNanos = Long.MaxValue)
    for (i <- 0 until candidates; model <- 0 until scorer.modelCount) {
      assertEquals(inline.logit(i), scorer.answers(model).logit(i))
      assertEquals(inline.probability(i), scorer.answers(model).probability(i))
    }
    assertEquals(inline.unseenCount, scorer.answers(1).unseenCount())
    request.setCandidates(indices.reverse.toArray, candidates)
    scorer.predict(candidates)
    val reversed = new Array[Float](candidates)
    assertEquals(candidates, scorer.answers(1).probabilities(reversed))
    assertEquals((0 until candidates).map(inline.probability(_)), reversed.toSeq.reverse)
    request.setCandidates(indices.toArray, candidates)
    assertEquals(0, scorer.lateCount)
    assertTrue(set.remove(indices(0)))
    assertEquals(candidates - 1, set.count)
    scorer.predict(candidates)
    assertEquals(io.omomi.CandidateStatus.NO_CANDIDATE, scorer.answers(1).status(0))
    assertEquals(Code.INVALID_ARGUMENT, Scorer.open(model, layout, set).swap.fold(_ => Code.PANIC, _.code))
    assertEquals(Code.INVALID_ARGUMENT, CandidateSet.open(Ad, 0, 0).swap.fold(_ => Code.PANIC, _.code))
    scorer.close()
    set.close()
    model.close()
  }

  @Test
  def only_candidates_that_were_filled_since_the_request_was_cleared_are_scored(): Unit = withScorer { scorer =>
    fill(scorer.request, TextValue.of("自動車"))
    scorer.predict()
    assertEquals(candidates, scorer.scoredCount)
    scorer.request.clear()
    assertEquals(0, scorer.scoredCount)
    scorer.request.candidate(2)(Ad.creativeId) = 1L
    scorer.request.candidate(2)(Ad.category) = TextValue.of("自動車")
    scorer.predict()
    assertEquals(3, scorer.request.filledCount)
    assertEquals(io.omomi.CandidateStatus.NOT_FILLED, scorer.status(0))
    assertEquals(io.omomi.CandidateStatus.SCORED, scorer.status(2))
    val missing = scorer.missingCount
    scorer.request.candidate(2).clear()
    scorer.predict(3)
    assertEquals(missing + 2, scorer.missingCount)
  }

  @Test
  def a_pool_lends_a_scorer_to_one_thread_at_a_time(): Unit = {
    val model = Ad.get(Model.open(Ad.weightFile))
    val layout = Ad.get(Layout.of(Ad, candidates, tailLenBytes = 64 * 1024))
    val pool = Ad.get(ScorerPool.of(capacity = 2)(Scorer.open(model, layout)))
    val expected = pool.use { scorer =>
      fill(scorer.request, TextValue.of("自動車"))
      scorer.predict()
      scorer.logit(7)
    }
    val found = new java.util.concurrent.ConcurrentLinkedQueue[Double]
    val threads = (0 until 50).map { _ =>
      val thread = new Thread(new Runnable {
        override def run(): Unit = {
          found.add(pool.use { scorer =>
            fill(scorer.request, TextValue.of("自動車"))
            scorer.predict()
            scorer.logit(7)
          })
          ()
        }
      })
      thread.start()
      thread
    }
    threads.foreach(_.join())
    assertEquals(50, found.size)
    assertTrue(found.stream().allMatch(_ == expected))
    assertTrue(pool.openCount <= 2)
    val taken = pool.take(0L).get
    taken.close()
    pool.giveBack(taken)
    assertEquals(candidates, pool.use { scorer =>
      fill(scorer.request, TextValue.of("自動車"))
      scorer.predict()
      scorer.scoredCount
    })
    pool.close()
    assertEquals(Code.CLOSED, assertThrows(classOf[OmomiException], () => pool.use(_ => ())).code)
    assertEquals(
      Code.INVALID_ARGUMENT,
      ScorerPool.of(capacity = 0)(Scorer.open(model, layout)).swap.fold(_ => Code.PANIC, _.code))
    model.close()
  }

  @Test
  def opening_returns_a_left_and_everything_else_throws(): Unit = {
    assertEquals(Code.FILE, Model.open(Paths.get("ない.omomi")).swap.fold(_ => Code.PANIC, _.code))
    assertEquals(Code.INVALID_ARGUMENT, Layout.of(Ad, 0, 0).swap.fold(_ => Code.PANIC, _.code))
    for (opened <- Seq(
        Layout.of(null, 1, 0),
        Layout.prepared(null, 1, 0),
        CandidateSet.open(null, 1, 0),
        Model.open(null),
        LiveModel.open(Paths.get("x"), null),
        LiveModel.open(null, Ad),
        Scorer.open(null: Model, null),
        Scorer.open(null: Seq[Model], null, null),
        LiveScorer.open(null, null)))
      assertEquals(Code.NULL_ARGUMENT, opened.swap.fold(_ => Code.PANIC, _.code))
    object Short extends Fields {
      val mediaId = context.id("media_id")
    }
    object Reversed extends Fields {
      val first = candidate.id("first")
      val second = candidate.id("second")
      val together = candidate.together(second, first)
    }
    assertEquals(Code.WRONG_FIELD_USE, Layout.of(Reversed, 1, 0).swap.fold(_ => Code.PANIC, _.code))
    val model = Ad.get(Model.open(Ad.weightFile))
    val refused = Layout.of(Short, 1, 0).fold(Left(_), layout => Scorer.open(model, layout))
    assertEquals(Code.FIELD_MISSING, refused.swap.fold(_ => Code.PANIC, _.code))
    val said = refused.swap.fold(_ => "", _.getMessage)
    for (field <- Ad.schema.fields.toArray(Array.empty[io.omomi.Field]) if !Set("media_id", "brand_id")(field.name))
      assertTrue(said.contains("`" + field.name + "`"), said)
    model.close()
    withScorer { scorer =>
      val wrong = assertThrows(classOf[OmomiException], () => scorer.request.context(Short.mediaId) = 1L)
      assertEquals(Code.WRONG_FIELD_USE, wrong.code)
      val nothing = assertThrows(
        classOf[OmomiException],
        () => scorer.request.context(Ad.interest) = (null: Vector[String]))
      assertEquals(Code.NULL_ARGUMENT, nothing.code)
      scorer.request.context(Ad.region) = "\ud800"
      val surrogate = assertThrows(classOf[OmomiException], () => scorer.predict())
      assertTrue(surrogate.getMessage.contains("unpaired surrogate"), surrogate.getMessage)
      scorer.request.clear()
      scorer.request.context(Ad.mediaId) = 1L
      scorer.request.context.unset(Ad.mediaId)
      assertTrue(scorer.request.tailUsedBytes == 0)
      scorer.close()
      scorer.close()
      val closed = assertThrows(classOf[OmomiException], () => scorer.predict(1))
      assertEquals(Code.CLOSED, closed.code)
    }
  }

  /** A declaration that no layout was made of. */
  private object Unbound extends Fields {
    val mediaId = context.id("media_id")
    val segmentId = context.ids("segment_id")
    val region = context.text("region")
    val interest = context.texts("interest")
    val floorPrice = context.number("floor_price", "JPY", 0.0, 1.0)
    val creativeId = candidate.id("creative_id")
    val together = candidate.together(creativeId)
  }

  /** A declaration with fields that come into being too late, or are read too early. */
  private object Late extends Fields {
    val early: IdField[Context] = later
    val mediaId = context.id[IdField[Context]]("media_id")
    lazy val region = context.text("region")
    lazy val first = candidate.id("first")
    object Nested {
      val device = context.text("device")
    }

    private def later: IdField[Context] = mediaId
  }

  private def refusal(call: => Unit): OmomiException = assertThrows(classOf[OmomiException], () => call)

  @Test
  def a_field_without_a_place_in_the_request_is_named_with_the_remedy(): Unit = withScorer { scorer =>
    val context = scorer.request.context
    val candidate = scorer.request.candidate(0)
    // Unbound, then bound to another declaration: the message is the same.
    for (_ <- 0 until 2) {
      for ((name, refused) <- Seq(
          "`media_id`" -> refusal(context(Unbound.mediaId) = 1L),
          "`segment_id`" -> refusal(context(Unbound.segmentId) = Array(1L)),
          "`region`" -> refusal(context(Unbound.region) = "x"),
          "`region`" -> refusal(context(Unbound.region) = TextValue.of("x")),
          "`interest`" -> refusal(context(Unbound.interest) = Vector("x")),
          "`interest`" -> refusal(context(Unbound.interest) = Array("x")),
          "`interest`" -> refusal(context(Unbound.interest) = List("x")),
          "`floor_price`" -> refusal(context(Unbound.floorPrice) = 1.0),
          "`region`" -> refusal(context(Unbound.region) = Some("x")),
          "`region`" -> refusal(context.unset(Unbound.region)),
          "creative_id" -> refusal(candidate(Unbound.together) = Array(1L)))) {
        assertEquals(Code.WRONG_FIELD_USE, refused.code)
        assertTrue(refused.getMessage.contains(name), refused.getMessage)
        assertTrue(refused.getMessage.contains("that the request's layout was made of"), refused.getMessage)
      }
      Ad.get(Layout.of(Unbound, 1, 0))
    }
  }

  @Test
  def a_field_that_is_declared_too_late_is_named_with_the_remedy(): Unit = {
    assertEquals("media_id", Late.mediaId.name)
    val layout = Ad.get(Layout.of(Late, 1, 0))
    assertEquals(layout.toString, Ad.get(Layout.of(Late, 1, 0)).toString)
    for ((name, refused) <- Seq(
        "`region`" -> refusal { Late.region; () },
        "`region`" -> refusal { Late.region; () },
        "`first`" -> refusal { Late.first; () })) {
      assertEquals(Code.SCHEMA_INVALID, refused.code)
      assertTrue(refused.getMessage.contains(name), refused.getMessage)
      assertTrue(refused.getMessage.contains("not as a lazy val"), refused.getMessage)
    }
    // In a nested object, the exception may come as the cause of the JVM's own.
    val nested = assertThrows(classOf[Throwable], () => assertEquals("", Late.Nested.device.name))
    val said = Option(nested.getCause).getOrElse(nested).getMessage
    assertTrue(said.contains("`device` is declared after"), said)
    withScorer { scorer =>
      val context = scorer.request.context
      for (refused <- Seq(
          refusal(context(Late.early) = 1L),
          refusal(context(null: IdField[Context]) = 1L),
          refusal(context(null: IdsField[Context]) = Array(1L)),
          refusal(context(null: TextField[Context]) = "x"),
          refusal(context(null: TextField[Context]) = TextValue.of("x")),
          refusal(context(null: TextsField[Context]) = Vector("x")),
          refusal(context(null: TextsField[Context]) = Array("x")),
          refusal(context(null: NumberField[Context]) = 1.0),
          refusal(context.unset(null: IdField[Context])),
          refusal(context(null: IdFields[Context]) = Array(1L)))) {
        assertEquals(Code.NULL_ARGUMENT, refused.code)
        assertTrue(refused.getMessage.contains("of the context is set"), refused.getMessage)
        assertTrue(refused.getMessage.contains("still being initialized"), refused.getMessage)
      }
    }
  }

  @Test
  def another_thread_is_refused_even_with_a_row_that_was_kept(): Unit = withScorer { scorer =>
    val context = scorer.request.context
    val candidate = scorer.request.candidate(0)
    scorer.request.clear()
    var refused = Seq.empty[OmomiException]
    val thread = new Thread(new Runnable {
      override def run(): Unit = refused = Seq(
        refusal(context(Ad.mediaId) = 1L),
        refusal(context(Ad.region) = "x"),
        refusal(context(Ad.interest) = List("x")),
        refusal(candidate(Ad.creativeAndBrand) = Array(1L, 2L)),
        refusal(candidate.unset(Ad.creativeId)),
        refusal(candidate.clear()))
    })
    thread.start()
    thread.join()
    assertEquals(Seq.fill(6)(Code.SCORER_BUSY), refused.map(_.code))
  }

  private def javaList(texts: Seq[String]): java.util.List[String] = {
    val list = new java.util.ArrayList[String]()
    texts.foreach(list.add(_))
    list
  }
}
