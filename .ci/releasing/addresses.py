"""The addresses that registries show. They are in `Cargo.toml` alone, and go from there into crates, POMs, wheels and
Debian packages."""

import dataclasses
import tomllib

from machine import SOURCE

# A top-level domain that never exists (RFC 6761).
PLACEHOLDER = ".invalid"


@dataclasses.dataclass(frozen=True)
class Addresses:
    """Who makes the releases, and where."""

    homepage: str
    repository: str
    maintainer: str  # a name and an address for mail, as in `Name <name@domain>`

    def placeholders(self) -> list[str]:
        """The names of what still has to be filled in before a release is published."""
        return [name for name, value in dataclasses.asdict(self).items() if PLACEHOLDER in value]

    def maven_properties(self) -> dict[str, str]:
        name, mail = self.maintainer.removesuffix(">").split(" <")
        return {
            "omomi.homepage": self.homepage,
            "omomi.repository": self.repository,
            "omomi.maintainer": name,
            "omomi.mail": mail,
        }


def read_addresses() -> Addresses:
    workspace = tomllib.loads((SOURCE / "Cargo.toml").read_text())["workspace"]
    package = workspace["package"]
    return Addresses(package["homepage"], package["repository"], package["authors"][0])
