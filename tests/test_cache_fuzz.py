r"""A long life of a cache in a hostile world.

LOOPGUARD_FUZZ_STEPS says how many steps to take (60 if it is not set), LOOPGUARD_FUZZ_SEED with which seed to start, and
LOOPGUARD_FUZZ_DISK names a directory on a small file system (`mount -t tmpfs -o size=64k tmpfs DIR`) that is to be
filled; without one, a full disk is played. Whoever runs it as root must give up the right to pass over permissions:

    LOOPGUARD_FUZZ_STEPS=1000 LOOPGUARD_FUZZ_DISK=DIR \
        setpriv --bounding-set=-dac_override,-dac_read_search pytest -n 1 -rP tests/test_cache_fuzz.py
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from cache_world import World

STEPS = int(os.environ.get("LOOPGUARD_FUZZ_STEPS", "60"))
SEED = int(os.environ.get("LOOPGUARD_FUZZ_SEED", "0"))
DISK = os.environ.get("LOOPGUARD_FUZZ_DISK")
LIVES = 6


@pytest.mark.parametrize("life", range(LIVES))
def test_no_foreign_file_is_touched_and_results_are_those_without_a_cache(place: Path, life: int) -> None:
    disk = Path(DISK, f"life{life}") if DISK else None
    if disk is not None:
        disk.mkdir()
    world = World(place, SEED + life, disk)
    try:
        for _ in range(STEPS // LIVES + (life < STEPS % LIVES)):
            world.step()
        world.settle()
    finally:
        if disk is not None:  # the next life needs the room
            shutil.rmtree(disk)
    print(f"\nlife {life}: {world.events.total()} events {dict(world.events)}, checks {dict(world.outcomes)}")
