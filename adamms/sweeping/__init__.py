"""Many searches from one file: pairs x methods, each over all tasks, on engines that searches with one base share."""
