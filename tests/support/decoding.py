"""`calldrop-migrate` as it runs with a driver that decodes rows where it is told to leave them as
bytes.

    python tests/support/decoding.py up 2 --yes
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cassandra.protocol import ProtocolHandler

from calldrop_migrate.cluster.wire import RawHandler

if __name__ == "__main__":
    RawHandler.message_types_by_opcode = ProtocolHandler.message_types_by_opcode
    sys.argv[0] = "calldrop-migrate"
    from calldrop_migrate.cli.main import run as main

    main()
