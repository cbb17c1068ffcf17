package io.omomi.scaladsl

import java.util.AbstractList

import scala.annotation.implicitNotFound

/** The value of a text, computed once by `TextValue.of` and kept, for texts that recur all day. */
final class TextValue private (val bits: Long) extends AnyVal

object TextValue {
  /** Computes the value of `text`: XXH3-64 of its UTF-8 bytes. */
  def of(text: CharSequence): TextValue = new TextValue(io.omomi.Feature.textValue(text))
}

/** The request of one scorer. It is filled in place and reused from request to request. */
final class Request private[scaladsl] (underlying: io.omomi.Request) {
  /** The row of the context. */
  val context: Row[Context] = new Row[Context](underlying.context())
  // Created for the first candidate: requests of prepared candidates have no rows.
  private var candidateRow: Row[Candidate] = _

  /** Clears every value, and forgets which candidates were filled, and the answers. Call it before each request. */
  def clear(): Unit = underlying.clear()

  /** Returns the number of candidates up to the last one that was filled or named since the request was cleared. */
  def filledCount: Int = underlying.filledCount()

  /** Returns the row of candidate `index`, counted from 0, with the values that were set since the request was cleared.
    * The candidate counts as filled from now on; those below it that were never filled are not scored. All calls
    * return the same object, moved to that row: fill one candidate after another.
    */
  def candidate(index: Int): Row[Candidate] = {
    val row = underlying.candidate(index)
    if (candidateRow eq null) candidateRow = new Row[Candidate](row)
    candidateRow
  }

  /** Makes candidate `indexInSet` of the scorer's [[CandidateSet]] the candidate `index` of the request. Those
    * below it that were not named since the request was cleared are not scored.
    */
  def setCandidate(index: Int, indexInSet: Int): Unit = underlying.setCandidate(index, indexInSet)

  /** Makes the first `count` of `indicesInSet` the candidates 0, 1, 2 and so on, faster than one by one. */
  def setCandidates(indicesInSet: Array[Int], count: Int): Unit = underlying.setCandidates(indicesInSet, count)

  override def toString: String = underlying.toString

  /** Returns the number of bytes of the tail in use. Use it to learn how large a tail real requests need. */
  def tailUsedBytes: Int = underlying.tailUsedBytes()
}

/** The fields of the context or of one candidate: `row(field) = value`. A field that is not set is missing. If a field
  * is set twice, the last value is kept. Nothing here allocates.
  */
final class Row[S <: Side] private[scaladsl] (underlying: io.omomi.Row) {
  private val listed = new Row.Listed

  /** Sets an id field. */
  def update(field: IdField[S], id: Long): Unit = {
    underlying.setId(if (field eq null) null else field.bound, id)
    ()
  }

  /** Sets id fields that were declared `together` to the first elements of `ids`, one for each. */
  def update(fields: IdFields[S], ids: Array[Long]): Unit = setIdFields(fields, ids, 0)

  /** Sets id fields that were declared `together` to the ids from index `first` on, one for each. For many candidates
    * in one array.
    */
  def setIdFields(fields: IdFields[S], ids: Array[Long], first: Int): Unit = {
    underlying.setIdFields(if (fields eq null) null else fields.bound, ids, first)
    ()
  }

  /** Sets a text field. */
  def update(field: TextField[S], text: CharSequence): Unit = {
    underlying.setText(if (field eq null) null else field.bound, text)
    ()
  }

  /** Sets a text field by the value of its text. */
  def update(field: TextField[S], value: TextValue): Unit = {
    underlying.setTextValue(if (field eq null) null else field.bound, value.bits)
    ()
  }

  /** Sets a number field. NaN and numbers out of the field's range are counted and treated as missing. */
  def update(field: NumberField[S], number: Double): Unit = {
    underlying.setNumber(if (field eq null) null else field.bound, number)
    ()
  }

  /** Sets a field of many ids. An empty array is a known value, not a missing one. */
  def update(field: IdsField[S], ids: Array[Long]): Unit = {
    underlying.setIds(if (field eq null) null else field.bound, ids, if (ids == null) 0 else ids.length)
    ()
  }

  /** Sets a field of many texts. */
  def update(field: TextsField[S], texts: Array[String]): Unit = {
    val count = if (texts == null) 0 else texts.length
    underlying.setTexts(if (field eq null) null else field.bound, texts.asInstanceOf[Array[CharSequence]], count)
    ()
  }

  /** Sets a field of many texts. */
  def update(field: TextsField[S], texts: collection.IndexedSeq[String]): Unit = {
    listed.of = texts
    // Clear it afterwards: keeping the list would keep the caller's texts reachable.
    try underlying.setTexts(if (field eq null) null else field.bound, if (texts == null) null else listed)
    finally listed.of = null
    ()
  }

  /** Makes all fields missing again. The candidate still counts as filled. */
  def clear(): Unit = {
    underlying.clear()
    ()
  }

  /** Sets an id field. */
  def update(field: IdField[S], id: Int): Unit = update(field, id.toLong)

  /** Sets a number field. */
  def update(field: NumberField[S], number: Int): Unit = update(field, number.toDouble)

  /** Sets a field to a value of another type: a collection, or an `Option`, of which `None` makes the field missing.
    * Allocates; on a path where that counts, pass arrays, `IndexedSeq`s and plain values.
    *
    * If there is no such value, the compiler says what the field takes.
    */
  def update[F, V](field: F, value: V)(implicit taken: Taken[S, F, V]): Unit = taken.set(this, field, value)

  /** Makes a field missing again. */
  def unset(field: Field[S]): Unit = {
    underlying.unset(if (field eq null) null else field.bound)
    ()
  }
}

/** Evidence that a row of the side `S` takes a `V` for a field of the type `F`. Only this library has instances. */
@implicitNotFound("""a row of the ${S} does not take a ${V} for this ${F}.
An IdField takes a Long, a TextField a String or a TextValue, a NumberField a Double, an IdsField a collection of Long,
a TextsField a collection of String, IdFields an Array[Long]; each field also takes an Option of that.
The row `request.context` takes fields declared with `context`, `request.candidate(i)` those with `candidate`.""")
sealed abstract class Taken[S <: Side, F, -V] {
  private[scaladsl] def set(row: Row[S], field: F, value: V): Unit
}

object Taken {
  private final class By[S <: Side, F, V](how: (Row[S], F, V) => Unit) extends Taken[S, F, V] {
    private[scaladsl] override def set(row: Row[S], field: F, value: V): Unit = how(row, field, value)
  }

  implicit def id[S <: Side]: Taken[S, IdField[S], Long] = new By((row, field, id) => row.update(field, id))

  implicit def smallId[S <: Side]: Taken[S, IdField[S], Int] = new By((row, field, id) => row.update(field, id.toLong))

  implicit def text[S <: Side]: Taken[S, TextField[S], CharSequence] =
    new By((row, field, text) => row.update(field, text))

  implicit def textValue[S <: Side]: Taken[S, TextField[S], TextValue] =
    new By((row, field, value) => row.update(field, value))

  implicit def number[S <: Side]: Taken[S, NumberField[S], Double] =
    new By((row, field, number) => row.update(field, number))

  implicit def wholeNumber[S <: Side]: Taken[S, NumberField[S], Int] =
    new By((row, field, number) => row.update(field, number.toDouble))

  implicit def longNumber[S <: Side]: Taken[S, NumberField[S], Long] =
    new By((row, field, number) => row.update(field, number.toDouble))

  implicit def singleNumber[S <: Side]: Taken[S, NumberField[S], Float] =
    new By((row, field, number) => row.update(field, number.toDouble))

  implicit def idArray[S <: Side]: Taken[S, IdsField[S], Array[Long]] = new By((row, field, ids) => row.update(field, ids))

  implicit def ids[S <: Side]: Taken[S, IdsField[S], collection.Iterable[Long]] =
    new By((row, field, ids) => row.update(field, if (ids == null) null else ids.toArray[Long]))

  implicit def textArray[S <: Side]: Taken[S, TextsField[S], Array[String]] =
    new By((row, field, texts) => row.update(field, texts))

  implicit def texts[S <: Side]: Taken[S, TextsField[S], collection.Iterable[String]] =
    new By((row, field, texts) => row.update(field, if (texts == null) null else texts.toArray[String]))

  /** `None` makes the field missing. */
  implicit def option[S <: Side, F <: Field[S], V](implicit some: Taken[S, F, V]): Taken[S, F, Option[V]] =
    new By((row, field, value) => if (value.isEmpty) row.unset(field) else some.set(row, field, value.get))
}

private object Row {
  /** Presents an indexed sequence to Java. One per row, so that it costs no allocation. */
  final class Listed extends AbstractList[CharSequence] {
    var of: collection.IndexedSeq[String] = _
    override def get(index: Int): CharSequence = of(index)
    override def size: Int = of.length
  }
}
