"""The four pictures of `bench sync-async`, from its results.json. The only user of matplotlib."""

import matplotlib

matplotlib.use("Agg")  # files only: no display is needed

from matplotlib import pyplot  # noqa: E402

COLOURS = {"sync": "#1f77b4", "ssp": "#2ca02c", "async": "#d62728"}
PARTS = {"load": "#9467bd", "compute": "#2ca02c", "push": "#1f77b4", "pull": "#17becf",
         "wait": "#d62728"}


def panels(results, title):
    """One panel for each condition, side by side."""
    names = list(dict.fromkeys(run["condition"] for run in results["runs"]))
    figure, axes = pyplot.subplots(1, len(names), figsize=(4.2 * len(names), 3.6), squeeze=False,
                                   layout="constrained")
    figure.suptitle(title)
    for axis, name in zip(axes[0], names):
        axis.set_title(name, fontsize=10)
        axis.grid(alpha=0.3)
    return figure, dict(zip(names, axes[0]))


def save(figure, path):
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path


def accuracy_over_time(results, path):
    figure, axes = panels(results, "test score over time (every run)")
    for run in results["runs"]:
        times, scores = zip(*run["curve"])
        axes[run["condition"]].plot(times, scores, marker=".", color=COLOURS[run["mode"]], alpha=0.8,
                                    label=run["mode"] if run["repeat"] == 1 else None)
    for axis in axes.values():
        axis.axhline(results["target"], color="grey", linestyle=":", linewidth=1)
        axis.set_xlabel("seconds")
        axis.legend(loc="lower right")
    return save(figure, path)


def samples_per_second(results, path):
    figure, axes = panels(results, "samples per second (median, bar: median absolute deviation)")
    top = max(row["samples_per_second"] for row in results["rows"])
    for row in results["rows"]:
        axes[row["condition"]].bar(row["mode"], row["samples_per_second"],
                                   yerr=row["samples_per_second_mad"], color=COLOURS[row["mode"]])
    for axis in axes.values():
        axis.set_ylim(0, 1.1 * top)
    return save(figure, path)


def staleness(results, path):
    """Sync has none: a push for a closed step cannot be applied."""
    figure, axes = panels(results, "staleness of updates (all runs)")
    for condition, axis in axes.items():
        for mode, shift in (("ssp", -0.2), ("async", 0.2)):
            counts = total_histogram(results["runs"], condition, mode)
            whole = sum(counts) or 1
            axis.bar([index + shift for index in range(len(counts))],
                     [count / whole for count in counts], width=0.4, color=COLOURS[mode],
                     label=mode)
        axis.set_xlabel("versions behind")
        axis.set_ylabel("share of updates")
        axis.legend()
    return save(figure, path)


def total_histogram(runs, condition, mode):
    total = []
    for run in runs:
        if run["condition"] == condition and run["mode"] == mode:
            counts = (run["summary"].get("staleness") or {}).get("histogram") or []
            total += [0] * (len(counts) - len(total))
            total = [a + b for a, b in zip(total, counts + [0] * (len(total) - len(counts)))]
    return total


def step_shares(results, path):
    figure, axes = panels(results, "share of a step (mean over runs)")
    for (condition, mode), shares in mean_shares(results["runs"]).items():
        bottom = 0.0
        for part, colour in PARTS.items():
            axes[condition].bar(mode, shares[part], bottom=bottom, color=colour)
            bottom += shares[part]
    handles = [matplotlib.patches.Patch(color=colour, label=part) for part, colour in PARTS.items()]
    for axis in axes.values():
        axis.set_ylim(0, 1)
        axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3,
                    fontsize=8)
    return save(figure, path)


def mean_shares(runs):
    """(condition, mode) -> part -> share, 0 .. 1."""
    sums = {}
    for run in runs:
        shares = run["summary"].get("shares") or {}
        total = sum(shares.values()) or 1
        sums.setdefault((run["condition"], run["mode"]), []).append(
            {part: shares.get(part, 0) / total for part in PARTS})
    return {key: {part: sum(share[part] for share in group) / len(group) for part in PARTS}
            for key, group in sums.items()}


def draw_all(results, folder):
    """-> the files written."""
    drawings = {"accuracy_over_time": accuracy_over_time,
                "samples_per_second": samples_per_second,
                "staleness": staleness, "step_shares": step_shares}
    return [draw(results, folder / f"{name}.png") for name, draw in drawings.items()]
