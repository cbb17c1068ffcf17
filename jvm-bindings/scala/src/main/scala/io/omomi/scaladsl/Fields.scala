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

/** Id fields of the side `S` that a row takes together from an array. */
final class IdFields[S <: Side] private[scaladsl] (fields: Seq[IdField[S]]) {
  // Set once, as the fields'.
  private[scaladsl] var underlying: io.omomi.IdFields = _

  private[scaladsl] def bind(): Unit = underlying = io.omomi.IdFields.of(fields.map(_.underlying): _*)
}

/** The server's declaration: which fields it can supply. Extend it with an `object` whose vals are the fields; it is made
  * once and good for every later model.
  */
abstract class Fields {
  private val builder = Schema.builder()
  private val declared = ArrayBuffer.empty[Field[_ <: Side]]
  private val declaredTogether = ArrayBuffer.empty[IdFields[_ <: Side]]

  /** Declares fields of the context. */
  protected final val context: Declaring[Context] = new Declaring(io.omomi.Side.CONTEXT)

  /** Declares fields of the candidates. */
  protected final val candidate: Declaring[Candidate] = new Declaring(io.omomi.Side.CANDIDATE)

  private[scaladsl] lazy val schema: Schema = {
    val built = builder.build()
    // By index, since a list's elements are cast, and a cast makes the JVM remember that these classes know Java's `Field`:
    // see `Declaring` for what depends on it.
    declared.indices.foreach(i => declared(i).underlying = built.fields.get(i))
    declaredTogether.foreach(_.bind())
    built
  }

  /** Declares fields of one side.
    *
    * Each method has a type parameter, which is always inferred as the field's own class, for the sake of speed: the caller's
    * class then has to cast what it gets. Up to JDK 23 the JVM inlines a method, such as the accessor of one of your vals, only
    * if the code that the method comes from has looked up every class in the method's signature, and an accessor does not.
    * Without the cast each `row(field) = value` pays for a call.
    */
  protected final class Declaring[S <: Side] private[Fields] (side: io.omomi.Side) {
    /** A field of 64-bit integers. */
    def id[F >: IdField[S] <: Field[S]](name: String): F = {
      builder.id(name, side)
      keep(new IdField[S](name))
    }

    /** A field with zero or more 64-bit integers a row. */
    def ids[F >: IdsField[S] <: Field[S]](name: String): F = {
      builder.ids(name, side)
      keep(new IdsField[S](name))
    }

    /** A field of texts. */
    def text[F >: TextField[S] <: Field[S]](name: String): F = {
      builder.text(name, side)
      keep(new TextField[S](name))
    }

    /** A field with zero or more texts a row. */
    def texts[F >: TextsField[S] <: Field[S]](name: String): F = {
      builder.texts(name, side)
      keep(new TextsField[S](name))
    }

    /** A field of numbers in `unit` from `least` to `greatest`. */
    def number[F >: NumberField[S] <: Field[S]](name: String, unit: String, rangeMin: Double, rangeMax: Double): F = {
      builder.number(name, side, unit, rangeMin, rangeMax)
      keep(new NumberField[S](name))
    }

    /** Says that a row takes these fields together, from an array with their ids in this order: see `Row.setIdFields`. They are to be
      * declared in this order, with no other field of the side between them; a layout is refused otherwise.
      */
    def together[F >: IdFields[S] <: AnyRef](fields: IdField[S]*): F = {
      val kept = new IdFields[S](fields)
      declaredTogether += kept
      kept
    }

    private def keep[F <: Field[S]](field: F): F = {
      declared += field
      field
    }
  }
}
