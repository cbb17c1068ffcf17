"""What must be true of the jars of a release."""

import pathlib
import zipfile

# Versions of class files: of Java 8, and of Java 9 for what only a newer JDK reads.
JAVA_8 = 52
JAVA_9 = 53
FOR_JAVA_9 = "META-INF/versions/9/"


def faults_of_jar(jar: pathlib.Path) -> list[str]:
    """Returns the classes that Java 8 cannot load."""
    faults = []
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.endswith(".class"):
                version = int.from_bytes(archive.read(name)[6:8], "big")
                allowed = JAVA_9 if name.startswith(FOR_JAVA_9) else JAVA_8
                if version > allowed:
                    faults.append(f"{jar.name}: {name} has class file version {version}; at most {allowed} is allowed")
    return faults
