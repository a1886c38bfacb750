"""`calldrop-migrate` as it would be if it took two keys for different ones wherever their bytes
differ, in every place that looks at rows one by one: the counts before a DROP have to see what that
loses.

    python tests/support/blind.py up 2 --yes
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from calldrop_migrate.cluster import keying
from calldrop_migrate.cluster.lookup import Lookup
from calldrop_migrate.core import carrying
from calldrop_migrate.engine import balance

if __name__ == "__main__":
    lacks = Lookup.lacks

    def by_cells(self: Any, *args: Any, same_key: bool = False, **more: Any) -> str:
        return lacks(self, *args, **more)

    for place, name, blind in (
        (keying, "canonical", lambda *_: None),
        (carrying, "is_loose", lambda _: False),
        (Lookup, "lacks", by_cells),
        (balance, "APART", 0.5),  # it counts several times, and nothing ends meanwhile
    ):
        setattr(place, name, blind)
    sys.argv[0] = "calldrop-migrate"
    from calldrop_migrate.cli.main import run as main

    main()
