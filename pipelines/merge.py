"""Merge two models with one alpha and write a complete checkpoint: `adamms merge` for a cluster.

python pipelines/merge.py --config FILE [base=... donor=... alpha=0.3 output=DIR key=value ...]
ray job submit --working-dir . -- python pipelines/merge.py --config FILE alpha=0.3 output=/shared/merged
"""

from adamms.cli import merge_job as main

if __name__ == "__main__":
    main()
