"""What several ranks have to be told: which epoch it is, and when not to exchange gradients.

https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler and
https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html
"""

from __future__ import annotations

from enum import Enum


class Mistake(Enum):
    """What ranks were not told."""

    NO_EPOCH = "a distributed sampler that is never told the epoch"
    NO_SYNC = "gradients exchanged after every microbatch of a window"
