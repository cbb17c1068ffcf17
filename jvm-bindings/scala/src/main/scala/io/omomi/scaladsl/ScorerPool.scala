package io.omomi.scaladsl

import java.util.concurrent.ConcurrentHashMap
import java.util.function.{Function => JavaFunction, Supplier}

/** Lends scorers to threads that are too many for a scorer each: virtual threads, and the threads of asynchronous
  * servers. It opens a scorer only when all open ones are lent, and never more than its capacity. Any number of threads
  * may use one pool.
  *
  * {{{
  * for (pool <- ScorerPool.of(capacity = 8)(Scorer.open(model, layout))) yield pool.use { scorer =>
  *   fill(scorer.request)
  *   scorer.predict()
  *   bestOf(scorer)
  * }
  * }}}
  */
final class ScorerPool[S <: AbstractScorer] private (capacity: Int, open: () => Either[OmomiException, S])
    extends AutoCloseable {
  /** The Scala scorers by their Java scorers, of which the pool has at most its capacity. */
  private val known = new ConcurrentHashMap[io.omomi.AbstractScorer, S]
  private val underlying = io.omomi.ScorerPool.of(
    capacity,
    new Supplier[io.omomi.AbstractScorer] {
      override def get(): io.omomi.AbstractScorer = open() match {
        case Right(scorer) =>
          known.keySet.removeIf(isClosed(_))
          known.put(scorer.javaScorer, scorer)
          scorer.javaScorer
        case Left(refused) => throw refused
      }
    })

  /** Lends a scorer to `body`, and returns what that returns. Waits while all scorers are lent. Throws what opening a
    * scorer refused. `body` must not keep the scorer.
    */
  def use[A](body: S => A): A = underlying.use(new JavaFunction[io.omomi.AbstractScorer, A] {
    override def apply(scorer: io.omomi.AbstractScorer): A = body(known.get(scorer))
  })

  /** Lends a scorer, or nothing if all of them are still lent when `timeoutNanos` have passed. Pass it to `giveBack` in
    * every case.
    */
  def take(timeoutNanos: Long): Option[S] = Option(underlying.take(timeoutNanos)).map(scorer => known.get(scorer))

  /** Takes back a scorer, whose request is cleared. Throws if the scorer still belongs to another thread. */
  def giveBack(scorer: S): Unit = underlying.giveBack(if (scorer == null) null else scorer.javaScorer)

  /** Returns the number of scorers that are open now, lent or not. */
  def openCount: Int = underlying.openCount()

  /** Closes the scorers; those that are lent are closed when they come back. May be called twice. */
  override def close(): Unit = underlying.close()

  private def isClosed(scorer: io.omomi.AbstractScorer): Boolean =
    try {
      scorer.modelCount()
      false
    } catch { case _: OmomiException => true }
}

object ScorerPool {
  /** Creates a pool of up to `capacity` scorers, which `open` opens as they are needed. `Left` unless the capacity is
    * at least 1.
    */
  def of[S <: AbstractScorer](capacity: Int)(open: => Either[OmomiException, S]): Either[OmomiException, ScorerPool[S]] =
    refusable(new ScorerPool[S](capacity, () => open))
}
