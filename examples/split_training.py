"""Train a small network in two processes, cut where the planner says.

The device runs the first part and the server the second. Every iteration the tensors on the cut go
up a link, and their gradients come down. At the end the weights are compared with those of the
same training in one piece.

    pip install 'dnn-partition-planner[torch]'
    python examples/split_training.py --steps 20
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import secrets
import socket
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from torch import Tensor, nn

import planner

BATCH, CLASSES, RATE = 16, 4, 0.05

# A slow device, a server a hundred times as fast, and a link that makes raw images expensive.
COSTS = {
    "kind": "costs",
    "version": 1,
    "workload": {"mode": "training", "iterations_per_round": 20, "label_bytes": 8 * BATCH},
    "hosts": [
        {"name": "device", "model": "analytical", "peak_flops": 5e8,
         "memory_bandwidth_bytes_per_s": 5e8},
        {"name": "server", "model": "analytical", "peak_flops": 2e11,
         "memory_bandwidth_bytes_per_s": 2e11},
    ],
    "links": [{"uplink_bps": 20e6, "downlink_bps": 50e6, "latency_s": 0.001}],
}  # fmt: skip


class Block(nn.Module):
    """Two branches that are joined, as in an Inception block."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, width, 1)
        self.wide = nn.Conv2d(channels, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.narrow(x).relu(), self.wide(x).relu()], dim=1)


class Net(nn.Module):
    """A small network for images of 64 x 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.bn = nn.BatchNorm2d(8)
        self.block1 = Block(8, 8)
        self.block2 = Block(16, 128)
        self.fc = nn.Linear(256, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.bn(self.conv(x)).relu_(), 2)
        x = nn.functional.max_pool2d(self.block1(x), 2)
        scores: Tensor = self.fc(self.block2(x).mean((2, 3)))
        return scores


def make_model() -> nn.Module:
    """The network; the same weights every time."""
    torch.manual_seed(0)
    return Net()


def batches(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Noise in which one colour is brighter, or none; and which that is."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        labels = torch.randint(CLASSES, (BATCH,), generator=generator)
        images = torch.rand(BATCH, 3, 64, 64, generator=generator)
        images += 0.5 * nn.functional.one_hot(labels, CLASSES)[:, :3, None, None]
        yield images, labels


def make_plan(model: nn.Module, inputs: tuple[Tensor, ...]) -> planner.Plan:
    """The best cut of `model`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "costs.json"
        path.write_text(json.dumps(COSTS), encoding="utf-8")
        return planner.plan(planner.load(model, inputs), planner.read_costs(path))


def split(inputs: tuple[Tensor, ...]) -> tuple[planner.Plan, nn.Module, nn.Module]:
    """The plan, and the two parts of a fresh model."""
    model = make_model()
    plan = make_plan(model, inputs)
    device, server = planner.split_module(plan, model)
    return plan, device, server


def serve(address: tuple[str, int], token: bytes, steps: int) -> None:
    """The server: loss and backward pass of its part, gradients back; its weights at the end."""
    with Client(address) as link, contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        link.send_bytes(token)
        train_server(link, steps)


def train_server(link: Connection, steps: int) -> None:
    """What the server does."""
    _, _, part = split((next(batches(1))[0],))
    optimizer = torch.optim.SGD(part.parameters(), RATE, momentum=0.9)
    for _ in range(steps):
        boundary, labels = link.recv()
        received = [torch.from_numpy(array) for array in boundary]
        leaves = [t.requires_grad_(t.is_floating_point()) for t in received]
        loss = nn.functional.cross_entropy(part(*leaves), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gradients = [None if t.grad is None else t.grad.numpy() for t in leaves]
        link.send((loss.item(), gradients))
    link.send({name: tensor.numpy() for name, tensor in part.state_dict().items()})


def train_device(part: nn.Module, link: Connection, steps: int) -> list[float]:
    """The device: forward, send the boundary, receive its gradients, backward."""
    optimizer = torch.optim.SGD(part.parameters(), RATE, momentum=0.9)
    losses = []
    for images, labels in batches(steps):
        boundary = part(images)
        link.send(([tensor.detach().numpy() for tensor in boundary], labels.numpy()))
        loss, gradients = link.recv()
        losses.append(loss)
        optimizer.zero_grad()
        pairs = [
            (tensor, torch.from_numpy(gradient))
            for tensor, gradient in zip(boundary, gradients, strict=True)
            if tensor.requires_grad and gradient is not None
        ]
        torch.autograd.backward([tensor for tensor, _ in pairs], [grad for _, grad in pairs])
        optimizer.step()
    return losses


def train_split(device: nn.Module, steps: int) -> tuple[list[float], dict[str, Tensor]]:
    """Train with a server in a process of its own; the losses, and the server's weights."""
    token = secrets.token_bytes(16)
    with socket.create_server(("127.0.0.1", 0)) as door:
        arguments = (door.getsockname(), token, steps)
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=arguments, daemon=True
        )
        process.start()
        try:
            with connected(door, process, token) as link:
                losses = train_device(device, link, steps)
                trained = {name: torch.from_numpy(array) for name, array in link.recv().items()}
        except (EOFError, OSError):
            raise SystemExit("the server stopped") from None
        finally:
            process.join()
    return losses, trained


def connected(door: socket.socket, process: BaseProcess, token: bytes) -> Connection:
    """The link to the server, once it knocks; anybody else who does is sent away."""
    while door in wait([door, process.sentinel]):
        link = Connection(door.accept()[0].detach())
        # What `recv` unpickles must come from our own server.
        if link.recv_bytes(len(token)) == token:
            return link
        link.close()
    raise EOFError


def train_whole(steps: int) -> dict[str, Tensor]:
    """The same training in one piece."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)
    for images, labels in batches(steps):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.state_dict()


def main() -> None:
    """Train both ways and compare."""
    parser = argparse.ArgumentParser(description="Train a small network in two processes.")
    parser.add_argument("--steps", type=int, default=20, help="iterations (default: 20)")
    steps = parser.parse_args().steps
    if steps < 1:
        parser.error("--steps must be at least 1")
    plan, device, _ = split((next(batches(1))[0],))
    print("on the device:", ", ".join(n for n, host in plan.placement.items() if host == "device"))
    for entry in plan.crossing:
        print(f"crosses: {entry.tensor}, {entry.up_bytes:,} bytes up, {entry.down_bytes:,} down")
    losses, trained = train_split(device, steps)
    trained |= device.state_dict()
    whole = train_whole(steps)
    assert trained.keys() == whole.keys()
    difference = max(float((trained[n] - t).abs().max()) for n, t in whole.items())
    print(f"loss: {losses[0]:.4f} -> {losses[-1]:.4f} in {steps} iterations")
    print(f"largest difference from training in one piece: {difference:.1e}")
    if difference > 1e-5:
        raise SystemExit("the weights differ")


if __name__ == "__main__":
    main()
