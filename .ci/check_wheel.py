"""Check a wheel: pure Python, small, and nothing in it but the package."""

import sys
import zipfile
from pathlib import Path

LARGEST = 500_000


def main(path):
    """Exit with a message if the wheel is not what it should be."""
    wheel = Path(path)
    names = zipfile.ZipFile(wheel).namelist()
    strangers = [
        name
        for name in names
        if not name.startswith(("skalgos/", "skalgos-")) or "test_" in name
    ]
    if strangers:
        sys.exit(f"{wheel.name} holds {strangers}")
    if not wheel.name.endswith("py3-none-any.whl"):
        sys.exit(f"{wheel.name} is not pure Python")
    if wheel.stat().st_size > LARGEST:
        sys.exit(f"{wheel.name} has {wheel.stat().st_size} bytes")
    print(f"{wheel.name}: {wheel.stat().st_size} bytes, {len(names)} files")


if __name__ == "__main__":
    main(sys.argv[1])
