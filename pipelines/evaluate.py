"""Judge a finished search by labelled prompts: every alpha, the donor, the oracle, and the regret of the choice.

    python pipelines/evaluate.py --config conf/demo.yaml labelled.path=FILE.jsonl [key=value ...]
    python pipelines/evaluate.py ... labelled.tasks.ocr=FILE labelled.tasks.vqa=FILE baselines=[ties] ancestor=DIR
    python pipelines/evaluate.py --config FILE lmms_eval.tasks=[ocrbench,textvqa_val] lmms_eval.python=ENV/bin/python

The last evaluates the winner by lmms-eval, with or without labelled prompts of your own; its figures are on the
dashboard as `lmms_eval/...`. Labels are read here and nowhere else; the search never sees them.
"""

from adamms.cli import pipeline

main = pipeline("evaluate")

if __name__ == "__main__":
    main()
