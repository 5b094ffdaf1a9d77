"""Search alpha for many pairs of models, and rank them: `adamms sweep` for a cluster.

python pipelines/sweep.py --config FILE [key=value ...]
ray job submit --working-dir . -- python pipelines/sweep.py --config FILE [key=value ...]
"""

from adamms.cli import pipeline

main = pipeline("sweep")

if __name__ == "__main__":
    main()
