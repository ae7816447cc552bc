"""Which part of a cut program runs what, takes what and gives what; all by the names of values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from planner.errors import PlanError
from planner.frontends.torch_programs.steps import Step, Steps


@dataclass(slots=True, kw_only=True)
class Part:
    """One host's share of a program.

    Attributes:
        steps: What it runs, in order; what is computed from constants and weights alone is
            repeated in every part that needs it.
        takes: What it is given, in the order in which it is needed.
        gives: What it hands on to the next part, in the order in which that needs it.
        handed: Outputs of the program that it hands on beside: made here or before, and read by
            nobody later, so that no plan counts them.
        results: Those of the program's outputs that are made here.
        weights: The weights that it reads or writes to.
    """

    steps: list[Step] = field(default_factory=list)
    takes: list[str] = field(default_factory=list)
    gives: list[str] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)


class Cutter:
    """Cuts one program.

    Args:
        steps: What the program does.
        hosts: Part of every placed step, by the call's name.
        inputs: The program's inputs, in order.
        crossing: For every link the inputs that the plan sends over it.
        n_parts: How many there are.
    """

    def __init__(
        self,
        steps: Steps,
        hosts: Mapping[str, int],
        *,
        inputs: Sequence[str],
        crossing: Sequence[Collection[str]],
        n_parts: int,
    ) -> None:
        self._steps = steps
        self._inputs = inputs
        self._hosts = dict(hosts)
        self._producers = {v.name: step for step in steps.steps for v in step.outputs}
        self.parts = [Part() for _ in range(n_parts)]
        self._updates: set[str] = set()
        self._place_writes()
        read = [self._choose(number) for number in range(n_parts)]
        self._homes = self._input_homes(read, crossing)
        self._refuse_straddling(read)
        self._connect(read)
        self._share_out_results()

    def _place_writes(self) -> None:
        """What only writes to a buffer goes where what it reads is, else where its module is."""
        by_path: dict[str, int] = {}
        earliest: dict[str, int] = {}
        for step in self._steps.steps:
            if step.call.name in self._hosts:
                by_path.setdefault(step.call.path, self._hosts[step.call.name])
        for step in self._steps.steps:
            made = [earliest[name] for name in step.reads if name in earliest]
            if step.writes is not None and step.call.name not in self._hosts:
                part = by_path.get(step.call.path, len(self.parts) - 1)
                self._hosts[step.call.name] = max(made, default=part)
                self._updates.add(step.call.name)
            home = self._hosts.get(step.call.name, max(made, default=None))
            if home is not None:
                earliest.update((value.name, home) for value in step.outputs)

    def _choose(self, number: int) -> list[str]:
        """Set what part `number` runs.

        Returns:
            What others make, or the user gives, in the order in which it is read.
        """
        part = self.parts[number]
        wanted = {s.call.name for s in self._steps.steps if self._hosts.get(s.call.name) == number}
        pending = [s for s in self._steps.steps if s.call.name in wanted]
        pending += self._makers_of_outputs(number)
        while pending:
            step = pending.pop()
            wanted.add(step.call.name)
            for maker in self._makers(step):
                if maker.call.name not in self._hosts and maker.call.name not in wanted:
                    pending.append(maker)
        part.steps = [step for step in self._steps.steps if step.call.name in wanted]
        foreign: dict[str, None] = {}
        weights: dict[str, None] = {}
        for step in part.steps:
            if step.writes is not None:
                weights[step.writes] = None
            for name in step.reads:
                if name is None:
                    continue
                maker_name = self._producers[name].call.name if name in self._producers else None
                if name in self._steps.ties:
                    weights[name] = None
                elif maker_name not in wanted:
                    foreign[name] = None
        part.weights = list(weights)
        return list(foreign)

    def _makers(self, step: Step) -> Iterator[Step]:
        for name in step.reads:
            if name in self._producers:
                yield self._producers[name]

    def _makers_of_outputs(self, number: int) -> list[Step]:
        """Steps that make constant outputs: they belong to the last part."""
        if number != len(self.parts) - 1:
            return []
        makers = [self._producers[n] for n in self._steps.outputs if n in self._producers]
        return [maker for maker in makers if maker.call.name not in self._hosts]

    def _input_homes(
        self, read: list[list[str]], crossing: Sequence[Collection[str]]
    ) -> dict[str, int]:
        """Where every input is made: at the first part that reads or sends it."""
        homes: dict[str, int] = {}
        for name in self._inputs:
            readers = [number for number, names in enumerate(read) if name in names]
            senders = [link for link, names in enumerate(crossing) if name in names]
            homes[name] = min([*readers, *senders], default=0)
        return homes

    def _home(self, name: str) -> int:
        maker = self._producers.get(name)
        return self._homes[name] if maker is None else self._hosts[maker.call.name]

    def _refuse_straddling(self, read: list[list[str]]) -> None:
        """Complain about weights that are written to in one part and in use in another one."""
        for number, part in enumerate(self.parts):
            for step in part.steps:
                if step.writes is None:
                    continue
                one = self._steps.ties[step.writes].value.name
                made = {value.name for value in step.outputs}
                for other, names in enumerate(read):
                    held = {self._steps.ties[n].value.name for n in self.parts[other].weights}
                    is_update = step.call.name in self._updates
                    is_update = is_update or self._steps.ties[step.writes].requires_grad
                    if other != number and (one in held or (is_update and made & set(names))):
                        path = self._steps.ties[step.writes].path
                        raise PlanError(
                            f"`{path}` is changed on one host and used on another",
                            code="PLN433",
                            where=f"`{path}`",
                            hint="plan with what reads it `together`",
                        )

    def _connect(self, read: list[list[str]]) -> None:
        for number, names in enumerate(read):
            for name in names:
                if self._home(name) > number:
                    raise PlanError(
                        f"`{name}` is read before it is made: the plan is for another program",
                        code="PLN431",
                        where="plan",
                    )
        for name in self._inputs:
            self.parts[self._homes[name]].takes.append(name)
        for link in range(len(self.parts) - 1):
            later = [name for names in read[link + 1 :] for name in names]
            sent = list(dict.fromkeys(name for name in later if self._home(name) <= link))
            self.parts[link].gives = sent
            self.parts[link + 1].takes[:0] = sent

    def _share_out_results(self) -> None:
        last = len(self.parts) - 1
        for name in dict.fromkeys(self._steps.outputs):
            maker = self._producers.get(name)
            home = last
            if maker is not None:
                home = self._hosts.get(maker.call.name, last)
            elif name in self._homes:
                home = self._homes[name]
            elif name not in self.parts[last].weights:
                self.parts[last].weights.append(name)
            self.parts[home].results.append(name)
            for part in self.parts[home:-1]:
                if name not in part.gives:
                    part.handed.append(name)
        for before, part in zip(self.parts, self.parts[1:], strict=False):
            count = len(before.gives)
            part.takes[count:count] = before.handed
