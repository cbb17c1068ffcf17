"""Packs what was built: tarballs, wheels, Debian packages and crates. The same content gives the same bytes: entries
are sorted, belong to root, and carry the time of the commit."""

import base64
import gzip
import hashlib
import io
import os
import pathlib
import re
import shutil
import tarfile
import time
import zipfile

import inventory
import native
from addresses import read_addresses
from machine import HERE, SOURCE, ReleaseError, Tools, run
from platforms import Platform

SUMMARY = "Trains, judges and publishes click-through-rate models that omomi serves"


class Tree:
    """The files of a package: path to content and mode, or to the target of a link."""

    def __init__(self):
        self.files: dict[str, tuple[bytes, int]] = {}
        self.links: dict[str, str] = {}

    def add(self, path: str, content: bytes | str | pathlib.Path, *, executable: bool = False) -> None:
        if isinstance(content, pathlib.Path):
            content = content.read_bytes()
        elif isinstance(content, str):
            content = content.encode()
        self.files[path] = (content, 0o755 if executable else 0o644)

    def tar(self, root: str, epoch: int) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for path in sorted([*self.files, *self.links, *self._folders()]):
                entry = tarfile.TarInfo(f"{root}/{path}")
                entry.mtime, entry.uname, entry.gname, entry.mode = epoch, "root", "root", 0o755
                if path in self.links:
                    entry.type, entry.linkname = tarfile.SYMTYPE, self.links[path]
                    archive.addfile(entry)
                elif path in self.files:
                    content, entry.mode = self.files[path]
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
                else:
                    entry.type = tarfile.DIRTYPE
                    archive.addfile(entry)
        return out.getvalue()

    def _folders(self) -> set[str]:
        paths = [*self.files, *self.links]
        return {str(parent) for path in paths for parent in pathlib.PurePosixPath(path).parents} - {"."}

    def write_tar_gz(self, target: pathlib.Path, epoch: int) -> None:
        """The folder in the tarball has the name of the tarball."""
        with target.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=epoch) as compressed:
            compressed.write(self.tar(target.name.removesuffix(".tar.gz"), epoch))

    def write_folder(self, folder: pathlib.Path, epoch: int) -> None:
        for path, (content, mode) in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            (folder / path).chmod(mode)
            os.utime(folder / path, (epoch, epoch))


def fill(template: str, values: dict[str, str]) -> str:
    """Replaces each `@name@` of a file in `c` by its value."""
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], (HERE / "c" / template).read_text())


def c_tree(platform: Platform, version: str, shared: pathlib.Path, static: pathlib.Path, notices: str) -> Tree:
    """The package for C and C++: header, libraries, and what pkg-config and CMake need to find them."""
    tree = Tree()
    shared_name, *link_names = platform.library_names(version, native.abi_version())
    tree.add("include/omomi.h", SOURCE / "include/omomi.h")
    tree.add(f"lib/{shared_name}", shared, executable=True)
    previous = shared_name
    for name in link_names:
        tree.links[f"lib/{name}"] = previous
        previous = name
    tree.add("lib/libomomi.a", static)
    system = platform.static_libraries_of_system
    for name, libraries in (
        ("omomi", ["-L${libdir}", "-lomomi"]),
        ("omomi-static", ["${libdir}/libomomi.a", *(f"-l{library}" for library in system)]),
    ):
        values = {"version": version, "libs": " ".join(libraries)}
        tree.add(f"lib/pkgconfig/{name}.pc", fill("omomi.pc.in", values))
    major, minor = version.split(".")[:2]
    values = {
        **{"version": version, "major": major, "minor": minor, "shared_library": shared_name},
        **{"soname": f"@rpath/{link_names[0]}" if platform.is_macos else link_names[0]},
        "system_libraries": ";".join(system),
    }
    for name in ("omomiConfig.cmake", "omomiConfigVersion.cmake"):
        tree.add(f"lib/cmake/omomi/{name}", fill(f"{name}.in", values))
    tree.add("share/doc/omomi/LICENSE", SOURCE / "LICENSE")
    tree.add("share/doc/omomi/THIRD-PARTY-NOTICES.txt", notices)
    for name in ("score_one_file.c", "generated_ctr.h", "generated-ctr.omomi"):
        tree.add(f"share/doc/omomi/examples/{name}", SOURCE / "examples" / name)
    return tree


def cli_tree(command: pathlib.Path, pages: pathlib.Path, notices: str) -> Tree:
    """The package of the command: the program, its manual, completions for three shells."""
    tree = Tree()
    tree.add("bin/omomi", command, executable=True)
    for page in sorted((pages / "man1").iterdir()):
        tree.add(f"share/man/man1/{page.name}", page)
    tree.add("share/bash-completion/completions/omomi", pages / "omomi.bash")
    tree.add("share/zsh/site-functions/_omomi", pages / "_omomi")
    tree.add("share/fish/vendor_completions.d/omomi.fish", pages / "omomi.fish")
    tree.add("share/doc/omomi/LICENSE", SOURCE / "LICENSE")
    tree.add("share/doc/omomi/THIRD-PARTY-NOTICES.txt", notices)
    return tree


def write_wheel(target: pathlib.Path, version: str, tree: Tree, epoch: int) -> None:
    """Writes a wheel that puts the program on the path and its manual beside it. It contains no Python."""
    info = f"omomi-{version}.dist-info"
    addresses = read_addresses()
    metadata = (
        f"Metadata-Version: 2.4\nName: omomi\nVersion: {version}\nSummary: {SUMMARY}\nLicense-Expression: Apache-2.0\n"
        f"Project-URL: Homepage, {addresses.homepage}\nProject-URL: Repository, {addresses.repository}\n"
        f"Maintainer-email: {addresses.maintainer}\n"
        "License-File: LICENSE\nLicense-File: THIRD-PARTY-NOTICES.txt\nKeywords: ctr,ads,training\n"
        f"Description-Content-Type: text/markdown\n\n{(SOURCE / 'README.md').read_text()}"
    )
    tags = target.name.removesuffix(".whl").removeprefix(f"omomi-{version}-")
    python, abi, platforms = tags.split("-")
    wheel = "Wheel-Version: 1.0\nGenerator: omomi\nRoot-Is-Purelib: false\n"
    wheel += "".join(f"Tag: {python}-{abi}-{name}\n" for name in platforms.split("."))
    packed = Tree()
    for path, (content, mode) in tree.files.items():
        if path.startswith("bin/"):
            path = f"omomi-{version}.data/scripts/{path.removeprefix('bin/')}"
        elif path.startswith("share/doc/"):
            path = f"{info}/licenses/{path.rsplit('/', 1)[1]}"
        else:
            path = f"omomi-{version}.data/data/{path}"
        packed.files[path] = (content, mode)
    packed.add(f"{info}/METADATA", metadata)
    packed.add(f"{info}/WHEEL", wheel)
    lines = []
    for path, (content, _) in sorted(packed.files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}\n")
    packed.add(f"{info}/RECORD", "".join([*lines, f"{info}/RECORD,,\n"]))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, (content, mode) in sorted(packed.files.items()):
            entry = zipfile.ZipInfo(path, time.gmtime(epoch)[:6])
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def write_debian_package(
    target: pathlib.Path, platform: Platform, version: str, tree: Tree, epoch: int, scratch: pathlib.Path
) -> None:
    """Writes a package for Debian and its relatives, with dpkg-deb."""
    if shutil.which("dpkg-deb") is None:
        raise ReleaseError("dpkg-deb was not found; install dpkg")
    shutil.rmtree(scratch, ignore_errors=True)
    installed = Tree()
    for path, (content, mode) in tree.files.items():
        if path.startswith("share/zsh/site-functions"):
            path = path.replace("site-functions", "vendor-completions")
        elif path.startswith("share/man/"):
            path, content = f"{path}.gz", gzip.compress(content, 9, mtime=0)
        installed.files[f"usr/{path}"] = (content, mode)
    size_kib = sum(len(content) + 1023 for content, _ in installed.files.values()) // 1024
    installed.add("usr/share/doc/omomi/copyright", SOURCE / "LICENSE")
    installed.add(
        "DEBIAN/control",
        f"Package: omomi\nVersion: {version}\nArchitecture: {platform.debian_architecture}\nSection: science\n"
        f"Priority: optional\nInstalled-Size: {size_kib}\nDepends: libc6 (>= {platform.glibc})\n"
        f"Maintainer: {read_addresses().maintainer}\nHomepage: {read_addresses().homepage}\nDescription: {SUMMARY}\n",
    )
    installed.write_folder(scratch, epoch)
    for folder in sorted((path for path in scratch.rglob("*") if path.is_dir()), reverse=True):
        folder.chmod(0o755)
        os.utime(folder, (epoch, epoch))
    env = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    run(["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", scratch, target], env=env)


def write_crates(target: pathlib.Path, version: str, tools: Tools, target_folder: pathlib.Path, dirty: bool) -> None:
    """Packs the crates as cargo publishes them. They are not built from the package here; the tests of consumers do."""
    allow = ["--allow-dirty"] if dirty else []
    env = tools.env | {"CARGO_TARGET_DIR": str(target_folder)}
    run(["cargo", "package", "--workspace", "--locked", "--no-verify", *allow], env=env)
    for crate in ("omomi", "omomi-train", "omomi-cli"):
        name = f"{crate}-{version}.crate"
        shutil.copyfile(target_folder / "package" / name, target / name)


def write_c_package(folder: pathlib.Path, platform: Platform, version: str, tree: Tree, epoch: int) -> None:
    tree.write_tar_gz(folder / inventory.c_package(version, platform), epoch)


def write_cli_packages(
    folder: pathlib.Path, platform: Platform, version: str, tree: Tree, epoch: int, scratch: pathlib.Path
) -> None:
    tree.write_tar_gz(folder / inventory.cli_package(version, platform), epoch)
    write_wheel(folder / inventory.wheel(version, platform), version, tree, epoch)
    if platform.debian_architecture:
        target = folder / inventory.debian_package(version, platform)
        write_debian_package(target, platform, version, tree, epoch, scratch)
