"""Writes training scripts and other modules that look like real ones; equal arguments give equal text."""

from __future__ import annotations

import random
from pathlib import Path

_TOP = '''\
"""Train a {title} on {data}."""

import argparse
import json
import logging
import math
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

logger = logging.getLogger(__name__)


@dataclass
class Config:
    data: Path = Path("data/{data}")
    epochs: int = {epochs}
    batch_size: int = {batch}
    accumulate: int = {accumulate}
    lr: float = {lr}
    weight_decay: float = 0.05
    clip: float = 1.0
    device: str = "cuda"
    tags: list[str] = field(default_factory=list)


class {name}Dataset(Dataset):
    """Reads one JSON record a line."""

    def __init__(self, path, size=224, train=True):
        self.size = size
        self.train = train
        with open(path) as file:
            self.records = [json.loads(line) for line in file if line.strip()]

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        record = self.records[index]
        image = torch.load(record["file"])["image"].float() / 255.0
        if self.train and random.random() < 0.5:
            image = image.flip(-1)
        image = F.interpolate(image[None], size=(self.size, self.size), mode="bilinear")[0]
        return (image - 0.45) / 0.225, record["label"]
'''

_BLOCKS = (
    '''\
class {name}(nn.Module):
    """Convolution, normalisation, activation, and a shortcut where the shape allows it."""

    def __init__(self, width, hidden={hidden}, dropout={dropout}):
        super().__init__()
        self.conv1 = nn.Conv2d(width, hidden, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(self.dropout(out)))
        return F.relu(out + x)
''',
    '''\
class {name}(nn.Module):
    """Multi-head attention with a learned scale."""

    def __init__(self, width, heads={heads}, dropout={dropout}):
        super().__init__()
        assert width % heads == 0, "the width is a multiple of the number of heads"
        self.heads = heads
        self.scale = nn.Parameter(torch.tensor((width // heads) ** -0.5))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * self.scale
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        weights = self.dropout(scores.softmax(dim=-1))
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))
''',
    '''\
def {function}(output, target, k={heads}):
    """The share of rows whose label is among the k best."""
    best = output.topk(min(k, output.shape[-1]), dim=-1).indices
    hits = (best == target[:, None]).any(dim=-1).float()
    total = hits.sum().item()
    if target.numel() == 0:
        return 0.0
    return 100.0 * total / target.numel()
''',
    '''\
def {function}(step, total, warmup={hidden}, floor={dropout}):
    """A cosine from 1 down to `floor`, after a linear warm-up."""
    if step < warmup:
        return step / max(1, warmup)
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))
''',
)

_TRAIN = """\
def train_one_epoch(model, loader, criterion, optimizer, scheduler, scaler, config, epoch):
    model.train()
    running, seen, started = 0.0, 0, time.time()
{at_start}    for step, (images, labels) in enumerate(loader):
        images = images.to(config.device, non_blocking=True)
        labels = labels.to(config.device, non_blocking=True)
        with torch.autocast(config.device, enabled=scaler is not None):
            logits = model(images)
            loss = criterion(logits, labels) / config.accumulate
        if not math.isfinite(loss.item()):
            logger.warning("loss is %s at step %d: skipped", loss.item(), step)
            continue
        if scaler is not None:
            scaler.scale(loss).backward()
        else:
            loss.backward()
        if (step + 1) % config.accumulate == 0:
            if scaler is not None:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                scaler.step(optimizer)
                scaler.update()
            else:
                nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                optimizer.step()
            scheduler.step()
{at_step}        running += loss.item() * config.accumulate * len(labels)
        seen += len(labels)
        if step % 50 == 0:
            speed = seen / (time.time() - started)
            logger.info("epoch %d step %d loss %.4f, %.0f images/s", epoch, step, running / seen, speed)
    return running / max(1, seen)


@torch.no_grad()
def evaluate(model, loader, criterion, config):
    model.eval()
    running, right, seen = 0.0, 0, 0
    for images, labels in loader:
        images, labels = images.to(config.device), labels.to(config.device)
        logits = model(images)
        running += criterion(logits, labels).item() * len(labels)
        right += (logits.argmax(dim=-1) == labels).sum().item()
        seen += len(labels)
    return running / max(1, seen), right / max(1, seen)


def save_checkpoint(path, model, optimizer, epoch, best):
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "best": best}}
    torch.save(state, path)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Config.data)
    parser.add_argument("--epochs", type=int, default=Config.epochs)
    parser.add_argument("--lr", type=float, default=Config.lr)
    parser.add_argument("--amp", action="store_true")
    return parser.parse_args()


def main():
    args = parse_args()
    logging.basicConfig(level=logging.INFO)
    config = Config(data=args.data, epochs=args.epochs, lr=args.lr)
    train_loader = DataLoader({name}Dataset(config.data / "train.jsonl"), config.batch_size, shuffle=True)
    valid_loader = DataLoader({name}Dataset(config.data / "valid.jsonl", train=False), config.batch_size)
    model = nn.Sequential({first}(64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    model = model.to(config.device)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * len(train_loader))
    scaler = torch.amp.GradScaler(config.device) if args.amp else None
    best = 0.0
    for epoch in range(config.epochs):
        train_loss = train_one_epoch(
            model, train_loader, criterion, optimizer, scheduler, scaler, config, epoch
        )
        valid_loss, accuracy = evaluate(model, valid_loader, criterion, config)
        logger.info("epoch %d train %.4f valid %.4f accuracy %.3f", epoch, train_loss, valid_loss, accuracy)
        if accuracy > best:
            best = accuracy
            save_checkpoint(Path("checkpoints/best.pt"), model, optimizer, epoch, best)


if __name__ == "__main__":
    main()
"""

_WORDS = ("Dense", "Gated", "Linear", "Local", "Mixed", "Narrow", "Sparse", "Wide")
_THINGS = ("Block", "Head", "Layer", "Mixer", "Stage", "Unit")


def training_script(lines: int, seed: int = 0, broken: bool = False) -> str:
    """A training script of `lines` lines, at least 200. A `broken` one clears its gradients once an epoch."""
    choose = random.Random(seed)
    name = choose.choice(_WORDS)
    top = _TOP.format(
        title=f"{name.lower()} classifier",
        data=f"images-{choose.randint(1, 9)}",
        name=name,
        epochs=choose.choice((10, 30, 90)),
        batch=choose.choice((64, 128, 256)),
        accumulate=choose.choice((2, 4, 8)),
        lr=choose.choice(("1e-3", "3e-4", "5e-4")),
    )
    first = f"{name}Stem"
    clear = "optimizer.zero_grad()\n"
    train = _TRAIN.format(
        name=name,
        first=first,
        at_start="    " + clear if broken else "",
        at_step="" if broken else "            " + clear,
    )
    return _filled(lines, choose, [top, _block(choose, 0, first)], [train])


def other_module(lines: int, seed: int = 0) -> str:
    """A module of layers and metrics, without a training loop and without a word of one."""
    return _filled(lines, random.Random(seed), ["import math\n\nimport torch\nimport torch.nn as nn\n"], [])


def write_tree(folder: Path, files: int = 60, seed: int = 0) -> None:
    """Write a project of modules of 200 to 600 lines below `folder`; one in five trains."""
    choose = random.Random(seed)
    for number in range(files):
        lines = choose.randint(200, 600)
        trains = number % 5 == 0
        text = training_script(lines, number) if trains else other_module(lines, number)
        file = folder / f"part{number % 4}" / f"{'train' if trains else 'layers'}_{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def _filled(lines: int, choose: random.Random, parts: list[str], end: list[str]) -> str:
    """The parts, as many blocks as fit, the end, and comments up to the last line."""
    text = _joined([*parts, *end])
    while text.count("\n") <= lines:
        full = text
        name = f"{choose.choice(_WORDS)}{choose.choice(_THINGS)}{len(parts)}"
        parts.append(_block(choose, choose.randrange(len(_BLOCKS)), name))
        text = _joined([*parts, *end])
    return full + "# end of the file\n" * (lines - full.count("\n"))


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts)


def _block(choose: random.Random, kind: int, name: str) -> str:
    return _BLOCKS[kind].format(
        name=name,
        function="".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_"),
        hidden=choose.choice((64, 128, 256)),
        heads=choose.choice((4, 5, 8)),
        dropout=choose.choice((0.0, 0.1, 0.2)),
    )
