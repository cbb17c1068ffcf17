scalaVersion := "2.13.18"
// The last of each line, and an older one: sbt refuses a dependency that needs a newer standard library.
crossScalaVersions := Seq("2.12.21", "2.13.8", "2.13.18", "3.3.7")
@REPOSITORY@
@DEPENDENCY@
// Each program runs on every JDK that the property names.
TaskKey[Unit]("score") := {
  val path = (Runtime / fullClasspath).value.files.mkString(java.io.File.pathSeparator)
  for (home <- sys.props("consumer.jdks").split(",")) {
    println(s"sbt, Scala ${scalaVersion.value}, ${home.split("/").last}:")
    val java = Seq(s"$home/bin/java", "--enable-native-access=ALL-UNNAMED", "-cp", path, "Score")
    if (scala.sys.process.Process(java :+ sys.props("consumer.weight.file")).! != 0) sys.error("the program failed")
  }
}
