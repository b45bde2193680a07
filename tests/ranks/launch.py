"""Runs programs on two ranks each: two processes, forked from this one, that meet in a file.

A program that begins a process group by itself finds the environment that a launcher gives it.

`python tests/ranks/launch.py OUT PROGRAM...` writes for each program and rank `OUT/PROGRAM.RANK.json`: what the guard
has found in each scenario, or with what error it has ended. Whoever takes too long is killed.

This process imports torch once, for all, and computes nothing: so it can be forked.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from contextlib import ExitStack
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
import torch.distributed as dist
from scenarios import found, load, names

from loopguard.runtime import distributed

SIZE = 2
PATIENCE = 60.0


def run(program: Path, rank: int, out: Path, barrier: Barrier, ports: list[int]) -> None:
    """Be one rank of a program. Each of its scenarios has a port of its own."""
    torch.set_num_threads(1)
    # Here nobody minds being held up, and a busy machine must not change what is found.
    distributed._AT_A_STEP, distributed._AT_THE_END = PATIENCE / 12, PATIENCE / 6
    os.environ["RANK"] = str(rank)
    if "init_process_group" not in program.read_text("utf-8"):
        dist.init_process_group(
            "gloo",
            init_method=f"file://{out / program.stem}.store",
            rank=rank,
            world_size=SIZE,
            timeout=timedelta(seconds=PATIENCE / 2),
        )
    results: dict[str, object] = {}
    try:
        module = load(program)
        for name, port in zip(names(program), ports, strict=True):
            os.environ["MASTER_PORT"] = str(port)
            torch.manual_seed(rank)
            results[name] = found(module, name)
            # A process group must be gone on all ranks before one of them begins the next.
            barrier.wait(PATIENCE)
    except BaseException:
        barrier.abort()
        results["error"] = traceback.format_exc()
    (out / f"{program.stem}.{rank}.json").write_text(json.dumps(results))
    if dist.is_initialized():
        dist.destroy_process_group()
    # A rank that others still wait for is not worth the wait either.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit("error" in results)


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


def main(out: Path, programs: list[Path]) -> None:
    """Run the programs one after the other."""
    os.environ.update(MASTER_ADDR="127.0.0.1", WORLD_SIZE=str(SIZE))
    context = get_context("fork")
    for program in programs:
        barrier = context.Barrier(SIZE)
        ports = free_ports(len(names(program)))
        ranks: list[BaseProcess] = [
            context.Process(target=run, args=(program, rank, out, barrier, ports)) for rank in range(SIZE)
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
