package io.omomi.scaladsl

import io.omomi.Schema

import scala.collection.mutable.ArrayBuffer

/** The side of a request that a field belongs to. Only a type: a row takes fields of its own side. */
sealed trait Side

/** One value per request, shared by all candidates. */
sealed trait Context extends Side

/** One value per candidate. */
sealed trait Candidate extends Side

/** A declared field of the side `S`. */
sealed abstract class Field[S <: Side](val name: String, of: Fields) {
  // Set once, when the schema is built; every layout builds it before there is a row to fill.
  private[scaladsl] var underlying: io.omomi.Field = _

  /** Java's field. One of a declaration without a layout is bound now, so that the row that refuses it can name it. */
  private[scaladsl] final def bound: io.omomi.Field = {
    val field = underlying
    if (field eq null) bind() else field
  }

  private def bind(): io.omomi.Field = {
    of.schema
    underlying
  }
}

/** A field of 64-bit integers. */
final class IdField[S <: Side] private[scaladsl] (name: String, of: Fields) extends Field[S](name, of)

/** A field with zero or more 64-bit integers per row. */
final class IdsField[S <: Side] private[scaladsl] (name: String, of: Fields) extends Field[S](name, of)

/** A field of texts. */
final class TextField[S <: Side] private[scaladsl] (name: String, of: Fields) extends Field[S](name, of)

/** A field with zero or more texts per row. */
final class TextsField[S <: Side] private[scaladsl] (name: String, of: Fields) extends Field[S](name, of)

/** A field of numbers. */
final class NumberField[S <: Side] private[scaladsl] (name: String, of: Fields) extends Field[S](name, of)

/** Id fields of the side `S` that a row takes from one array. */
final class IdFields[S <: Side] private[scaladsl] (fields: Seq[IdField[S]]) {
  // Set once, together with those of the fields.
  private[scaladsl] var underlying: io.omomi.IdFields = _

  /** Java's fields: see `Field.bound`. */
  private[scaladsl] def bound: io.omomi.IdFields = {
    if (underlying eq null) bind()
    underlying
  }

  private[scaladsl] def bind(): Unit =
    underlying = io.omomi.IdFields.of(fields.map(field => if (field eq null) null else field.bound): _*)
}

/** The server's declaration: the fields that it can supply. Extend it with an `object` whose vals are the fields. It
  * is declared once and valid for every later model.
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
    // By index, since the elements of a list are cast, and a cast makes the JVM remember that these classes know Java's
    // `Field`: see `Declaring` for what depends on it.
    declared.indices.foreach(i => declared(i).underlying = built.fields.get(i))
    declaredTogether.foreach(_.bind())
    built
  }

  /** Declares fields of one side.
    *
    * For speed, each method has a type parameter, which is always inferred as the field's own class: the caller's
    * class then has to cast the result. Up to JDK 23, the JVM inlines a method, such as the accessor of one of your
    * vals, only if the class that has the method has looked up every class in its signature, and an accessor does not
    * look them up. Without the cast, each `row(field) = value` would pay for a call.
    */
  protected final class Declaring[S <: Side] private[Fields] (side: io.omomi.Side) {
    /** Declares a field of 64-bit integers. */
    def id[F >: IdField[S] <: Field[S]](name: String): F = {
      builder.id(name, side)
      keep(new IdField[S](name, Fields.this))
    }

    /** Declares a field with zero or more 64-bit integers per row. */
    def ids[F >: IdsField[S] <: Field[S]](name: String): F = {
      builder.ids(name, side)
      keep(new IdsField[S](name, Fields.this))
    }

    /** Declares a field of texts. */
    def text[F >: TextField[S] <: Field[S]](name: String): F = {
      builder.text(name, side)
      keep(new TextField[S](name, Fields.this))
    }

    /** Declares a field with zero or more texts per row. */
    def texts[F >: TextsField[S] <: Field[S]](name: String): F = {
      builder.texts(name, side)
      keep(new TextsField[S](name, Fields.this))
    }

    /** Declares a field of numbers in `unit`, from `rangeMin` to `rangeMax`. */
    def number[F >: NumberField[S] <: Field[S]](name: String, unit: String, rangeMin: Double, rangeMax: Double): F = {
      builder.number(name, side, unit, rangeMin, rangeMax)
      keep(new NumberField[S](name, Fields.this))
    }

    /** Declares that a row takes these fields together, from an array with their ids in this order: see
      * `Row.setIdFields`. The fields must be declared in this order, with no other field of the side between them;
      * otherwise building a layout fails.
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
