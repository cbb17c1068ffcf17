package io.omomi.examples

import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test

import scala.reflect.internal.util.BatchSourceFile
import scala.tools.nsc.reporters.StoreReporter
import scala.tools.nsc.{Global, Settings}

/** A value that a field does not take is an error of the compiler, which says what the field takes. */
class CompileErrorsTest {
  private val settings = new Settings()
  settings.classpath.value = System.getProperty("java.class.path") + ":" +
    System.getProperty("surefire.test.class.path", "")
  settings.usejavacp.value = true
  settings.stopAfter.value = List("refchecks")
  private val reporter = new StoreReporter(settings)
  private val compiler = new Global(settings, reporter)

  /** Returns the errors for a statement in which `ad` is the declaration, and `request` a request. */
  private def errors(statement: String): Seq[String] = {
    reporter.reset()
    val text = "import io.omomi.scaladsl._\nimport io.omomi.examples.{GeneratedCtr => ad}\n" +
      s"object Program { def fill(request: Request): Unit = { $statement } }\n"
    new compiler.Run().compileSources(List(new BatchSourceFile("Program.scala", text)))
    reporter.infos.toSeq.filter(_.severity == reporter.ERROR).map(_.msg)
  }

  @Test
  def values_that_a_field_takes_compile(): Unit =
    for (
      statement <- Seq(
        "request.context(ad.siteId) = 3L",
        "request.context(ad.siteId) = Option(3)",
        "request.context(ad.interest) = List(\"a\")",
        "request.candidate(0)(ad.creativeAge) = 3"))
      assertEquals(Nil, errors(statement), statement)

  @Test
  def a_value_that_a_field_does_not_take_is_an_error_that_says_what_it_takes(): Unit =
    for (
      (statement, parts) <- Seq(
        "request.context(ad.siteId) = \"three\"" -> Seq("String", "IdField", "An IdField takes a Long"),
        "request.context(ad.region) = 3L" -> Seq("Long", "TextField", "a TextField a String or a TextValue"),
        "request.context(ad.floorPrice) = \"12\"" -> Seq("NumberField", "a NumberField a Double"),
        "request.context(ad.interest) = \"travel\"" -> Seq("TextsField", "a TextsField a collection of String"),
        "request.context(ad.interest) = List(1L)" -> Seq("TextsField", "List[Long]"),
        "request.context(ad.siteId) = Option(\"three\")" -> Seq("Option[String]", "IdField"),
        "request.context(ad.creativeId) = 3L" -> Seq("Candidate", "takes fields declared with `context`"),
        "request.candidate(0)(ad.siteId) = 3L" -> Seq("Context", "those with `candidate`"))) {
      val said = errors(statement)
      assertEquals(1, said.length, s"$statement: $said")
      parts.foreach(part => assertTrue(said.head.contains(part), s"$statement: ${said.head}"))
    }
}
