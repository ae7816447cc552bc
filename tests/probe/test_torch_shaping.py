"""ONNX operators in torch: shapes, slices, resizing."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from tests.probe.torch_checks import RANDOM, check, floats, ints


def test_reshaping() -> None:
    x = floats(2, 3, 4)
    check("Reshape", [x, ints(0, -1)], constants=[1])
    check("Reshape", [x, ints(4, 3, 2)])
    check("Flatten", [x], axis=2)
    check("Flatten", [x], axis=0)
    check("Transpose", [x], perm=[1, 0, 2])
    check("Squeeze", [floats(1, 3, 1), ints(0, -1)], constants=[1])
    check("Squeeze", [floats(1, 3, 1)])
    check("Squeeze", [floats(1, 3, 1)], opset=11, axes=[0])
    check("Unsqueeze", [x, ints(0, -1)], constants=[1])
    check("Unsqueeze", [x], opset=11, axes=[1])
    check("Shape", [x], start=1)
    check("Expand", [floats(3, 1), ints(2, 1, 4)])
    check("Tile", [x, ints(1, 2, 3)], constants=[1])


def test_joining_and_splitting() -> None:
    x = floats(2, 6)
    check("Concat", [x, floats(2, 3)], axis=-1)
    check("Split", [x, ints(2, 4)], constants=[1], n_outputs=2, axis=1)
    check("Split", [x], n_outputs=3, axis=1, num_outputs=3)
    check("Split", [floats(7)], n_outputs=3, num_outputs=3)
    check("Split", [x], opset=11, n_outputs=2, axis=1)


def test_slices() -> None:
    x = floats(6, 7)
    check("Slice", [x, ints(1), ints(5)], constants=[1, 2])
    check("Slice", [x, ints(1, -3), ints(1000, -1), ints(1, 0), ints(2, 1)], constants=[1, 2, 3, 4])
    check("Slice", [x, ints(-1), ints(-1000), ints(1), ints(-2)])
    check("Slice", [x, ints(4), ints(1), ints(0), ints(-1)])
    check("Slice", [x], opset=9, starts=[1], ends=[3], axes=[1])


def test_gathering() -> None:
    x = floats(5, 4, 3)
    check("Gather", [x, np.array(2)], constants=[1], axis=1)
    check("Gather", [x, np.array(-1)], constants=[1])
    check("Gather", [x, np.array([[0, -1], [1, 1]])], axis=1)
    check("Gather", [floats(9, 4), np.array([[0, 8], [1, 1]])])
    check("Gather", [ints(4, 5, 6), ints(-1, 0)], constants=[1])
    check("GatherElements", [floats(3, 4), np.array([[0, -1], [1, 2]])], axis=1)
    check("GatherND", [x, np.array([[0, 1], [4, -1]])])
    check("GatherND", [x, RANDOM.integers(0, 3, (5, 4, 2, 1))], batch_dims=2)
    check("ScatterND", [floats(4, 3), np.array([[1], [3]]), floats(2, 3)])
    check("ScatterElements", [floats(3, 4), np.array([[0, -1]]), floats(1, 2)], axis=1)


def test_making_tensors() -> None:
    check("Range", [np.array(1), np.array(9), np.array(2)])
    check("ConstantOfShape", [ints(2, 3)])
    value = numpy_helper.from_array(ints(7), "value")
    check("ConstantOfShape", [ints(2, 3)], constants=[0], value=value)
    check("Trilu", [floats(4, 5)])
    check("Trilu", [floats(4, 5), np.array(-1)], constants=[1], upper=0)
    check("NonZero", [np.array([[0, 1], [2, 0]])])
    check("OneHot", [ints(0, 2, -1), np.array(3), ints(0, 5)], constants=[1])
    check("TopK", [floats(3, 7), ints(2)], constants=[1], n_outputs=2)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_and_space(mode: str) -> None:
    check("DepthToSpace", [floats(1, 8, 2, 3)], blocksize=2, mode=mode)
    check("SpaceToDepth", [floats(1, 2, 4, 6)], blocksize=2)


def test_padding() -> None:
    x = floats(1, 2, 4, 5)
    fill = np.array(1.5, np.float32)
    check("Pad", [x, ints(0, 1, 1, 0, 0, 0, 2, 1), fill], constants=[1, 2])
    check("Pad", [x, ints(1, 2), None, ints(3)], constants=[1, 3])
    check("Pad", [x, ints(0, 0, 1, 1, 0, 0, 2, 1)], constants=[1], mode="reflect")
    check("Pad", [x, ints(0, 0, 1, 1, 0, 0, 2, 1)], constants=[1], mode="edge")


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_resizing(factor: float) -> None:
    image, scales = floats(1, 2, 4, 5), np.array([1, 1, factor, factor], np.float32)
    asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    check("Resize", [image, None, scales], constants=[2], **asymmetric)
    check("Resize", [image, None, scales], constants=[2])
    check("Resize", [image, None, scales], constants=[2], mode="linear")
    check("Resize", [image, None, scales], constants=[2], mode="cubic")
    sizes = ints(1, 2, 9, 7)
    corners = {"coordinate_transformation_mode": "align_corners"}
    check("Resize", [image, None, None, sizes], constants=[3], mode="linear", **corners)
    check("Resize", [image, None, None, sizes], constants=[3], mode="linear")
    signal = [floats(1, 2, 5), None, np.array([1, 1, factor], np.float32)]
    check("Resize", signal, constants=[2], mode="linear")
