"""`make faults`: every fault alone and every two of them, and the table that docs/reliability.md shows."""

from __future__ import annotations

import sys
import tempfile
from itertools import combinations
from pathlib import Path

from tests.faults.world import FAULTS, Counted, World

FAULT_S = 1.5


def main() -> int:
    """Run all of it (or what the arguments name); 1 when an acknowledged event is lost or there twice."""
    chosen = [name for name in FAULTS if not sys.argv[1:] or name in sys.argv[1:]]
    runs = [(name,) for name in chosen] + list(combinations(chosen, 2))
    found: dict[tuple[str, ...], Counted] = {}
    with tempfile.TemporaryDirectory(prefix="llmtrack-faults-") as folder:
        world = World(Path(folder))
        try:
            for names in runs:
                found[names] = world.run(*names, fault_s=FAULT_S)
                print(f"{' + '.join(names)}: {found[names]}", file=sys.stderr, flush=True)
        except BaseException:
            print(world.told(), file=sys.stderr)
            raise
        finally:
            world.close()
    print("| fault | acknowledged alone | acknowledged in pairs | lost | twice | put aside, damaged | drained after |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in chosen:
        alone, pairs = found[(name,)], [one for names, one in found.items() if name in names and len(names) > 1]
        every = [alone, *pairs]
        counts = [alone.acknowledged, *(sum(one[at] for one in pairs) for at in [0])]
        counts += [sum(one[at] for one in every) for at in (1, 2, 3)]
        slowest = max(one.drained_s for one in every)
        print(f"| {name} | {' | '.join(f'{count:,}' for count in counts)} | {slowest:.0f} s |")
    total = [sum(one[at] for one in found.values()) for at in range(4)]
    acknowledged, lost, twice, aside = total
    print(f"\n{len(runs)} runs: {acknowledged:,} events acknowledged, {lost} lost, {twice} twice, {aside} put aside.")
    return int(bool(lost or twice))


sys.exit(main())
