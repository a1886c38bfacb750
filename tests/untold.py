"""`calldrop-migrate` as it runs where the server doesn't tell the times of a collection's elements,
as ScyllaDB: the same server, not asked for them.

    python tests/untold.py up 2 --yes
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from calldrop_migrate.engine.ports import Platform

if __name__ == "__main__":
    Platform.element_times = property(lambda self: False)  # type: ignore[assignment,method-assign]
    sys.argv[0] = "calldrop-migrate"
    from calldrop_migrate.cli.main import run as main

    main()
