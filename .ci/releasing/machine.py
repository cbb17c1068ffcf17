"""What a build needs of the machine: commands, tools from registries, and a compiler. Nothing is installed: tools go
into a folder of their own."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

from platforms import Platform

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent

# From Debian: compiler, standard libraries of both processors, their source, and LLVM's tools with what these link.
DEBIAN_LLVM = "llvm-22 libllvm22".split()
DEBIAN_COMPILER = """
    rustc-web cargo-web rust-web-src libstd-rust-web-1.96 libstd-rust-web-dev libstd-rust-web-dev:arm64
    libgit2-1.5 libhttp-parser2.9 libmbedtls14 libmbedx509-1 libmbedcrypto7 libssh2-1
""".split()


class ReleaseError(Exception):
    """Ends the release. The message says what is wrong and what to do."""

    exit_code = 1


class ToolsError(ReleaseError):
    """The tools of a release cannot be had. Another try may succeed, so the exit code is that of the network."""

    exit_code = 75


def say(line: str) -> None:
    print(line, flush=True)


def step(title: str) -> None:
    say(f"\n== {title} ({time.strftime('%T')})")


def run(command: list, *, env: dict | None = None, cwd: pathlib.Path = SOURCE) -> None:
    """Runs a command; what it prints is shown."""
    status = subprocess.run([str(part) for part in command], env=env, cwd=cwd, stdin=subprocess.DEVNULL).returncode
    if status != 0:
        raise ReleaseError(f"{' '.join(map(str, command))}: exit code {status}; its messages are above")


def read(command: list, *, env: dict | None = None, cwd: pathlib.Path = SOURCE) -> str:
    """Runs a command and returns its standard output."""
    done = subprocess.run([str(part) for part in command], env=env, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def source_date_epoch() -> int:
    """The time that all files of a release carry: that of the commit, in seconds since 1970."""
    from_environment = os.environ.get("SOURCE_DATE_EPOCH")
    return int(from_environment or read(["git", "log", "-1", "--format=%ct"]))


class Tools:
    """Tools in a folder that is kept between releases: zig and cargo-zigbuild from PyPI, LLVM's tools and, where the
    compiler on the path has too few targets, Debian's compiler."""

    def __init__(self, folder: pathlib.Path, platforms: list[Platform], compiler: str):
        self.folder = folder
        self.debian = folder / "debian"
        try:
            self._install_from_pypi()
        except ReleaseError as error:
            raise ToolsError(f"PyPI has no tools: {error}") from error
        host = host_compiler_has(platforms)
        self.uses_debian_compiler = compiler == "debian" or (compiler == "auto" and not host and self._has_apt())
        self._unpack_from_debian(DEBIAN_LLVM + (DEBIAN_COMPILER if self.uses_debian_compiler else []))
        self.env = self._environment()
        self.sysroot = pathlib.Path(read(["rustc", "--print", "sysroot"], env=self.env).strip())
        self.compiler_version = read(["rustc", "--version"], env=self.env).strip()

    def _install_from_pypi(self) -> None:
        wanted = (HERE / "requirements.txt").read_text()
        done = self.folder / "venv" / "requirements.txt"
        if done.is_file() and done.read_text() == wanted:
            return
        run([sys.executable, "-m", "venv", "--clear", self.folder / "venv"])
        install = "install --quiet --disable-pip-version-check --requirement".split()
        run([self.folder / "venv/bin/pip", *install, HERE / "requirements.txt"])
        done.write_text(wanted)

    @staticmethod
    def _has_apt() -> bool:
        """Whether Debian's packages can be had. Those for this processor are meant, and only x86-64 is tried."""
        return os.uname().machine == "x86_64" and None not in (shutil.which("apt-get"), shutil.which("dpkg"))

    def _unpack_from_debian(self, packages: list[str]) -> None:
        done = self.debian / "unpacked"
        if done.is_file() and set(packages) <= set(done.read_text().split()):
            return
        if self._has_apt():
            try:
                unpack_from_debian(packages, self.debian)
            except ReleaseError as error:
                raise ToolsError(f"Debian has no tools: {error}") from error
            done.write_text("\n".join(packages))

    def _environment(self) -> dict:
        env = dict(os.environ)
        path = [str(self.folder / "venv/bin")]
        if self.debian.is_dir():
            path.append(str(self.debian / "usr/lib/llvm-22/bin"))
            libraries = str(self.debian / "usr/lib/x86_64-linux-gnu")
            env["LD_LIBRARY_PATH"] = ":".join(filter(None, [libraries, env.get("LD_LIBRARY_PATH")]))
        if self.uses_debian_compiler:
            path.insert(0, str(self.debian / "usr/bin"))
        env["PATH"] = ":".join([*path, env["PATH"]])
        for name in ("CARGO", "RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"):
            env.pop(name, None)
        if self.uses_debian_compiler:
            env["RUSTC"] = str(self.debian / "usr/bin/rustc")
        return env

    def has_standard_library(self, platform: Platform) -> bool:
        return any((self.sysroot / "lib/rustlib" / platform.triple / "lib").glob("libstd-*.rlib"))

    @property
    def standard_library_source(self) -> pathlib.Path | None:
        source = self.sysroot / "lib/rustlib/src/rust"
        return source if (source / "library/std").is_dir() else None

    def find(self, command: str) -> str:
        found = shutil.which(command, path=self.env["PATH"])
        if found is None:
            raise ToolsError(f"{command} was not found; install LLVM 19 or newer, or use a Debian system, which has it")
        return found


def unpack_from_debian(packages: list[str], folder: pathlib.Path) -> None:
    """Unpacks packages of both processors without installing them. apt gets lists and a cache of its own, because the
    machine's own may know one processor only."""
    state = folder.with_name(f"{folder.name}-packages")
    for part in (state / "lists/partial", state / "cache/archives/partial", state / "packages"):
        part.mkdir(parents=True, exist_ok=True)
    options = [
        *("-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=arm64", "-o", "APT::Sandbox::User=root"),
        *("-o", f"Dir::State::Lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"),
    ]
    run(["apt-get", *options, "--quiet=2", "update"])
    run(["apt-get", *options, "--quiet=2", "download", *packages], cwd=state / "packages")
    for package in sorted((state / "packages").glob("*.deb")):
        run(["dpkg", "--extract", package, folder])
    shutil.rmtree(state)


def host_compiler_has(platforms: list[Platform]) -> bool:
    """Whether the compiler on the path has the standard library of all platforms."""
    if shutil.which("rustc") is None:
        return False
    for platform in platforms:
        folder = pathlib.Path(read(["rustc", "--print", "target-libdir", "--target", platform.triple]).strip())
        if not any(folder.glob("libstd-*.rlib")):
            return False
    return True
