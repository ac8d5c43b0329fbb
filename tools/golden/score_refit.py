"""Reference values for the score refit of @transmla/conversion: dense float64 in numpy, every sum written out as a tensor.

    .venv/bin/python tools/golden/score_refit.py

Writes packages/conversion/golden/score-refit.json. Nothing here is needed to install, build or test.
"""

import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parents[2] / "packages" / "conversion" / "golden" / "score-refit.json"
rng = np.random.default_rng(20261124)
HEADS, WIDTH, FEATURES, LENGTH = 2, 6, 4, 12
FREQUENCIES = np.array([1.0, 0.3])
SCALE = 0.4
ITERATIONS, RIDGE, FLOOR = 3, 1e-3, 1e-3


def listed(array):
    return [float(x) for x in np.asarray(array).ravel()]


def inverse_root(rows):
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    values = np.maximum(values, FLOOR * values.mean())
    return (vectors * values**-0.5) @ vectors.T


def rotation(position):
    """The matrix that rotates the first components of a key or query, half-split."""
    half = len(FREQUENCIES)
    matrix = np.eye(WIDTH)
    for f, frequency in enumerate(FREQUENCIES):
        cos, sin = np.cos(position * frequency), np.sin(position * frequency)
        matrix[f, f] = matrix[f + half, f + half] = cos
        matrix[f, f + half], matrix[f + half, f] = -sin, sin
    return matrix


positions = np.arange(1, LENGTH, 2)
keys = rng.standard_normal((LENGTH, WIDTH)) * np.linspace(0.3, 2, WIDTH)
features = rng.standard_normal((HEADS, len(positions), FEATURES)) * np.linspace(0.5, 3, FEATURES)
start = rng.standard_normal((HEADS, WIDTH, FEATURES))
scores = np.zeros((HEADS, len(positions), LENGTH))
weights = np.zeros_like(scores)
for head in range(HEADS):
    for row, position in enumerate(positions):
        logits = rng.standard_normal(position + 1)
        p = np.exp(logits) / np.exp(logits).sum()
        scores[head, row, : position + 1] = np.log(p)
        weights[head, row, : position + 1] = 0.9 * p + 0.1 / (position + 1)

# design[h, m, n, :] is the gradient of a logit by the map of its head, flattened.
design = np.zeros((HEADS, len(positions), LENGTH, WIDTH * FEATURES))
for head in range(HEADS):
    for row, position in enumerate(positions):
        for n in range(LENGTH):
            turned = rotation(position).T @ rotation(n) @ keys[n]
            design[head, row, n] = SCALE * np.outer(turned, features[head, row]).ravel()

key_root = inverse_root(keys)
maps, before = [], []
for head in range(HEADS):
    whitening = np.kron(key_root, inverse_root(features[head]))
    normal, right = np.zeros((WIDTH * FEATURES,) * 2), np.zeros(WIDTH * FEATURES)
    loss = 0.0
    for row in range(len(positions)):
        w = weights[head, row]
        centre = np.diag(w) - np.outer(w, w)  # w sums to one: the weighted covariance
        a = design[head, row]
        error = scores[head, row] - a @ start[head].ravel()
        normal += a.T @ centre @ a / len(positions)
        right += a.T @ centre @ error / len(positions)
        loss += error @ centre @ error / len(positions)
    normal = whitening @ normal @ whitening + RIDGE * np.eye(len(right))
    right = whitening @ right
    x, residual, direction = np.zeros_like(right), right.copy(), right.copy()
    for _ in range(ITERATIONS):
        image = normal @ direction
        step = residual @ residual / (direction @ image)
        x += step * direction
        following = residual - step * image
        direction = following + (following @ following) / (residual @ residual) * direction
        residual = following
    maps.append(start[head] + (whitening @ x).reshape(WIDTH, FEATURES))
    before.append(loss)

OUT.write_text(
    json.dumps(
        {
            "heads": HEADS,
            "width": WIDTH,
            "features": FEATURES,
            "length": LENGTH,
            "scale": SCALE,
            "iterations": ITERATIONS,
            "ridge": RIDGE,
            "frequencies": listed(FREQUENCIES),
            "positions": [int(x) for x in positions],
            "keys": listed(keys),
            "queryFeatures": listed(features),
            "start": listed(start),
            "scores": listed(scores),
            "weights": listed(weights),
            "maps": listed(maps),
            "before": float(np.mean(before)),
        },
        separators=(",", ":"),
    )
    + "\n"
)
print(OUT.name, OUT.stat().st_size, np.mean(before))
