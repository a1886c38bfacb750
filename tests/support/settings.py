"""The settings of tests: flags of the command, times of the lease, all that is drawn or a sample.

Each name is defined here alone. What differs from SHORT or GO has a name that says how.
"""

from __future__ import annotations

import os

# In full it takes hours: `make test-faults`.
FULL = os.environ.get("CALLDROP_TESTS") == "full"

GO = ("--yes", "--outage-accepted")
GO_ASIDE = (*GO, "--set-aside")
WAIT = ("--wait-for-lease", "60")

# A run that takes over after a kill doesn't wait long.
SHORT = {"CALLDROP_LEASE_TTL": "10", "CALLDROP_DDL_TIMEOUT": "5", "CALLDROP_SETTLE_TIME": "1"}
# Where nothing that was sent is still on its way: many kills, or none.
QUICK = SHORT | {"CALLDROP_SETTLE_TIME": "0.3"}
# For a run that is to lose its lease, or to give up waiting for an answer.
BRIEF = {"CALLDROP_LEASE_TTL": "4", "CALLDROP_DDL_TIMEOUT": "1.5", "CALLDROP_SETTLE_TIME": "0.3"}
# Of the runs behind it nothing is asked in a hurry: they share the machine.
OTHERS = BRIEF | {"CALLDROP_LEASE_TTL": "20", "CALLDROP_DDL_TIMEOUT": "10"}
# Brief, and then what was sent is waited for.
AWAITED = BRIEF | {"CALLDROP_LEASE_TTL": "6", "CALLDROP_SETTLE_TIME": "4"}
OTHERS_AWAITED = OTHERS | {"CALLDROP_SETTLE_TIME": "4"}

# A second copy is kept: without it a statement that comes late may destroy the only one.
KEPT = {"CALLDROP_KEEP_SHADOW": "7"}
SHORT_KEPT = SHORT | KEPT
BRIEF_KEPT = BRIEF | KEPT
OTHERS_KEPT = OTHERS | KEPT

# No server is there.
NOWHERE = {"CALLDROP_HOSTS": "127.0.0.1", "CALLDROP_PORT": "1"}
