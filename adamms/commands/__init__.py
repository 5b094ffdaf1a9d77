"""What each command does, as one plain function: the command line, the Python API and `pipelines/` all call it."""
