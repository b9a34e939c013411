"""Reading Prometheus' text format, as far as Heptad's own members write it.

For the doctor and the control room, which look at members as Prometheus would and need no server
for it. What cannot be read as a sample is passed over: a member of a newer version may say more.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SAMPLE: Final = re.compile(
    r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})? ([-+0-9.eE]+|[-+]?Inf|NaN)$", re.MULTILINE
)
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: its labels and its value."""

    labels: Mapping[str, str]
    value: float


class Exposition:
    """What one process exports at one moment."""

    def __init__(self, page: str) -> None:
        self._samples: dict[str, list[Sample]] = defaultdict(list)
        for name, labels, value in _SAMPLE.findall(page):
            self._samples[name].append(Sample(dict(_LABEL.findall(labels)), float(value)))

    def samples(self, name: str) -> Sequence[Sample]:
        """All samples of that name; of histograms the parts have names of their own."""
        return self._samples.get(name, ())

    def value(self, name: str) -> float | None:
        """The first sample's value; None if there is none."""
        found = self.samples(name)
        return found[0].value if found else None

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples that have these labels; 0 if there is none."""
        return sum(
            sample.value for sample in self.samples(name) if labels.items() <= sample.labels.items()
        )

    def by(self, label: str, name: str) -> dict[str, float]:
        """The sums of a metric by the values of one label."""
        sums: dict[str, float] = defaultdict(float)
        for sample in self.samples(name):
            sums[sample.labels.get(label, "")] += sample.value
        return dict(sums)
