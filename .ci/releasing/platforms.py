"""The platforms of a release: how cargo, a wheel and a Debian package call them, and what their libraries may need."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Platform:
    """One row of the table in docs/release.md."""

    name: str  # in file names of the release and in the jars
    triple: str  # the target of the compiler
    wheel_tag: str
    glibc: str | None = None  # the oldest glibc on which the binaries run
    debian_architecture: str | None = None
    # Why a release has no command for this platform, if it has none.
    without_command: str | None = None

    @property
    def is_macos(self) -> bool:
        return self.name.startswith("macos-")

    @property
    def is_musl(self) -> bool:
        return self.name.endswith("-musl")

    @property
    def zig_target(self) -> str:
        """The target as cargo-zigbuild takes it: with the version of glibc."""
        return f"{self.triple}.{self.glibc}" if self.glibc else self.triple

    @property
    def built_library(self) -> str:
        """The file name that the compiler gives to the shared library, and under which the JVM loads it."""
        return "libomomi.dylib" if self.is_macos else "libomomi.so"

    def library_names(self, version: str, abi: str) -> list[str]:
        """The shared library's file name, then the links to it: the name that programs ask for, whose number is the
        version of the C ABI, and the name without a number, which compilers look for."""
        if self.is_macos:
            return [f"libomomi.{version}.dylib", f"libomomi.{abi}.dylib", "libomomi.dylib"]
        return [f"libomomi.so.{version}", f"libomomi.so.{abi}", "libomomi.so"]

    @property
    def static_libraries_of_system(self) -> list[str]:
        """What a program links besides the static library."""
        return [] if self.is_macos else ["pthread", "dl", "m"]

    def may_need(self, library: str) -> bool:
        """Whether a binary may depend on this shared library: the C library and its parts, and nothing else."""
        if self.is_macos:
            return library == "/usr/lib/libSystem.B.dylib"
        if self.is_musl:
            return library == "libc.so"
        return (
            re.fullmatch(r"lib(c|m)\.so\.6|lib(dl|rt)\.so\.2|lib(pthread|rt)\.so\.[01]|ld-linux.*", library) is not None
        )


PLATFORMS = [
    Platform("linux-x86_64", "x86_64-unknown-linux-gnu", "manylinux_2_17_x86_64.manylinux2014_x86_64", "2.17", "amd64"),
    Platform(
        "linux-aarch64", "aarch64-unknown-linux-gnu", "manylinux_2_17_aarch64.manylinux2014_aarch64", "2.17", "arm64"
    ),
    Platform("linux-x86_64-musl", "x86_64-unknown-linux-musl", "musllinux_1_1_x86_64"),
    Platform("linux-aarch64-musl", "aarch64-unknown-linux-musl", "musllinux_1_1_aarch64"),
    Platform(
        "macos-aarch64",
        "aarch64-apple-darwin",
        "macosx_11_0_arm64",
        without_command="it calls a framework of macOS, and to link it takes Apple's SDK",
    ),
]
