"""Search alpha for one pair of models, and export the winner: `adamms search` for a cluster.

python pipelines/search.py --config FILE [key=value ...]
ray job submit --working-dir . -- python pipelines/search.py --config FILE [key=value ...]
"""

from adamms.cli import pipeline

main = pipeline("search")

if __name__ == "__main__":
    main()
