"""What the test found of a reconstruction: its quality beside baselines, the bound in its terms, and the pictures."""

from typing import Any

from glassnet.report import numbers
from glassnet.report.inline import find_picture
from glassnet.report.other_images import Column, on_other_images
from glassnet.report.records import mapping, part, rows, text
from glassnet.report.tables import Table, strong, table
from glassnet.run import RunDirectory

PICTURES = ("reconstructions", "interpolation", "traversals", "prior-samples", "latent-kl", "diagram")

_OTHERS: tuple[Column, ...] = (
    ("PSNR (dB)", lambda other: numbers.decimal(other.get("psnr"), 2)),
    ("SSIM", lambda other: numbers.decimal(other.get("ssim"), 4)),
)
"""What is shown of an evaluation on other images."""


def reconstructed(run: RunDirectory) -> dict[str, Any] | None:
    """Collect what the section on test results shows; None where the run was not evaluated.

    Raises:
        InputError: The evaluation is damaged.
    """
    if not run.has("evaluation/test.json"):
        return None
    test = mapping(run, "evaluation/test.json")
    pictures = {name.replace("-", "_"): find_picture(run, name) for name in PICTURES}
    return {
        "quality": _quality(test, text(part(dict(run.manifest), "model").get("name"))),
        "left_out": [text(line) for line in test.get("left_out", ())],
        "bound": _bound(test),
        "warnings": [text(line) for line in test.get("warnings", ())],
        "others": on_other_images(run, _OTHERS),
        **pictures,
    }


def _quality(test: dict[str, Any], model: str) -> Table:
    own = {**test, "title": model}
    cells = [
        (
            strong(text(row.get("title"))) if row is own else text(row.get("title")),
            numbers.count(row.get("images")),
            numbers.decimal(row.get("psnr"), 2),
            _range(row.get("psnr_interval"), 2),
            numbers.decimal(row.get("ssim"), 4),
            _range(row.get("ssim_interval"), 4),
            numbers.decimal(row.get("mse"), 5),
        )
        for row in (own, *rows(test, "baselines"))
    ]
    columns = ("", "Images", "PSNR (dB)", "95% interval", "SSIM", "95% interval", "MSE")
    return table("Mean quality of the test images, the network beside what needs none", columns, cells)


def _bound(test: dict[str, Any]) -> Table | None:
    if not numbers.is_number(test.get("negative_elbo")):
        return None
    values, code = test.get("values_per_image"), part(test, "latent")
    cells = [
        ("Reconstruction term", numbers.decimal(test.get("reconstruction"), 2), "nats an image, at one drawn code"),
        ("KL term", numbers.decimal(test.get("kl"), 2), "nats an image that the code may tell"),
        ("Negative ELBO", numbers.decimal(test.get("negative_elbo"), 2), "their sum; lower is better"),
    ]
    if numbers.is_number(test.get("bits_per_dimension")):
        meaning = f"discretised Gaussian likelihood, over {numbers.count(values)} values an image"
        cells.append(("Bits per dimension", numbers.decimal(test["bits_per_dimension"], 3), meaning))
    if test.get("likelihood_deviation"):
        sides = ", ".join(numbers.decimal(value, 4) for value in test["likelihood_deviation"])
        cells.append(("Deviation of the likelihood", sides, "standard deviation of a pixel, per channel, as learned"))
    active = f"{numbers.count(code.get('active'))} of {numbers.count(code.get('dimensions'))}"
    cells.append(("Active latent dimensions", active, "whose mean depends on the image"))
    deviation = numbers.decimal(code.get("largest_deviation"), 2)
    cells.append(("Largest deviation of a code", deviation, "the prior’s is 1"))
    likelihood = f" ({text(test.get('likelihood'))} likelihood)" if test.get("likelihood") else ""
    caption = f"The evidence lower bound in its two terms{likelihood}"
    return table(caption, ("Term", "Value", "Meaning"), cells, words=(0, 2))


def _range(value: Any, digits: int) -> str:
    pair = isinstance(value, list) and len(value) == 2
    return f"{numbers.decimal(value[0], digits)} to {numbers.decimal(value[1], digits)}" if pair else numbers.DASH
