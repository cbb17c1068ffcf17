package io.omomi.scaladsl

import io.omomi.Schema

import scala.collection.mutable.ArrayBuffer

/** Whether all candidates of a request share a field's value. Only a type: a row takes fields of its own side. */
sealed trait Side

/** One value a request. */
sealed trait Context extends Side

/** One value a candidate. */
sealed trait Candidate extends Side

/** A declared field of the side `S`. */
sealed abstract class Field[S <: Side](val name: String) {
  // Set once, when the schema is built, which every layout does before there is a row to fill.
  private[scaladsl] var underlying: io.omomi.Field = _
}

/** A field of 64-bit integers. */
final class IdField[S <: Side] private[scaladsl] (name: String) extends Field[S](name)

/** A field with zero or more 64-bit integers a row. */
final class IdsField[S <: Side] private[scaladsl] (name: String) extends Field[S](name)

/** A field of texts. */
final class TextField[S <: Side] private[scaladsl] (name: String) extends Field[S](name)

/** A field with zero or more texts a row. */
final class TextsField[S <: Side] private[scaladsl] (name: String) extends Field[S](name)

/** A field of numbers. */
final class NumberField[S <: Side] private[scaladsl] (name: String) extends Field[S](name)

/** The server's declaration: which fields it can supply. Extend it with an `object` whose vals are the fields; it is made
  * once and good for every later model.
  */
abstract class Fields {
  private val builder = Schema.builder()
  private val declared = ArrayBuffer.empty[Field[_ <: Side]]

  /** Declares fields of the context. */
  protected final val context: Declaring[Context] = new Declaring(io.omomi.Side.CONTEXT)

  /** Declares fields of the candidates. */
  protected final val candidate: Declaring[Candidate] = new Declaring(io.omomi.Side.CANDIDATE)

  private[scaladsl] lazy val schema: Schema = {
    val built = builder.build()
    declared.foreach(field => field.underlying = built.field(field.name))
    built
  }

  /** Declares fields of one side. */
  protected final class Declaring[S <: Side] private[Fields] (side: io.omomi.Side) {
    /** A field of 64-bit integers. */
    def id(name: String): IdField[S] = {
      builder.id(name, side)
      keep(new IdField[S](name))
    }

    /** A field with zero or more 64-bit integers a row. */
    def ids(name: String): IdsField[S] = {
      builder.ids(name, side)
      keep(new IdsField[S](name))
    }

    /** A field of texts. */
    def text(name: String): TextField[S] = {
      builder.text(name, side)
      keep(new TextField[S](name))
    }

    /** A field with zero or more texts a row. */
    def texts(name: String): TextsField[S] = {
      builder.texts(name, side)
      keep(new TextsField[S](name))
    }

    /** A field of numbers in `unit` from `least` to `greatest`. */
    def number(name: String, unit: String, least: Double, greatest: Double): NumberField[S] = {
      builder.number(name, side, unit, least, greatest)
      keep(new NumberField[S](name))
    }

    private def keep[F <: Field[S]](field: F): F = {
      declared += field
      field
    }
  }
}
