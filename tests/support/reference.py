"""Every method a second time, in numpy and on whole tensors: written from the papers, not from the package.

Arguments are float32 arrays of one tensor; whole-model quantities are given. All arithmetic is float64.
"""

from __future__ import annotations

import hashlib

import numpy as np


def linear(b, d, alpha):
    return (1 - alpha) * f64(b) + alpha * f64(d)


def slerp(b, d, alpha):
    b, d = f64(b), f64(d)
    lengths = np.linalg.norm(b) * np.linalg.norm(d)
    if lengths == 0 or abs((b * d).sum() / lengths) > 0.9995:
        return linear(b, d, alpha)
    omega = np.arccos((b * d).sum() / lengths)
    return (np.sin((1 - alpha) * omega) * b + np.sin(alpha * omega) * d) / np.sin(omega)


def task_arithmetic(b, d, a, alpha, scale=1.0):
    return f64(a) + scale * ((1 - alpha) * tau(b, a) + alpha * tau(d, a))


def ties(b, d, a, alpha, thresholds, scale=1.0):
    trimmed = [np.where(np.abs(t) >= limit, t, 0) for t, limit in zip((tau(b, a), tau(d, a)), thresholds, strict=True)]
    return f64(a) + scale * elect(*trimmed, alpha)


def kept_from(values, density):
    """The smallest of the round(density * n) largest magnitudes."""
    magnitudes = np.sort(np.abs(f64(values).ravel()))[::-1]
    count = round(density * len(magnitudes))
    return magnitudes[count - 1] if count else np.inf


def elect(b, d, alpha):
    """Entries with the sign of the weighted sum, averaged by weight."""
    values, weights = np.stack([b, d]), np.array([1 - alpha, alpha]).reshape(2, *[1] * b.ndim)
    sign = np.sign((weights * values).sum(0))
    agree = (np.sign(values) == sign) & (sign != 0) & (weights > 0)
    total = (weights * agree).sum(0)
    return np.where(total > 0, (weights * values * agree).sum(0) / np.where(total > 0, total, 1), 0)


def dare(t, density, seed, model, name):
    if density == 0:
        return np.zeros_like(t)
    keep = uniform(t.size, seed, model, name) < density
    return np.where(keep.reshape(t.shape), t / density, 0)


def dare_linear(b, d, a, alpha, density, seed, name, scale=1.0):
    ours, theirs = dare(tau(b, a), density, seed, "base", name), dare(tau(d, a), density, seed, "donor", name)
    return f64(a) + scale * ((1 - alpha) * ours + alpha * theirs)


def dare_ties(b, d, a, alpha, density, seed, name, scale=1.0):
    ours, theirs = dare(tau(b, a), density, seed, "base", name), dare(tau(d, a), density, seed, "donor", name)
    return f64(a) + scale * elect(ours, theirs, alpha)


def della(b, d, a, alpha, density, epsilon, seed, name, scale=1.0):
    dropped = []
    for model, t in (("base", tau(b, a)), ("donor", tau(d, a))):
        rows = t.reshape(1, -1) if t.ndim == 1 else t.reshape(-1, t.shape[-1])
        n, eps = rows.shape[1], min(epsilon, density, 1 - density)
        p = np.empty_like(rows)
        for row, magnitudes in enumerate(np.abs(rows)):
            rank = np.empty(n)
            rank[np.argsort(magnitudes, kind="stable")] = np.arange(n)
            p[row] = density if n == 1 else density - eps + 2 * eps * rank / (n - 1)
        keep = uniform(t.size, seed, model, name).reshape(rows.shape) < p
        dropped.append(np.where(keep, rows / np.where(p > 0, p, 1), 0).reshape(t.shape))
    return f64(a) + scale * elect(*dropped, alpha)


def breadcrumbs(b, d, a, alpha, density, gamma, scale=1.0):
    masked = []
    for t in (tau(b, a), tau(d, a)):
        order = np.sort(np.abs(t).ravel())[::-1]
        n = len(order)
        first = round(gamma * n)
        kept = order[first : first + round(density * n)]
        inside = (np.abs(t) <= kept[0]) & (np.abs(t) >= kept[-1]) if len(kept) else np.zeros(t.shape, bool)
        masked.append(np.where(inside, t, 0))
    return f64(a) + scale * ((1 - alpha) * masked[0] + alpha * masked[1])


def metagpt_weight(pairs):
    """The donor's weight, from (task vector of base, of donor) of all tensors."""
    base, donor = (sum((f64(pair[i]) ** 2).sum() for pair in pairs) for i in (0, 1))
    return donor / (base + donor) if base + donor else 0.0


def model_stock(b, d, a):
    ours, theirs = tau(b, a), tau(d, a)
    lengths = np.linalg.norm(ours) * np.linalg.norm(theirs)
    cosine = max(0.0, (ours * theirs).sum() / lengths) if lengths else 0.0
    t = 2 * cosine / (1 + cosine)
    return t * (f64(b) + f64(d)) / 2 + (1 - t) * f64(a)


def uniform(n, seed, model, name):
    """SplitMix64 on numpy's unsigned integers, which wrap around."""
    key = int.from_bytes(hashlib.blake2b(f"{seed}/{model}/{name}".encode(), digest_size=8).digest(), "little")
    z = np.uint64(key) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / (1 << 24)


def tau(x, a):
    """The task vector as any implementation in float32 sees it."""
    return f64(np.float32(x) - np.float32(a))


def f64(x):
    return np.asarray(x, dtype=np.float64)
