"""Matrix product and eigendecomposition by numpy, timed here. Reads and writes one JSON object per line."""

import json
import sys
import time

import numpy as np


def mulberry32(count, seed):
    """The numbers of random.mjs: uniform, mean 0, standard deviation 1."""
    state = (seed + 0x6D2B79F5 * np.arange(1, count + 1, dtype=np.uint64)).astype(np.uint32)
    t = (state ^ (state >> 15)) * (state | np.uint32(1))
    t = t ^ (t + (t ^ (t >> 7)) * (t | np.uint32(61)))
    unit = (t ^ (t >> 14)).astype(np.float64) / 4294967296
    return ((unit - 0.5) * np.sqrt(12)).astype(np.float32)


def timed(repeat, body):
    started = time.perf_counter()
    for _ in range(repeat):
        body()
    return {"seconds": (time.perf_counter() - started) / repeat}


def matmul(shape):
    rows, inner, columns = shape["rows"], shape["inner"], shape["columns"]
    x = mulberry32(rows * inner, 1).reshape(rows, inner)
    w = mulberry32(inner * columns, 2).reshape(inner, columns)
    y = np.empty((rows, columns), np.float32)
    np.matmul(x, w, out=y)
    return {"sample": y[-1, :8].tolist()}, lambda task: timed(
        task["products"], lambda: np.matmul(x, w, out=y)
    )


def eigh(size):
    a = mulberry32(size * size, 1).reshape(size, size).astype(np.float64)
    a = a + a.T
    return {"largest": float(np.linalg.eigvalsh(a)[-1])}, lambda task: timed(1, lambda: np.linalg.eigh(a))


options = json.loads(sys.stdin.readline())
facts, run = matmul(options["shape"]) if "shape" in options else eigh(options["size"])
print(json.dumps(facts), flush=True)
for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
