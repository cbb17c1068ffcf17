"""What is inside: the crates of an artifact, their notices, the bill of materials, the checksums, and the gate."""

import hashlib
import json
import pathlib
import re
import time
import tomllib
import uuid

import jars
from machine import SOURCE, ReleaseError, Tools, read
from platforms import PLATFORMS, Platform

SUMS = "SHA256SUMS"
# What Maven Central asks a signature for.
SIGNED = (".jar", ".pom")
# Platforms without a library, and without a command.
MISSING = "MISSING"
MISSING_COMMANDS = "MISSING-COMMANDS"
# Names of files in which a crate keeps its license, and what it wants to be shown with it.
NOTICE = re.compile(r"(licen[sc]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def metadata_of(platform: Platform | None = None) -> dict:
    """Returns what cargo knows of all packages, or of those that one platform uses."""
    filtered = ["--filter-platform", platform.triple] if platform else []
    return json.loads(read(["cargo", "metadata", "--locked", "--format-version", "1", *filtered]))


class Crates:
    """The crates that are linked into a package's artifacts, on any platform of the release."""

    def __init__(self, root: str, all_metadata: list[dict]):
        self.packages: dict[str, dict] = {}
        self.edges: dict[str, set[str]] = {}
        for metadata in all_metadata:
            packages = {package["id"]: package for package in metadata["packages"]}
            nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
            self.root = next(id for id in metadata["workspace_members"] if packages[id]["name"] == root)
            pending = [self.root]
            seen = set()
            while pending:
                id = pending.pop()
                if id in seen:
                    continue
                seen.add(id)
                linked = {
                    edge["pkg"]
                    for edge in nodes[id]["deps"]
                    if any(kind["kind"] is None for kind in edge["dep_kinds"]) and not is_macro(packages[edge["pkg"]])
                }
                self.packages[id] = packages[id]
                self.edges.setdefault(id, set()).update(linked)
                pending.extend(linked)

    def third_party(self) -> list[dict]:
        foreign = [package for package in self.packages.values() if package["source"]]
        return sorted(foreign, key=lambda package: (package["name"], package["version"]))


def is_macro(package: dict) -> bool:
    """Macros run in the compiler; nothing of them is linked."""
    return any("proc-macro" in target["kind"] for target in package["targets"])


def notices(crates: Crates, tools: Tools) -> str:
    """Returns the licenses and notices of everything that is linked in."""
    parts = ["Notices of the software that is part of omomi's binaries.\n"]

    def add(title: str, texts: list[str]) -> None:
        parts.append(f"{'=' * 100}\n{title}\n{'=' * 100}\n")
        parts.extend(text.strip() + "\n" for text in texts)

    for package in crates.third_party():
        folder = pathlib.Path(package["manifest_path"]).parent
        files = sorted(path for path in folder.iterdir() if path.is_file() and NOTICE.match(path.name))
        title = f"{package['name']} {package['version']}, license: {package['license']}"
        if package["authors"]:
            title += f"\nby {', '.join(package['authors'])}"
        add(title, [path.read_text(errors="replace") for path in files])
    add(f"The Rust standard library, of {tools.compiler_version}", [standard_library_notice(tools)])
    zig = next((tools.folder / "venv").glob("lib/python*/site-packages/ziglang"))
    add("LLVM libunwind, license: Apache-2.0 WITH LLVM-exception", [(zig / "lib/libunwind/LICENSE.TXT").read_text()])
    add("musl, in the command for musl, license: MIT", [(zig / "lib/libc/musl/COPYRIGHT").read_text(errors="replace")])
    return "\n".join(parts)


def standard_library_notice(tools: Tools) -> str:
    for path in ("share/doc/rust/COPYRIGHT-library.html", "share/doc/libstd-rust-web-dev/copyright"):
        if (tools.sysroot / path).is_file():
            text = (tools.sysroot / path).read_text(errors="replace")
            return re.sub(r"\n\s*\n+", "\n\n", re.sub(r"<[^>]+>", "", text)) if path.endswith("html") else text
    raise ReleaseError(f"{tools.sysroot}/share/doc has no notices of the Rust standard library; install rust-docs")


def bill_of_materials(crates: Crates, tools: Tools, version: str, epoch: int) -> str:
    """Returns a bill of materials in CycloneDX 1.5 (JSON)."""
    lock = tomllib.loads((SOURCE / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}

    def reference(package: dict) -> str:
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(package: dict) -> dict:
        found = {
            "type": "library",
            "bom-ref": reference(package),
            "name": package["name"],
            "version": package["version"],
            "purl": reference(package),
            # Old manifests separate alternatives by a slash.
            "licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}],
        }
        checksum = checksums[package["name"], package["version"]]
        if checksum:
            found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return found

    root = crates.packages[crates.root]
    others = sorted(
        (p for id, p in crates.packages.items() if id != crates.root), key=lambda p: (p["name"], p["version"])
    )
    std_version = tools.compiler_version.split()[1]
    std = {
        "type": "library",
        "bom-ref": "rust-std",
        "name": "rust-std",
        "version": std_version,
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }
    edges = {
        reference(crates.packages[id]): sorted(reference(crates.packages[to]) for to in crates.edges[id])
        for id in crates.packages
    }
    edges[reference(root)].append("rust-std")
    components = [component(package) for package in others] + [std]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([reference(root), components]))}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "component": component(root) | {"type": "application" if root["name"] == "omomi-cli" else "library"},
        },
        "components": components,
        "dependencies": [{"ref": name, "dependsOn": edges[name]} for name in sorted(edges)],
    }
    return json.dumps(content, indent=1) + "\n"


# Names of what a release consists of.


def c_package(version: str, platform: Platform) -> str:
    return f"omomi-{version}-c-{platform.name}.tar.gz"


def cli_package(version: str, platform: Platform) -> str:
    return f"omomi-{version}-cli-{platform.name}.tar.gz"


def wheel(version: str, platform: Platform) -> str:
    return f"omomi-{version}-py3-none-{platform.wheel_tag}.whl"


def debian_package(version: str, platform: Platform) -> str:
    return f"omomi_{version}_{platform.debian_architecture}.deb"


def required_files(version: str, built: list[Platform], commands: list[Platform], parts: set[str]) -> list[str]:
    """Lists every file that a release with these libraries, commands and parts must have."""
    files = ["LICENSE", "CHANGELOG.md", MISSING]
    if "c" in parts:
        files += [c_package(version, platform) for platform in built]
        files.append(f"omomi-{version}.cdx.json")
    if "cli" in parts:
        files += [cli_package(version, platform) for platform in commands]
        files += [wheel(version, platform) for platform in commands]
        files += [debian_package(version, platform) for platform in commands if platform.debian_architecture]
        files += [f"omomi-cli-{version}.cdx.json", MISSING_COMMANDS]
    if "crates" in parts:
        files += [f"{crate}-{version}.crate" for crate in ("omomi", "omomi-train", "omomi-cli")]
    if "jvm" in parts:
        files += maven_files(version, built)
    return sorted(files)


def maven_files(version: str, built: list[Platform]) -> list[str]:
    """Lists the artifacts in the layout of a Maven repository, each with the checksums that Maven Central asks for."""
    files = []
    for artifact in ("omomi", "omomi-micrometer", "omomi-scala_2.12", "omomi-scala_2.13", "omomi-scala_3"):
        endings = [".pom", ".jar", "-sources.jar", "-javadoc.jar"]
        if artifact == "omomi":
            endings += ["-classes.jar", *(f"-{platform.name}.jar" for platform in built)]
        for ending in endings:
            path = f"maven/io/omomi/{artifact}/{version}/{artifact}-{version}{ending}"
            files += [path, path + ".md5", path + ".sha1"]
    return files


def missing_text(missing: dict[str, str]) -> str:
    """Returns the list of platforms that are not in a release: a name and the reason, one per line."""
    return "".join(f"{name} {reason}\n" for name, reason in sorted(missing.items()))


def read_missing(path: pathlib.Path) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in path.read_text().splitlines())


def write_sums(folder: pathlib.Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / SUMS).write_text("".join(lines))


def check_release(folder: pathlib.Path, version: str, parts: set[str]) -> list[str]:
    """The gate: returns what is wrong with a release, in plain words. An empty list lets it pass."""
    try:
        missing = read_missing(folder / MISSING)
        without_command = read_missing(folder / MISSING_COMMANDS) if "cli" in parts else {}
        sums = dict(reversed(line.split("  ", 1)) for line in (folder / SUMS).read_text().splitlines())
    except (OSError, ValueError) as error:
        return [f"{error}; build the release again"]
    known = {platform.name for platform in PLATFORMS}
    faults = []
    for file, names in ((MISSING, missing), (MISSING_COMMANDS, without_command)):
        faults += [f"{file} names {name}, which is no platform" for name in sorted(set(names) - known)]
    commands = [platform for platform in PLATFORMS if platform.name not in without_command]
    built = [platform for platform in PLATFORMS if platform.name not in missing]
    if not built:
        faults.append("no platform was built")
    wanted = set(required_files(version, built, commands, parts))
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {SUMS}
    if f"{SUMS}.asc" in found:
        found.remove(f"{SUMS}.asc")
        # Signatures have no checksums of Maven's own.
        wanted |= {f"{name}.asc" for name in wanted if name.endswith(SIGNED)}
    faults += [f"{name} is required and missing" for name in sorted(wanted - found)]
    faults += [f"{name} is no part of a release" for name in sorted(found - wanted)]
    faults += [
        f"{name} is empty"
        for name in sorted(found & wanted - {MISSING, MISSING_COMMANDS})
        if (folder / name).stat().st_size == 0
    ]
    faults += [f"{name} has no line in {SUMS}" for name in sorted(found & wanted - set(sums))]
    for name in sorted(set(sums) & found):
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sums[name]:
            faults.append(f"{name} is not what {SUMS} says")
        elif name.endswith(".jar"):
            faults += jars.faults_of_jar(folder / name)
    return faults
