"""Judge a finished search by labelled prompts or by lmms-eval: `adamms evaluate` for a cluster.

python pipelines/evaluate.py --config FILE [key=value ...]
ray job submit --working-dir . -- python pipelines/evaluate.py --config FILE [key=value ...]
"""

from adamms.cli import pipeline

main = pipeline("evaluate")

if __name__ == "__main__":
    main()
