"""A1111's own samplers, restated from their papers' equations with its choices of times and constants."""

import numpy as np
import torch

from schedules import log_alpha, sampling


def restart_path(sigmas):
    """Pairs of sigmas for Restart (Xu et al. 2023): as many steps, some of them a second way from 2 down to 0.1."""
    steps = len(sigmas) - 1
    pairs = list(zip(sigmas[:-1], sigmas[1:]))
    if steps < 20:
        return pairs
    again, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    sigmas = sampling.get_sigmas_karras(steps - again * times, sigmas[-2].item(), sigmas[0].item())
    bottom, top = (int((sigmas - wanted).abs().argmin()) for wanted in (0.1, 2.0))
    pairs = list(zip(sigmas[:-1], sigmas[1:]))
    if top >= bottom:
        return pairs
    way = sampling.get_sigmas_karras(again + 1, sigmas[bottom].item(), sigmas[top].item())[:-1]
    way[-1] = sigmas[bottom]
    return pairs[:bottom] + list(zip(way[:-1], way[1:])) * times + pairs[bottom:]


def restart(denoise, x, sigmas, noise):
    last = sigmas[0]
    for start, end in restart_path(sigmas):
        if start > last:
            x = x + noise() * (start**2 - last**2).sqrt()
        slope = (x - denoise(x, start)) / start
        ahead = x + slope * (end - start)
        if end > 0:
            slope = (slope + (ahead - denoise(ahead, end)) / end) / 2
        x, last = x + slope * (end - start), end
    return x


def lcm(denoise, x, sigmas, noise):
    for start, end in zip(sigmas[:-1], sigmas[1:]):
        x = denoise(x, start)
        if end > 0:
            x = x + end * noise()
    return x


def transition(x, epsilon, bar, bar_next, sigma=0.0, direction=None):
    """Song et al. 2021, equation 12, without the noise."""
    clean = (x - (1 - bar).sqrt() * epsilon) / bar.sqrt()
    direction = epsilon if direction is None else direction
    return bar_next.sqrt() * clean + (1 - bar_next - sigma**2).sqrt() * direction


def ddim(predict, x, bar, times, noise, eta=0.0, plus=False):
    """`predict` gives the noise after guidance and that without the prompt."""
    for at in range(len(times) - 1, 0, -1):
        a, b = bar[times[at]], bar[times[at - 1]]
        sigma = (eta * ((1 - b.double()) / (1 - a).double() * (1 - a.double() / b.double())).sqrt()).float()
        guided, uncond = predict(x, times[at].float())
        x = transition(x, guided, a, b, sigma, uncond if plus else None) + sigma * noise()
    return x


def plms(predict, x, bar, times):
    """Liu et al. 2022: the first step by Heun's method, then Adams and Bashforth's weights."""
    old = []
    for at in range(len(times) - 1, 0, -1):
        a, b = bar[times[at]], bar[times[at - 1]]
        epsilon, _ = predict(x, times[at].float())
        old.append(epsilon)
        if len(old) == 1:
            ahead, _ = predict(transition(x, epsilon, a, b), times[at - 1].float())
            epsilon = (epsilon + ahead) / 2
        elif len(old) == 2:
            epsilon = (3 * old[-1] - old[-2]) / 2
        elif len(old) == 3:
            epsilon = (23 * old[-1] - 16 * old[-2] + 5 * old[-3]) / 12
        else:
            epsilon = (55 * old[-1] - 59 * old[-2] + 37 * old[-3] - 9 * old[-4]) / 24
        x = transition(x, epsilon, a, b)
    return x


def unipc(predict, x, bar, times, variant="bh1", order=3, lower_order_final=True):
    """Zhao et al. 2023, algorithm 2 with B(h), on clean latents; coefficients in double precision."""
    steps = len(times) - 1
    order = min(order, max(steps, 1))
    logs = 0.5 * log_alpha(bar, times)
    alpha, sigma = np.exp(logs), np.sqrt(-np.expm1(2 * logs))
    lam = np.log(alpha / sigma)

    def clean(x, at):
        epsilon, _ = predict(x, torch.tensor(times[at]).float())
        return (x - float(sigma[at]) * epsilon) / float(alpha[at])

    def update(x, known, to, p, new=None):
        h = lam[to] - lam[to - 1]
        width = {"bh1": -h, "bh2": np.expm1(-h), "vary_coeff": 1.0}[variant]
        places = [(lam[to - back] - lam[to - 1]) / h for back in range(2, p + 1)]
        others = [known[-back] for back in range(2, p + 1)]
        if new is not None:
            places, others = [*places, 1.0], [*others, new]
        rows, right, phi, factorial = [], [], np.expm1(-h) / -h - 1, 1.0
        for power in range(len(places)):
            rows.append(np.array(places) ** power)
            right.append(phi * factorial / width)
            factorial *= power + 2
            phi = phi / -h - 1 / factorial
        weights = np.linalg.solve(rows, right) if places else []
        if len(places) == 1 and variant != "vary_coeff":
            weights = [0.5]
        bend = sum(float(w / r) * (m - known[-1]) for w, r, m in zip(weights, places, others))
        x = float(sigma[to] / sigma[to - 1]) * x - float(alpha[to] * np.expm1(-h)) * known[-1]
        return x - float(alpha[to] * width) * bend

    known = [clean(x, 0)] if steps else []
    for to in range(1, steps + 1):
        p = min(order, steps + 1 - to) if lower_order_final and to >= order else min(order, to)
        ahead = update(x, known, to, p)
        if to < steps:
            new = clean(ahead, to)
            ahead = update(x, known, to, p, new)
            known.append(new)
        x = ahead
    return x
