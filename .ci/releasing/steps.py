"""What must be true before a release is made, and the commands that publish it."""

import pathlib
import re
import tomllib

from addresses import Addresses
from machine import SOURCE, ReleaseError, read


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def section_of(changelog: str, title: str) -> str | None:
    """The text of a section, without blank lines around it; nothing if there is no such section. The title of a release
    is its version, with or without brackets and a date."""
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        first, _, rest = section.partition("\n")
        if re.split(r"[\s\]]", first.lstrip("["))[0] == title:
            return rest.strip()
    return None


def faults_of_files(root: pathlib.Path, version: str) -> list[str]:
    """What the files of a version lack, in plain words: what is wrong, and what to do."""
    faults = []
    changelog = (root / "CHANGELOG.md").read_text()
    if not section_of(changelog, version):
        faults.append(f"CHANGELOG.md has no section `## {version}` with entries; move those of `## Unreleased` there")
    if section_of(changelog, "Unreleased"):
        faults.append(f"CHANGELOG.md has entries in `## Unreleased`; move them to `## {version}`")
    notes = (root / "docs/upgrading.md").read_text()
    if not re.search(rf"^## .*\b{re.escape(version)}$", notes, re.MULTILINE):
        faults.append(f"docs/upgrading.md has no section that ends with `{version}`; say what users must change")
    stored = root / "tests/c/abi" / f"{version}.txt"
    if not stored.is_file() or stored.read_text() != (root / "tests/c/abi/current.txt").read_text():
        faults.append(
            f"tests/c/abi/{version}.txt is not the C ABI of this version; copy tests/c/abi/current.txt to it"
        )
    if not (root / "crates/omomi-cli/tests/upgrade" / version).is_dir():
        faults.append(
            f"crates/omomi-cli/tests/upgrade/{version} is missing; `OMOMI_BLESS=1 cargo test -p omomi-cli --test "
            "upgrade` stores the files of this version"
        )
    return faults


def faults_of_repository(root: pathlib.Path, version: str) -> list[str]:
    """What is wrong with the commit that is to be released."""

    def git(*words: str) -> str:
        return read(["git", *words], cwd=root).strip()

    faults = []
    if git("status", "--porcelain"):
        faults.append("there are changes without a commit; commit them")
    if git("tag", "--list", f"v{version}"):
        faults.append(f"the tag v{version} exists, and a version is released once; use `.ci/version NEXT`")
    last = (root / ".ci/last-release").read_text().strip()
    try:
        git("merge-base", "--is-ancestor", last, "HEAD")
        manifest = tomllib.loads(git("show", f"{last}:Cargo.toml"))
    except ReleaseError:
        return [*faults, f".ci/last-release names {last}, which is no commit before this one"]
    earlier = manifest["workspace"]["package"]["version"]
    if numbers(earlier) >= numbers(version):
        faults.append(f"the last release, in .ci/last-release, is {earlier}; `.ci/version NEXT` writes a newer version")
    return faults


def faults_of_addresses(addresses: Addresses) -> list[str]:
    """What keeps a release from a public registry."""
    return [f"`{name}` in Cargo.toml is a placeholder: {getattr(addresses, name)}" for name in addresses.placeholders()]


def publication(version: str, folder: pathlib.Path, signed_by: str | None) -> list[tuple[str, list[str]]]:
    """The commands that publish a release: titles, and what a person runs. None of them can be taken back."""
    sign = f"--local-user={signed_by}" if signed_by else "--annotate"
    return [
        ("the tag", [f"git tag {sign} --message 'omomi {version}' v{version}", f"git push origin v{version}"]),
        (
            "crates.io, in the order of their dependencies",
            [f"cargo publish --locked -p {crate}" for crate in ("omomi", "omomi-train", "omomi-cli")],
        ),
        (
            "Maven Central, which asks for proof that the domain of `io.omomi` is yours; CENTRAL_TOKEN is your token",
            [
                f"(cd {folder}/maven && zip --quiet --recurse-paths ../../omomi-{version}-maven.zip io)",
                'curl --fail --header "Authorization: Bearer $CENTRAL_TOKEN" '
                f"--form bundle=@{folder.parent}/omomi-{version}-maven.zip "
                "'https://central.sonatype.com/api/v1/publisher/upload?publishingType=USER_MANAGED'",
            ],
        ),
        ("PyPI", [f"twine upload {folder}/omomi-{version}-*.whl"]),
        ("the page of the release", [f"upload the other files of {folder}, and the section {version} of CHANGELOG.md"]),
        (
            "the next version: what was released is what `.ci/upgrade` compares with from now on",
            [
                f"git rev-parse 'v{version}^{{commit}}' >.ci/last-release",
                ".ci/version NEXT",
                "git commit --all --message 'The next version'",
            ],
        ),
    ]


def version_of(root: pathlib.Path = SOURCE) -> str:
    return tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["version"]
