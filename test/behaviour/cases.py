# SPDX-License-Identifier: BSD-2-Clause
"""The list of cases. Each module adds its own with `case()`."""
import dataclasses
import socket
from typing import Callable, Optional

FAMILIES = {"v4": socket.AF_INET, "v6": socket.AF_INET6}
CASES = []


@dataclasses.dataclass
class Case:
    """A pair of programs. PORTS ports from `port` on are its own in each host."""

    name: str
    client: Callable
    server: Optional[Callable]
    family: int
    port: int
    carried: bool = True  # else the daemon must leave the case's connections alone
    served: bool = True  # else the server's daemon must, and so they are plain at the client's
    inproc: Optional[bool] = None  # does the in-process library encrypt some? None: as it happens
    own_net: bool = False  # hosts of its own, because it changes them
    daemon_last: bool = False  # the daemons start after the server listens
    prepare: Optional[Callable] = None  # (net, hosts): before the daemons start
    PORTS = 16


def case(name, client, server=None, families=("v4",), **options):
    for family in families:
        port = 20000 + len(CASES) * Case.PORTS
        # Where there is somebody to talk to, who began to listen when there was an engine.
        options.setdefault("inproc", bool(server) and not options.get("daemon_last"))
        full = f"{name} {family}"
        assert full not in {known.name for known in CASES}
        CASES.append(Case(full, client, server, FAMILIES[family], port, **options))
