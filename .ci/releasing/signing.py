"""Signs a release with GnuPG: each jar and POM, as Maven Central asks for, and the list of checksums."""

import pathlib
import shutil

import inventory
from machine import ReleaseError, read, run


def check_key(key: str) -> None:
    """Refuses a key that cannot sign, before anything is built."""
    if shutil.which("gpg") is None:
        raise ReleaseError("gpg was not found, and --sign needs it; install GnuPG, or leave out --sign")
    try:
        read(["gpg", "--batch", "--list-secret-keys", key])
    except ReleaseError as error:
        raise ReleaseError(
            f"gpg has no secret key {key}; `gpg --list-secret-keys` shows those that it has, and GNUPGHOME is the "
            "folder in which it looks"
        ) from error


def sign_release(folder: pathlib.Path, key: str) -> None:
    """Signs the artifacts, writes the checksums again, because they cover the signatures, and signs these."""
    for name in [*folder.glob(f"{inventory.SUMS}.asc"), *folder.glob("maven/**/*.asc")]:
        name.unlink()
    for artifact in sorted((folder / "maven").rglob("*")):
        if artifact.suffix in inventory.SIGNED:
            sign(artifact, key)
    inventory.write_sums(folder)
    sign(folder / inventory.SUMS, key)


def sign(file: pathlib.Path, key: str) -> None:
    run(["gpg", "--batch", "--local-user", key, "--armor", "--detach-sign", file])
