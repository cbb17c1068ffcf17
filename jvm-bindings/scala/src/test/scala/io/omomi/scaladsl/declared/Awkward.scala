/*
 * Made by `omomi contract generate --scala` from the contract * / "x" \ u00 <b> 広告 ??/, fingerprint
 * 4c21742cb5badbf6. Do not edit it: make it again when the contract changes.
 */
package io.omomi.scaladsl.declared

import io.omomi.scaladsl._

/**
 * The fields of the contract * / "x" \ u00 <b> 広告 ??/, declared once for every later model. type, class
 * take texts in Unicode NFC: training normalizes them, and scoring does not, so the server must send NFC.
 * A text in another form is an unseen category.
 */
object Awkward extends Fields {
  /** ends a comment * / and opens one / * in Scala / ** and C */
  val siteId = context.id("site_id")

  /** the same name in most languages; \ u is no character, \ u0022 is a quote, and \ */
  val siteId_2 = context.id("siteId")

  /** a word of Scala and Rust. <b>HTML</b> & {@link Nothing} @see `[nothing]` #. Send it as Unicode NFC */
  val typeField = context.text("type")

  /** a word of Java and C++ 広告の種類. Send it as Unicode NFC */
  val classField = context.texts("class")

  /** a name without a letter */
  val field = context.id("_")

  /** a name with a digit only ??/ */
  val field1 = context.ids("__1")

  /** a macro of C */
  val nullField = context.number("NULL", "yen \"¥\" per \\u0041 $1 ??= \\", -1e300, 1e16)

  /** a macro of C in lower case */
  val errno = candidate.id("errno")

  /** a method of every object */
  val waitField = candidate.texts("wait")

  /**
   * what a declaration calls itself. A meaning may be long, so it is broken into lines that people can
   * read. A meaning may be long, so it is broken into lines that people can read. A meaning may be long,
   * so it is broken into lines that people can read. A meaning may be long, so it is broken into lines
   * that people can read.
   */
  val schemaField = candidate.ids("schema")

  /** a side */
  val contextField = candidate.text("context")

  /** a macro of gcc */
  val unix = candidate.number("unix", "s", 1e-7, 0.1)
}
