"""Merge two models with one alpha and write a complete checkpoint: `adamms merge` for a cluster.

python pipelines/merge.py --config FILE [base=... donor=... alpha=0.3 output=DIR key=value ...]
ray job submit --working-dir . -- python pipelines/merge.py --config FILE alpha=0.3 output=/shared/merged
"""

from pathlib import Path

from adamms.cli import program
from adamms.commands.merge import merge, rehearse
from adamms.commands.settings import MergeJobSettings
from adamms.merging.recipe import parse_alpha
from adamms.reporting.tables import print_pairs
from adamms.support.ray_session import warn_if_temporary


def run(settings: MergeJobSettings, force: bool) -> None:
    output = Path(settings.output)
    warn_if_temporary(output)
    print(merge(settings, parse_alpha(settings.alpha), output, smoke=settings.smoke, force=force))


def dry_run(settings: MergeJobSettings) -> None:
    print_pairs(rehearse(settings, parse_alpha(settings.alpha), Path(settings.output)))


main = program(MergeJobSettings, run, __doc__, dry_run)

if __name__ == "__main__":
    main()
