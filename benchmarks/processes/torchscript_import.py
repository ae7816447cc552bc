"""How long reading a TorchScript archive takes, against what it cannot do without.

`planner.load` of a ResNet-50 archive against a script that imports torch, loads the archive onto
the meta device and runs it there. Each run is a process of its own, the two take turns; the ratio
is that of the fastest runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from benchmarks import ROOT
from benchmarks.machine import describe
from benchmarks.processes.startup import seconds

INPUT = "float32[1,3,224,224]"
LIMIT = 1.5
OURS = f"import sys, planner; planner.load(sys.argv[1], inputs=[{INPUT!r}])"
WRITE = """
import pathlib, sys
from benchmarks.processes.torchscript_import import write_resnet50
write_resnet50(pathlib.Path(sys.argv[1]))
"""
BARE = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
module = torch.jit.load(sys.argv[1], map_location="meta")
module(torch.empty(1, 3, 224, 224, device="meta"))
"""


def write_resnet50(path: Path) -> None:
    """Trace a ResNet-50 with random weights."""
    import torch
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self, width_in: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(4 * width)
            self.relu = nn.ReLU(inplace=True)
            self.downsample: nn.Module = nn.Identity()
            if stride > 1 or width_in != 4 * width:
                short = nn.Conv2d(width_in, 4 * width, 1, stride, bias=False)
                self.downsample = nn.Sequential(short, nn.BatchNorm2d(4 * width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.relu(self.bn2(self.conv2(y)))
            z: torch.Tensor = self.relu(self.bn3(self.conv3(y)) + self.downsample(x))
            return z

    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers: list[nn.Module] = [*stem, nn.MaxPool2d(3, 2, 1)]
    width_in = 64
    for width, depth, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        blocks = []
        for i in range(depth):
            blocks.append(Bottleneck(width_in, width, stride if i == 0 else 1))
            width_in = 4 * width
        layers.append(nn.Sequential(*blocks))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)]
    module = nn.Sequential(*layers, *head).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.zeros(1, 3, 224, 224)).save(str(path))


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--archive", type=Path, help="instead of a ResNet-50 made here")
    arguments = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.archive or Path(folder) / "resnet50.pt"
        if not path.exists():
            # In a process of its own, so that this one stays small.
            subprocess.run([sys.executable, "-c", WRITE, str(path)], check=True, cwd=ROOT)
        ours, bare = ([sys.executable, "-c", code, str(path)] for code in (OURS, BARE))
        pairs = [(seconds(ours), seconds(bare)) for _ in range(arguments.repeat + 1)][1:]
    best, floor = min(a for a, _ in pairs), min(b for _, b in pairs)
    print(
        f"planner.load / torch + run on meta: {best / floor:.2f} "
        f"(at most {LIMIT}; {best:.2f} / {floor:.2f} s)"
    )


if __name__ == "__main__":
    main()
