"""Figures 6 to 11: images denoised by the report's three networks on its three data sets, beside what needs none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from glassnet.experiment import Run
from glassnet.paper.claims import Verdict
from glassnet.paper.draw_reconstruction import draw_diagram, draw_rows
from glassnet.paper.reconstruction_claims import judge
from glassnet.paper.reconstruction_measures import Measured, Quality, evaluated, measure
from glassnet.paper.reconstruction_plan import (
    VAE,
    Denoising,
    bounds,
    chosen,
    networks,
    trained,
    training_settings,
)
from glassnet.paper.reproduction import Drawn, Part, Reproduction, folder
from glassnet.paper.tables import Table
from glassnet.run import RunDirectory
from glassnet.settings.reproduce import ReproduceSettings
from glassnet.tasks.reconstruction import quality
from glassnet.tuning import spread


def reconstruction(settings: ReproduceSettings, out: Path) -> Reproduction:
    """Train the report's networks with every seed, measure them beside classical denoisers, and judge its claims.

    Args:
        settings: Seeds, data sets and networks; how each is trained stands in `reconstruction_plan`.
        out: Folder; the runs go below its training/, and those that are finished there are not trained again.

    Raises:
        InputError: A network or data set is not planned for, or the folder holds runs of other settings.
    """
    plans, names, kept = chosen(settings), networks(settings), folder(out)
    tables: list[Table] = []
    verdicts: list[Verdict] = []
    drawn: list[Drawn] = []
    details: dict[str, Any] = {}
    notes = [_how(settings)]
    for plan in plans:
        runs = _train(plan, names, settings, out / "training")
        found = measure(kept, runs, settings)
        tables.append(_table(plan, runs, found))
        verdicts += judge(plan, found, seed=settings.seed)
        drawn += draw_rows(kept, plan, runs, settings)
        details[plan.data] = _details(found)
        notes += _notes(plan, runs, found)
    if VAE in names:
        bound, ran = _bounds(plans, kept, settings, out / "training")
        tables += bound
        drawn = [*draw_diagram(kept, ran), *drawn]
    return Reproduction("reconstruction", out, tuple(tables), tuple(verdicts), tuple(drawn), tuple(notes), details)


RECONSTRUCTION = Part(
    "Figures 6 to 11: images denoised by an autoencoder and two VAEs",
    reconstruction,
    ("seeds", "models", "datasets", "seed"),
)


def _train(plan: Denoising, names: Sequence[str], settings: ReproduceSettings, out: Path) -> dict[str, dict[int, Run]]:
    return {
        name: {
            seed: trained(
                training_settings(plan, name), settings, seed=seed, path=out / f"{plan.name}-{name}-seed{seed}"
            )
            for seed in settings.seeds
        }
        for name in names
    }


def _table(plan: Denoising, runs: Mapping[str, Mapping[int, Run]], found: Measured) -> Table:
    """Lay out a data set's networks and baselines: over seeds for networks, with an interval over images for both."""
    rows: list[tuple[str, ...]] = []
    for name, by_seed in found.networks.items():
        parameters = runs[name][min(by_seed)].manifest["model"]["parameters"]
        rows.append((f"{name} (Figure {plan.figures[name]})" if name in plan.figures else name, f"{parameters:,}",
                     *_over_seeds(by_seed)))  # fmt: skip
    rows += [(title, "–", *_of_images(one)) for title, one in found.baselines.items()]
    header = ("", "parameters", "PSNR (dB)", "95% over images", "SSIM", "95% over images", "images", "seeds")
    note = "Networks: mean ± standard deviation over seeds; intervals are the first seed's. The report has no numbers."
    return Table(f"{plan.data}, noise {plan.noise}", header, tuple(rows), note)


def _over_seeds(by_seed: Mapping[int, Quality]) -> tuple[str, ...]:
    first = by_seed[min(by_seed)]
    cells: list[str] = []
    for measure_name, digits in (("psnr", 2), ("ssim", 4)):
        mean, std = spread([float(np.mean(one[measure_name])) for one in by_seed.values()])
        low, high = quality({measure_name: first[measure_name]})[f"{measure_name}_interval"]
        cells += [f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}"),
                  f"{low:.{digits}f} to {high:.{digits}f}"]  # fmt: skip
    return (*cells, f"{len(first['psnr']):,}", str(len(by_seed)))


def _of_images(one: Quality) -> tuple[str, ...]:
    told = quality({name: one[name] for name in ("psnr", "ssim")})
    (a, b), (c, d) = told["psnr_interval"], told["ssim_interval"]
    cells = (f"{told['psnr']:.2f}", f"{a:.2f} to {b:.2f}", f"{told['ssim']:.4f}", f"{c:.4f} to {d:.4f}")
    return (*cells, f"{len(one['psnr']):,}", "–")


def _bounds(
    plans: Sequence[Denoising], kept: RunDirectory, settings: ReproduceSettings, out: Path
) -> tuple[list[Table], list[Run]]:
    """Train and lay out the bound on clean images, of the first seed; return the runs too."""
    rows: list[tuple[str, ...]] = []
    ran: list[Run] = []
    one_seed = replace(settings, seeds=(min(settings.seeds),))
    for plan in plans:
        for number, bound in enumerate(bounds(plan.data)):
            path = out / f"{plan.name}-bound{number}-seed{one_seed.seeds[0]}"
            run = trained(bound.settings, settings, seed=one_seed.seeds[0], path=path)
            told = evaluated(kept, run, settings).numbers
            bits = told["bits_per_dimension"]
            low, high = told["negative_elbo_interval"]
            rows.append((
                plan.data, f"{run.settings.model}, {told['latent']['dimensions']:,} latent", bound.title,
                f"{told['reconstruction']:.2f}", f"{told['kl']:.2f}", f"{told['negative_elbo']:.2f}",
                f"{low:.2f} to {high:.2f}", "–" if bits is None else f"{bits:.3f}", f"{told['latent']['active']:,}",
            ))  # fmt: skip
            ran.append(run)
    header = ("data", "network", "likelihood", "reconstruction (nats)", "KL (nats)", "negative ELBO", "95% over images",
              "bits per dimension", "active")  # fmt: skip
    return ([Table("The bound on clean test images", header, tuple(rows), "One draw of the code an image.")], ran)


def _details(found: Measured) -> dict[str, Any]:
    return {
        "networks": {name: {str(seed): dict(one) for seed, one in by.items()} for name, by in found.numbers.items()},
        "baselines": {title: quality(one) | {"images": len(one["psnr"])} for title, one in found.baselines.items()},
    }


def _how(settings: ReproduceSettings) -> str:
    return (
        f"Seeds {', '.join(map(str, settings.seeds))}. Training images are not augmented; the peak learning rate is "
        "0.003. The epoch is chosen on validation images; the test images are looked at once, with the weights chosen."
    )


def _notes(plan: Denoising, runs: Mapping[str, Mapping[int, Run]], found: Measured) -> list[str]:
    run = next(iter(next(iter(runs.values())).values()))
    data = run.manifest["data"]
    trainings = "; ".join(
        f"{name}: {', '.join(by[min(by)].settings.model_options)}, beta {by[min(by)].settings.beta:g}, "
        f"{by[min(by)].settings.epochs} epochs" for name, by in runs.items()
    )  # fmt: skip
    warnings = [
        f"{name} on {plan.data}, seed {seed}: {line}"
        for name, by_seed in found.numbers.items()
        for seed, one in by_seed.items()
        for line in (one["latent"] or {}).get("warnings", ())
    ]
    about = f"{plan.data}: {data['note']}; {data['train']:,} training, {data['test']:,} test images. {trainings}."
    return [about, *found.left_out, *warnings]
