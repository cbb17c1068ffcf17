package io.omomi.adserver

import java.nio.file.{Files, Path}
import java.nio.file.attribute.FileTime

import io.omomi.scaladsl._
import org.junit.jupiter.api.Assertions.{assertEquals, assertTrue}
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The creatives: which may be shown where, and how a new file takes effect. */
class CatalogTest {
  private val some = MakeCreatives.creatives(3000, 2L, World.NOW).toVector

  private def selected(index: CreativeIndex, place: String, device: Option[String], region: Option[String], most: Int) = {
    val into = new Array[Placed](most)
    val count = index.select(place, device, region, 17, into)
    into.take(count).map(_.creative)
  }

  @Test
  def a_selection_has_each_creative_that_fits_and_no_other(): Unit = {
    val index = new CreativeIndex(World.place(some))
    for {
      place <- Seq("300x250", "970x250", "video", "native", "1x1")
      device <- None +: (Words.devices :+ "watch").map(Option(_))
      region <- Seq(None, Some("東京都"), Some("沖縄県"), Some("California"))
    } {
      val expected = some.filter { creative =>
        (if (creative.kind == Kind.BANNER) creative.sizes.contains(place) else creative.kind == place) &&
        (creative.devices.isEmpty || device.exists(creative.devices.contains(_))) &&
        (creative.regions.isEmpty || region.exists(creative.regions.contains(_)))
      }
      val found = selected(index, place, device, region, 5000)
      assertEquals(expected.map(_.id).toSet, found.map(_.id).toSet, s"$place $device $region")
      assertEquals(expected.length, found.length)
      assertEquals(math.min(7, expected.length), selected(index, place, device, region, 7).length)
    }
  }

  @Test
  def a_file_is_read_as_it_was_written_and_a_bad_line_is_named(@TempDir folder: Path): Unit = {
    val file = folder.resolve("creatives.jsonl")
    Creative.write(some.iterator, file)
    assertEquals(Right(some), Creative.read(file).map(_.toVector))
    val lines = Files.readAllLines(file)
    for ((line, expected) <- Seq(lines.get(0) -> "twice", "{}" -> "missing required field", "" -> "unexpected end",
        lines.get(5).replaceAll("\"cpcMicros\":[0-9]+", "\"cpcMicros\":0") -> "cpcMicros",
        lines.get(5).replaceAll("\"observedCtr\":[0-9.]+", "\"observedCtr\":1.5") -> "observedCtr")) {
      val bad = new java.util.ArrayList(lines)
      bad.set(5, line)
      Files.write(file, bad)
      val wrong = Creative.read(file).swap.getOrElse("")
      assertTrue(wrong.contains("line 6: ") && wrong.contains(expected), wrong)
    }
  }

  @Test
  def a_new_file_replaces_the_creatives_and_a_bad_one_changes_nothing(@TempDir folder: Path): Unit = {
    val file = folder.resolve("creatives.jsonl")
    val set = CandidateSet.openOrThrow(GeneratedCtr, capacity = 6000, valuesPerField = 0)
    val catalog = new Catalog(file, set)
    var time = 1000L
    def put(creatives: Seq[Creative]): Unit = {
      Creative.write(creatives.iterator, file)
      time += 1000
      Files.setLastModifiedTime(file, FileTime.fromMillis(time))
      ()
    }
    assertTrue(catalog.refresh(World.NOW).isLeft)
    put(some)
    assertEquals(Right(3000), catalog.refresh(World.NOW))
    assertEquals(Right(0), catalog.refresh(World.NOW))
    val before = catalog.index

    Files.write(file, "{".getBytes)
    assertTrue(catalog.refresh(World.NOW).isLeft)
    assertTrue(catalog.index eq before)

    // A thousand are gone, one has another price, one is new.
    val next = some.drop(1000).updated(0, some(1000).copy(cpcMicros = 7L)) :+ some.head.copy(id = 9999L)
    put(next)
    assertEquals(Right(1002), catalog.refresh(World.NOW))
    assertEquals(2001, catalog.index.count)
    assertEquals(Some(7L), catalog.index.creative(1000L).map(_.cpcMicros))
    assertEquals(None, catalog.index.creative(3L))
    // Requests that began before may name the rows that are gone until the next look.
    assertEquals(3002, set.count)
    assertEquals(Right(0), catalog.refresh(World.NOW))
    assertEquals(2001, set.count)

    // An hour later, each has another age.
    assertEquals(Right(2001), catalog.refresh(World.NOW + 3600000L))
    put(some ++ some.map(creative => creative.copy(id = creative.id + 100000L)))
    assertTrue(catalog.refresh(World.NOW).swap.exists(_.contains("room for 3000")))
    set.close()
  }
}
