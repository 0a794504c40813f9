"""The tables of the training benchmark: medians with their spread, ratios, the share of the machine's own rate."""

import statistics


def rate_of(measured: dict) -> float:
    """Images per second over all epochs but the first, which warms up where there are others."""
    seconds = measured["epoch_seconds"][1:] or measured["epoch_seconds"]
    return measured["images"] / statistics.median(seconds)


def print_summary(results: dict, filters: str, wide: str) -> None:
    """Print a line for each contender, the share of the matrix-product rate, and the seconds to the target."""
    print(
        f"\n{results['machine']['cpu']}, {results['machine']['cores']} cores, {results['asked']}; filters {filters}\n"
    )
    _print_rates(_grouped(results["trainings"], filters))
    _print_share(results, wide)
    if results["to_target"]:
        _print_target(results["to_target"])


def _grouped(trainings: list[dict], filters: str) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for one in trainings:
        if one["filters"] == filters:
            groups.setdefault(one["contender"], []).append(one)
    return groups


def _print_rates(groups: dict[str, list[dict]]) -> None:
    print("| contender | precision | batch, workers | images/s: median (least - most) | glassnet / it | peak memory |")
    print("|---|---|---|---|---|---|")
    ours = _middle(groups["glassnet"], "images_per_second") if "glassnet" in groups else None
    for name, same in groups.items():
        ratio = "" if ours is None or name == "glassnet" else f"{ours / _middle(same, 'images_per_second'):.2f}"
        precision = same[0].get("precision", "–")
        setting = f"{same[0]['batch_size']}, {same[0].get('workers', '–')}"
        memory = [one["peak_bytes"] for one in same if one["peak_bytes"]]
        shown = f"{statistics.median(memory) / 2**20:,.0f} MiB" if memory else ""
        print(f"| {name} | {precision} | {setting} | {_shown(same, 'images_per_second', ',.0f')} | {ratio} | {shown} |")


def _print_share(results: dict, wide: str) -> None:
    rates = results["matmul"]["flops_per_second"]
    print("\nmatrix products: " + ", ".join(f"{name} {rate / 1e9:,.1f} GFLOP/s" for name, rate in rates.items()))
    same = _grouped(results["trainings"], wide).get("glassnet", [])
    if same:
        precision = same[0]["precision"]
        shares = [one["images_per_second"] * one["training_flops_per_image"] / rates[precision] for one in same]
        print(
            f"glassnet with filters {wide} in {precision}: {_shown(same, 'images_per_second', ',.0f')} images/s, "
            f"{statistics.median(shares):.1%} of the {precision} rate ({min(shares):.1%} - {max(shares):.1%})"
        )


def _print_target(rows: list[dict]) -> None:
    print("\n| contender | target | reached | epochs | seconds from process start: median (least - most) |")
    print("|---|---|---|---|---|")
    for name in dict.fromkeys(row["contender"] for row in rows):
        same = [row for row in rows if row["contender"] == name]
        reached = [row for row in same if row["seconds"] is not None]
        epochs = ", ".join(str(row["epochs"]) for row in reached)
        seconds = _shown(reached, "seconds", ".1f") if reached else "–"
        print(f"| {name} | {same[0]['target']} | {len(reached)} of {len(same)} | {epochs} | {seconds} |")


def _middle(rows: list[dict], name: str) -> float:
    return statistics.median(row[name] for row in rows)


def _shown(rows: list[dict], name: str, form: str) -> str:
    values = [row[name] for row in rows]
    return f"{_middle(rows, name):{form}} ({min(values):{form}} - {max(values):{form}}, {len(values)} runs)"
