"""What came out of one network."""

from dataclasses import dataclass, field

SPOILED = 0.05  # loss of what is learnt, beyond three standard deviations of 1,000 answers (0.04)


@dataclass
class Outcome:
    """One network, with one fault or none."""

    family: str
    network: str
    seed: int
    fault: str = ""  # "" for none
    place: str = ""
    blame: list[str] = field(default_factory=list)  # where the fault is
    found: list[tuple[str, str, str]] = field(default_factory=list)  # severity, code, layer
    learnt: dict[str, float] = field(default_factory=dict)  # by optimizer
    drops: dict[str, float] = field(default_factory=dict)  # beside the healthy network
    advised: bool = False
    mended: dict[str, float] = field(default_factory=dict)  # as learnt, after the advice
    recovered: bool = False
    numbers: dict[str, float] = field(default_factory=dict)  # what the thresholds judge

    @property
    def trains(self) -> bool:
        """Whether it learns something, and a fault in it costs nothing with any optimizer."""
        return max(self.learnt.values()) > 2 * SPOILED and not self.hurt

    @property
    def spoiled(self) -> bool:
        """Whether the fault costs with all optimizers: none of them makes up for it."""
        return min(self.drops.values(), default=0.0) > SPOILED

    @property
    def hurt(self) -> bool:
        """Whether it does so with at least one of them."""
        return max(self.drops.values(), default=0.0) > SPOILED

    @property
    def worse(self) -> list[tuple[str, str, str]]:
        """What is worse than a note."""
        return [f for f in self.found if f[0] != "note"]

    @property
    def error(self) -> bool:
        """Whether an error was said."""
        return any(severity == "error" for severity, *_ in self.found)

    @property
    def named(self) -> bool:
        """Whether a finding that is worse than a note names the layer of the fault."""
        return any(
            found == layer or layer.startswith(f"{found}.") or found.startswith(f"{layer}.")
            for *_, found in self.worse
            for layer in self.blame
        )
