# SPDX-License-Identifier: MIT
"""A row of the table: what is ours, what is beside it in the same run, their ratio, its limit, and what it compares."""
import statistics

PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))


def summary(values):
    """Median and range: the 10th to the 90th percentile, which is all of them where they are fewer than ten."""
    ordered = sorted(values)
    tenth = len(ordered) // 10
    return {
        "median": statistics.median(ordered),
        "low": ordered[tenth],
        "high": ordered[-1 - tenth],
        "runs": len(ordered),
    }


def scaled(number, unit):
    """A factor and a unit with its prefix, so that the number is between 1 and 1000."""
    if unit not in ("s", "B/s", "B", "1/s", "items/s", "jobs/s", "calls/s", "decisions/s"):
        return 1, unit
    for factor, prefix in PREFIXES:
        if abs(number) >= factor and (factor <= 1 or unit != "s"):
            break
    return factor, (prefix + unit if unit in ("s", "B", "B/s") else (prefix + " " + unit).strip())


def digits(number):
    return "%.3g" % number if abs(number) < 100 else "%.0f" % number


def text(figures, unit):
    if figures is None:
        return ""
    factor, name = scaled(figures["median"], unit)
    return "%s (%s to %s) %s" % (*(digits(figures[key] / factor) for key in ("median", "low", "high")), name)


class Row:
    """`ours` and `beside`: lists of figures in `unit`, the second may be None. The figure that has the limit is the ratio of
    the two medians where there are two, else the median of ours. `limit`: a text ("at least", "at most" or "under") and a
    number, or None. `skipped`: why there is nothing."""

    def __init__(self, name, compares, unit="s", ours=None, beside=None, limit=None, skipped=None):
        self.name, self.compares, self.unit = name, compares, unit
        self.limit, self.skipped = limit, skipped
        self.ours = summary(ours) if ours else None
        self.beside = summary(beside) if beside else None
        self.ratio = self.ours["median"] / self.beside["median"] if ours and beside else None

    def meets(self):
        """None: nothing to meet."""
        if self.limit is None or self.ours is None:
            return None
        figure = self.ratio if self.ratio is not None else self.ours["median"]
        way, number = self.limit
        return {"at least": figure >= number, "at most": figure <= number, "under": figure < number}[way]

    def limit_text(self):
        if self.limit is None:
            return ""
        way, number = self.limit
        if self.ratio is not None or self.ours is None:
            return "%s %g" % (way, number)
        factor, name = scaled(number, self.unit)
        return "%s %s %s" % (way, digits(number / factor), name)

    def cells(self):
        verdict = {None: "", True: "meets", False: "below"}[self.meets()]
        if self.skipped:
            return [self.name, "skipped: " + self.skipped, "", "", "", "", self.compares]
        ratio = "" if self.ratio is None else "%.2f" % self.ratio
        return [self.name, text(self.ours, self.unit), text(self.beside, self.unit), ratio, self.limit_text(), verdict,
                self.compares]

    def data(self):
        return {"name": self.name, "compares": self.compares, "unit": self.unit, "ours": self.ours, "beside": self.beside,
                "ratio": self.ratio, "limit": self.limit_text() or None, "meets": self.meets(), "skipped": self.skipped}


HEADER = ["", "ours: median (range)", "beside it: median (range)", "ratio", "limit", "", "compares"]
WIDTHS = [46, 32, 32, 6, 18, 6, 0]


def plain_line(cells):
    return " ".join("%-*s" % (width, cell) for width, cell in zip(WIDTHS, cells)).rstrip()


def markdown(rows):
    lines = [HEADER, ["---"] * len(HEADER)] + [row.cells() for row in rows]
    return "\n".join("| %s |" % " | ".join(cell.strip() for cell in cells) for cells in lines) + "\n"
