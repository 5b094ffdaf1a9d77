"""Search alpha for many pairs of models, with one method or several, over the same tasks; ends with one ranked table.

    python pipelines/sweep.py --config conf/sweeps/demo.yaml [key=value ...]
    ray job submit --no-wait --working-dir . -- python pipelines/sweep.py --config conf/sweeps/demo.yaml run_dir=/...

Pairs run side by side within the cluster; searches with the same base share engines; one that fails leaves the others
alone. The same command run again does what is missing: nothing that is finished and unchanged is done again.
"""

from adamms.cli import pipeline

main = pipeline("sweep")

if __name__ == "__main__":
    main()
