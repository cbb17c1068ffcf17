"""Builds the libraries and the command for one platform, and checks what came out."""

import pathlib
import re
import subprocess

from machine import SOURCE, ReleaseError, Tools, read, run
from platforms import Platform


class Builder:
    """Builds with the same flags on every machine, so that the same commit gives the same bytes."""

    def __init__(self, tools: Tools, target_folder: pathlib.Path, registry_folders: list[pathlib.Path], epoch: int):
        self.tools = tools
        self.target_folder = target_folder
        # What binaries show of the machine, and what they show instead.
        self.hidden_paths = {SOURCE: "/omomi", target_folder: "/target"}
        for folder in registry_folders:
            self.hidden_paths[folder] = "/crates"
        if tools.standard_library_source:
            self.hidden_paths[tools.standard_library_source] = "/rust"
        self.epoch = epoch

    def _env(self, platform: Platform, *, static: bool, builds_std: bool) -> dict:
        flags = [f"--remap-path-prefix={path}={shown}" for path, shown in self.hidden_paths.items()]
        if platform.is_musl:
            flags.append(f"-Ctarget-feature={'+' if static else '-'}crt-static")
        c_flags = [f"-ffile-prefix-map={path}={shown}" for path, shown in self.hidden_paths.items()]
        env = self.tools.env | {
            "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
            "CARGO_TARGET_DIR": str(self.target_folder),
            "CARGO_INCREMENTAL": "0",
            "CFLAGS": " ".join(c_flags),
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "ZERO_AR_DATE": "1",
        }
        if builds_std:
            env["RUSTC_BOOTSTRAP"] = "1"
        if platform.is_macos:
            # The linker signs the library, and macOS loads no library that was changed after that.
            env["CARGO_PROFILE_DIST_STRIP"] = "none"
        return env

    def _cargo(
        self, subcommand: str, platform: Platform, arguments: list[str], last: list[str], *, static: bool
    ) -> None:
        builds_std = not self.tools.has_standard_library(platform)
        if builds_std and self.tools.standard_library_source is None:
            raise ReleaseError(
                f"the compiler has no standard library for {platform.triple}, and no source to build it from; "
                f"add the target, or let the release use Debian's compiler (--compiler debian)"
            )
        std = ["-Zbuild-std=std,panic_unwind"] if builds_std else []
        command = ["cargo-zigbuild", subcommand, "--locked", "--target", platform.zig_target, *arguments, *std, *last]
        run(command, env=self._env(platform, static=static, builds_std=builds_std))

    def libraries(self, platform: Platform, version: str) -> tuple[pathlib.Path, pathlib.Path]:
        """Builds the shared library and the static library, and returns their paths."""
        name = platform.library_names(version, abi_version())[1]
        link = f"-Wl,-install_name,@rpath/{name}" if platform.is_macos else f"-Wl,-soname,{name}"
        # With `rlib` among the types, the compiler would leave out the optimization of the whole program.
        types = ["--profile", "dist", "--package", "omomi", "--lib", "--crate-type", "cdylib,staticlib"]
        self._cargo("rustc", platform, types, ["--", f"-Clink-arg={link}"], static=False)
        folder = self.target_folder / platform.triple / "dist"
        return folder / platform.built_library, folder / "libomomi.a"

    def command(self, platform: Platform) -> pathlib.Path:
        """Builds the command, and returns its path."""
        self._cargo("build", platform, ["--profile", "dist-cli", "--package", "omomi-cli"], [], static=True)
        return self.target_folder / platform.triple / "dist-cli" / "omomi"

    def _run(self, command: list, **options) -> None:
        run(command, env=self.tools.env, **options)

    def one_object(self, platform: Platform, static_library: pathlib.Path, names: list[str]) -> pathlib.Path:
        """Makes of a Rust static library one with a single object, in which only `names` are visible to other
        objects, and none to other libraries: two Rust libraries in one program do not collide, and a shared library
        that contains this one exports nothing of it."""
        folder = self.target_folder / platform.triple / "static"
        folder.mkdir(parents=True, exist_ok=True)
        objcopy = self.tools.find("llvm-objcopy")
        prefix = "_" if platform.is_macos else ""
        (folder / "visible").write_text("".join(f"{prefix}{name}\n" for name in names))
        keep = [f"--keep-global-symbols={folder / 'visible'}"]
        if platform.is_macos:
            # There is no linker here that joins objects for macOS. The members are the program, which the compiler
            # joined, and functions of the compiler, which are hidden already.
            objects = self._members_of(static_library, folder)
            for member in objects:
                self._run([objcopy, "--strip-debug", *(keep if "omomi" in member.name else []), member])
        else:
            joined = folder / "omomi.o"
            (folder / "wanted").write_text("".join(f"--undefined={name}\n" for name in names))
            linker = [self.tools.folder / "venv/bin/python", *"-m ziglang ld.lld -r --force-group-allocation".split()]
            self._run([*linker, "-o", joined, f"@{folder / 'wanted'}", static_library])
            self._run([objcopy, *keep, joined])
            (folder / "hidden").write_text("".join(f"{name}\n" for name in names))
            hidden = [f"--set-symbols-visibility={folder / 'hidden'}=hidden", "--strip-unneeded"]
            # Code for LLVM's own linker, which other linkers may take for the object itself.
            bitcode = ["--remove-section=.llvmbc", "--remove-section=.llvmcmd"]
            self._run([objcopy, *hidden, *bitcode, joined])
            objects = [joined]
        library = folder / "libomomi.a"
        library.unlink(missing_ok=True)
        self._run([self.tools.find("llvm-ar"), "rcsD", library, *objects])
        return library

    def _members_of(self, static_library: pathlib.Path, folder: pathlib.Path) -> list[pathlib.Path]:
        members = folder / "members"
        members.mkdir(exist_ok=True)
        for old in members.iterdir():
            old.unlink()
        archiver = self.tools.find("llvm-ar")
        self._run([archiver, "x", static_library], cwd=members)
        return sorted(members.iterdir())

    # What must be true of every binary. A release with one that breaks a rule is refused.

    def check_library(self, platform: Platform, library: pathlib.Path, names: list[str]) -> str:
        """Returns what the shared library needs, for the table of the release."""
        exported = self._exported(platform, library)
        if exported != set(names):
            raise ReleaseError(
                f"{library}: missing: {sorted(set(names) - exported)}, exported but not listed: "
                f"{sorted(exported - set(names))}; the list is tests/c/exported_symbols.txt"
            )
        return self.check_binary(platform, library)

    def check_binary(self, platform: Platform, binary: pathlib.Path) -> str:
        self.check_paths(binary)
        if platform.is_macos:
            used = read([self.tools.find("llvm-objdump"), "--macho", "--dylibs-used", binary], env=self.tools.env)
            needed = re.findall(r"^\t(\S+) \(compat", used, re.MULTILINE)
            needed = [library for library in needed if not library.startswith("@rpath/libomomi")]
        else:
            needed = re.findall(r"\(NEEDED\).*\[(.*)\]", self._readelf("-d", binary))
        refused = [library for library in needed if not platform.may_need(library)]
        if refused:
            raise ReleaseError(f"{binary} needs {', '.join(refused)}; only the C library is allowed")
        text = ", ".join(needed) or "nothing"
        if platform.glibc:
            versions = {
                tuple(map(int, found.split(".")))
                for found in re.findall(r"GLIBC_(\d+(?:\.\d+)+)", self._readelf("-V", binary))
            }
            newest = max(versions)
            if newest > tuple(map(int, platform.glibc.split("."))):
                raise ReleaseError(
                    f"{binary} needs glibc {'.'.join(map(str, newest))}; at most {platform.glibc} is allowed"
                )
            text += f"; symbols of glibc up to {'.'.join(map(str, newest))}"
        return text

    def check_paths(self, binary: pathlib.Path) -> None:
        """Refuses a binary that shows a path of this machine."""
        content = binary.read_bytes()
        secret = {str(path) for path in [*self.hidden_paths, self.tools.folder, pathlib.Path.home()]}
        for path in sorted(secret - {"/"}):
            at = content.find(path.encode() + b"/")
            if at >= 0:
                shown = content[at : at + 200].split(b"\0")[0].decode(errors="replace")
                raise ReleaseError(f"{binary} shows a path of the machine that built it: {shown}")

    def _exported(self, platform: Platform, library: pathlib.Path) -> set[str]:
        command = [self.tools.find("llvm-nm"), "--defined-only", "--extern-only", "--just-symbol-name"]
        command += [] if platform.is_macos else ["--dynamic"]
        names = read([*command, library], env=self.tools.env).split()
        return {name.removeprefix("_") if platform.is_macos else name for name in names}

    def _readelf(self, option: str, binary: pathlib.Path) -> str:
        done = subprocess.run(
            [self.tools.find("llvm-readelf"), "--wide", option, binary],
            env=self.tools.env,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def registry_folders(metadata: dict) -> list[pathlib.Path]:
    """The folders in which cargo keeps the sources of the dependencies."""
    manifests = [pathlib.Path(package["manifest_path"]) for package in metadata["packages"] if package["source"]]
    return sorted({manifest.parent.parent for manifest in manifests})


def abi_version() -> str:
    """The version of the C ABI, as the header has it."""
    header = (SOURCE / "include/omomi.h").read_text()
    return re.search(r"^#define OMOMI_ABI_VERSION (\d+)$", header, re.MULTILINE)[1]


def exported_names() -> list[str]:
    """The names that the shared library exports: of the header, and of the JVM bindings."""
    lines = (SOURCE / "tests/c/exported_symbols.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def names_of_header(names: list[str]) -> list[str]:
    return [name for name in names if name.startswith("omomi_")]
