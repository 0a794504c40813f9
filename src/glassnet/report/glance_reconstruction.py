"""A reconstruction at a glance: its PSNR and SSIM, the bound in its two terms, and what needs no network beside it."""

from typing import Any

from glassnet.report import numbers
from glassnet.report.glance import Glance, Headline
from glassnet.report.records import rows, text


def _decibels(value: Any) -> str:
    return f"{numbers.decimal(value, 2)} dB" if numbers.is_number(value) else numbers.DASH


def _between(value: Any, digits: int) -> str:
    pair = isinstance(value, list) and len(value) == 2
    return f"{numbers.decimal(value[0], digits)} to {numbers.decimal(value[1], digits)}" if pair else numbers.DASH


def _headlines(metrics: dict[str, Any]) -> tuple[Headline, ...]:
    psnr, ssim = (_between(metrics.get(f"test_{name}_interval"), d) for name, d in (("psnr", 2), ("ssim", 4)))
    found = [
        Headline("Test PSNR", _decibels(metrics.get("test_psnr")), f"95% interval {psnr}"),
        Headline("Test SSIM", numbers.decimal(metrics.get("test_ssim"), 4), f"95% interval {ssim}"),
    ]
    bound = metrics.get("test_negative_elbo")
    if numbers.is_number(bound):
        kl = numbers.decimal(metrics.get("test_kl"), 1)
        told = f"nats an image, {kl} of them KL{_likelihood(metrics)}"
        found.append(Headline("Negative ELBO", numbers.decimal(bound, 2), told))
    return tuple(found)


def _likelihood(metrics: dict[str, Any]) -> str:
    return f"; {text(metrics['test_likelihood'])}" if metrics.get("test_likelihood") else ""


def _kept(metrics: dict[str, Any]) -> str:
    return f"validation PSNR {_decibels(metrics.get('validation_psnr'))}"


def _glanced(metrics: dict[str, Any]) -> list[str]:
    value = metrics.get("test_psnr")
    return [f"It gives test images back at a PSNR of {_decibels(value)}."] if numbers.is_number(value) else []


def _judged(test: dict[str, Any]) -> list[str]:
    own = test.get("psnr")
    if not numbers.is_number(own):
        return []
    noise = text(test.get("noise"))
    fed = "" if noise in ("", "none") else f", fed with noise ({noise})"
    sentences = [f"It gives {numbers.count(test.get('images'))} test images back at a PSNR of {_decibels(own)}{fed}."]
    others = [row for row in rows(test, "baselines") if numbers.is_number(row.get("margin"))]
    if others:
        least = min(others, key=lambda row: row["margin"])
        more, images = least["margin"], numbers.count(least.get("images"))
        sentences.append(
            f"Of what needs no network, {text(least.get('title'))} does best: on the same {images} images the network "
            f"is {numbers.decimal(abs(more), 2)} dB {'above' if more > 0 else 'below'} it "
            f"(95% interval of the difference {_between(least.get('margin_interval'), 2)})."
        )
    return sentences + [text(line) for line in test.get("warnings", ())]


GLANCE = Glance(
    headlines=_headlines,
    kept=_kept,
    columns=(
        ("Test PSNR (dB)", "test_psnr", lambda value: numbers.decimal(value, 2)),
        ("95% interval (dB)", "test_psnr_interval", lambda value: _between(value, 2)),
        ("Test SSIM", "test_ssim", lambda value: numbers.decimal(value, 4)),
        ("Negative ELBO", "test_negative_elbo", lambda value: numbers.decimal(value, 2)),
        ("Its likelihood", "test_likelihood", lambda value: text(value) or numbers.DASH),
    ),
    judged=_judged,
    glanced=_glanced,
)
