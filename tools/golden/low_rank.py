"""Reference values for packages/low-rank, from LAPACK (numpy) and, where float64 is not enough, mpmath.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    .venv/bin/python tools/golden/low_rank.py

Writes packages/low-rank/golden/*.json. Nothing here is needed to install, build or test.
"""

import json
from pathlib import Path

import mpmath
import numpy as np

OUT = Path(__file__).resolve().parents[2] / "packages" / "low-rank" / "golden"
rng = np.random.default_rng(20240611)
mpmath.mp.dps = 60


def real(m):
    m = np.atleast_2d(m)
    return {"rows": m.shape[0], "columns": m.shape[1], "data": [float(x) for x in m.ravel()]}


def cplx(m):
    m = np.atleast_2d(m)
    flat = m.ravel()
    return {
        "rows": m.shape[0],
        "columns": m.shape[1],
        "re": [float(x) for x in flat.real],
        "im": [float(x) for x in flat.imag],
    }


def write(name, cases):
    path = OUT / f"{name}.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size)


def orthogonal(n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def unitary(n):
    return np.linalg.qr(rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n)))[0]


def with_values(values, basis):
    m = (basis * np.asarray(values)) @ basis.conj().T
    return (m + m.conj().T) / 2


def hilbert(n):
    i = np.arange(n)
    return 1.0 / (i[:, None] + i[None, :] + 1)


def wilkinson(n):
    half = n // 2
    return np.diag(np.abs(np.arange(n) - half).astype(float)) + np.eye(n, k=1) + np.eye(n, k=-1)


def normal(*shape):
    """Entries with few digits keep the files small."""
    return np.round(rng.standard_normal(shape), 5)


def symmetric():
    m = normal(12, 12)
    wide = normal(44, 44)
    low = normal(12, 5)
    matrices = {
        "one": np.array([[-3.0]]),
        "zero": np.zeros((6, 6)),
        "diagonal": np.diag([2.0, -7, 2, 0, 1e-9, 5, 5]),
        "random 12": m + m.T,
        "random 44": wide + wide.T,
        "repeated": with_values([5, 5, 5, 2, 2, -1, -1, -1, 0, 0], orthogonal(10)),
        "graded": with_values(10.0 ** -np.arange(15), orthogonal(15)),
        "near-degenerate": with_values(
            [1, 1 + 1e-12, 2, 2 - 1e-13, 3, 3 + 1e-10, -1, -1 - 1e-12], orthogonal(8)
        ),
        "wilkinson 21": wilkinson(21),
        "hilbert 12": hilbert(12),
        "rank 5 of 12": low @ low.T,
    }
    cases = []
    for name, a in matrices.items():
        values, vectors = np.linalg.eigh(a)
        values, vectors = values[::-1], vectors[:, ::-1]
        case = {"name": name, "matrix": real(a), "values": [float(x) for x in values]}
        # The leading invariant subspace that the widest gap sets apart; eigenvectors are not unique.
        gaps = values[:-1] - values[1:]
        if len(gaps) and gaps.max() > 1e-3 * np.abs(values).max():
            k = int(gaps.argmax()) + 1
            case["subspace"] = real(vectors[:, :k])
        cases.append(case)
    write("symmetric", cases)


def exact_singular_values(a):
    values = mpmath.svd_r(mpmath.matrix(a.tolist()), compute_uv=False)
    return sorted((float(x) for x in values), reverse=True)


def singular():
    matrices = {
        "one": np.array([[-2.5]]),
        "row": normal(1, 7),
        "column": normal(7, 1),
        "zero": np.zeros((5, 3)),
        "tall": normal(12, 5),
        "wide": normal(5, 12),
        "48 x 40": normal(48, 40),
        "diagonal": np.diag([3.0, -3, 0, 1e-8, 2]),
        "rank 3": normal(9, 3) @ normal(3, 7),
        "repeated": orthogonal(8) * np.array([4, 4, 4, 1, 1, 1, 1, 0.5]) @ orthogonal(8).T,
        "hilbert 12": hilbert(12),
    }
    relative = {
        "graded columns": normal(20, 15) * 10.0 ** -np.arange(15),
        "graded rows": (10.0 ** -np.arange(15))[:, None] * normal(15, 15),
        "graded columns 40": normal(44, 40) * 10.0 ** np.linspace(0, -14, 40).round(1),
    }
    cases = [
        {"name": name, "matrix": real(a), "values": exact_singular_values(a), "relative": name in relative}
        for name, a in (matrices | relative).items()
    ]
    write("singular", cases)


def hermitian():
    g = normal(9, 9) + 1j * normal(9, 9)
    matrices = {
        "one": np.array([[4.0 + 0j]]),
        "zero": np.zeros((4, 4), complex),
        "diagonal": np.diag([1.0, 3, 3, -2]).astype(complex),
        "random 9": g + g.conj().T,
        "degenerate": with_values([3, 3, 3, 1, 1, -2, -2, -2], unitary(8)),
        "near-degenerate": with_values([1, 1 + 1e-12, 2, 2, -1, -1 + 1e-13], unitary(6)),
        "graded": with_values(10.0 ** -np.arange(10), unitary(10)),
        "pauli y": np.array([[0, -1j], [1j, 0]]),
    }
    eigen = [
        {"name": name, "matrix": cplx(a), "values": [float(x) for x in np.linalg.eigvalsh(a)[::-1]]}
        for name, a in matrices.items()
    ]
    c = lambda m, n: normal(m, n) + 1j * normal(m, n)
    rectangles = {
        "one": c(1, 1),
        "tall": c(7, 4),
        "wide": c(4, 7),
        "square": c(8, 8),
        "rank 2": c(6, 2) @ c(2, 5),
        "zero": np.zeros((3, 3), complex),
        "repeated": unitary(6) * np.array([2, 2, 2, 1, 1, 0]) @ unitary(6),
    }
    svds = [
        {"name": name, "matrix": cplx(a), "values": [float(x) for x in np.linalg.svd(a, compute_uv=False)]}
        for name, a in rectangles.items()
    ]
    write("hermitian", {"eigen": eigen, "svd": svds})


def powered(m, exponent, floor, damping):
    values, vectors = np.linalg.eigh(m)
    mean = values[values > 1e-12].mean()
    values = np.maximum(np.maximum(values, floor * mean), 0) + damping * mean
    return (vectors * values**exponent) @ vectors.conj().T


def powers():
    a = normal(9, 12)
    full = a @ a.T
    b = normal(9, 4)
    deficient = b @ b.T
    c = normal(6, 9) + 1j * normal(6, 9)
    cases = []
    for name, m, exponent, floor, damping in [
        ("square root", full, 0.5, 0, 0),
        ("inverse square root", full, -0.5, 0, 0),
        ("inverse", full, -1, 0, 0),
        ("inverse square root, damped", full, -0.5, 0, 0.01),
        ("inverse square root of rank 4, floored", deficient, -0.5, 1e-3, 0),
        ("inverse square root of rank 4, floored and damped", deficient, -0.5, 1e-2, 1e-2),
        ("square root of rank 4", deficient, 0.5, 0, 0),
    ]:
        cases.append({"name": name, "matrix": real(m), "exponent": exponent, "floor": floor,
                      "damping": damping, "result": real(powered(m, exponent, floor, damping))})
    h = c @ c.conj().T
    complex_cases = [
        {"name": f"{exponent}, damping {damping}", "matrix": cplx(h), "exponent": exponent, "floor": 1e-6,
         "damping": damping, "result": cplx(powered(h, exponent, 1e-6, damping))}
        for exponent, damping in [(0.5, 0), (-0.5, 0.01), (-1, 0)]
    ]
    write("powers", {"real": cases, "complex": complex_cases})


def weighted():
    """The least error by another road: eigenvalues of Lᵀ W C Wᵀ L with S = L Lᵀ."""
    cases = []
    for name, inputs, outputs, rank, has_metric in [
        ("tall weight", 6, 9, 3, True),
        ("wide weight", 10, 5, 2, True),
        ("no metric", 7, 7, 4, False),
        ("full rank", 5, 6, 5, True),
    ]:
        x = normal(inputs, 2 * inputs)
        c = x @ x.T / (2 * inputs)
        w = normal(outputs, inputs)
        y = normal(outputs, 2 * outputs)
        s = y @ y.T / outputs if has_metric else np.eye(outputs)
        half = np.linalg.cholesky(s)
        energies = np.linalg.eigvalsh(half.T @ w @ c @ w.T @ half)[::-1]
        case = {"name": name, "covariance": real(c), "weight": real(w), "rank": rank,
                "error": float(np.maximum(energies, 0)[rank:].sum()),
                "energy": float(np.maximum(energies, 0).sum())}
        if has_metric:
            case["metric"] = real(s)
        cases.append(case)
    write("weighted", cases)


def moments():
    x = np.round(rng.standard_normal((40, 4)) @ normal(4, 4) + np.array([3, -1, 0, 100]), 4)
    tilde = np.hstack([x, np.ones((40, 1))])
    write("moments", {
        "samples": real(x),
        "mean": [float(v) for v in x.mean(0)],
        "covariance": real(np.cov(x.T, bias=True)),
        "augmented": real(tilde.T @ tilde / 40),
    })


def solve():
    a = normal(60, 80)
    a = np.round(a @ a.T / 80, 5)
    b = normal(60, 2)
    write("solve", {
        "matrix": real(a),
        "right": real(b),
        "cases": [
            {"ridge": ridge, "result": real(np.linalg.solve(a + ridge * np.trace(a) / 60 * np.eye(60), b))}
            for ridge in (0, 0.05)
        ],
    })


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    symmetric()
    singular()
    hermitian()
    powers()
    weighted()
    moments()
    solve()
