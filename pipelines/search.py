"""Search alpha for one pair of models and unlabelled prompts of one task or several, and export the winner.

    python pipelines/search.py --config conf/demo.yaml [key=value ...]
    ray job submit --working-dir . -- python pipelines/search.py --config conf/demo.yaml [key=value ...]

The same command run again goes on where it stopped: no finished (alpha, prompt) is answered twice.
"""

from adamms.cli import pipeline

main = pipeline("search")

if __name__ == "__main__":
    main()
