"""Says of each bound of a bench whether it was met, and with what the bench ends: as bench/micro/bounds.h."""


class Bounds:
    def __init__(self, smoke=False):
        """The sizes of --smoke say nothing: bounds are printed, the exit code stays 0."""
        self.smoke, self.missed = smoke, False
        self.judged = []  # what a record keeps of them
        self.lines = []

    def at_least(self, name, value, bound):
        self._judge(name, value, ">=", bound, value >= bound)

    def at_most(self, name, value, bound):
        self._judge(name, value, "<=", bound, value <= bound)

    def exit_code(self):
        return 1 if self.missed and not self.smoke else 0

    def _judge(self, name, value, relation, bound, met):
        line = f"bound {name}: {value:.3f} ({relation} {bound:g}): {'met' if met else 'missed'}"
        print(line, flush=True)
        self.lines.append(line)
        self.judged.append({"name": name, "value": value, "relation": relation, "bound": bound,
                            "met": met})
        self.missed = self.missed or not met
