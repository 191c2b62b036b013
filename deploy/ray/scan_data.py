"""Verdicts of every video and picture below a folder as a table, with Ray Data.

    python scan_data.py FOLDER OUT_FOLDER

OUT_FOLDER gets JSON files with the columns path, verdict, score and error. The machines need the Python package of
deeptell; one process per core holds a model, and takes batches of files.
"""

import sys

import ray

from scan import files_below


class Scanner:
    """Scans batches of files."""

    def __init__(self):
        import deeptell

        self.scan_many = deeptell.Detector(threads=1).scan_many

    def __call__(self, batch):
        rows = {"path": [], "verdict": [], "score": [], "error": []}
        for path, report, error in self.scan_many(list(batch["path"]), workers=1):
            rows["path"].append(str(path))
            rows["verdict"].append("failed" if report is None else report.verdict)
            rows["score"].append(None if report is None else report.score)
            rows["error"].append("" if error is None else str(error))
        return rows


def main(folder, out):
    ray.init(log_to_driver=False)
    files = [{"path": path} for path in files_below(folder)]
    blocks = max(1, len(files) // 16)
    workers = int(ray.cluster_resources()["CPU"])
    table = ray.data.from_items(files, override_num_blocks=blocks)
    table = table.map_batches(Scanner, batch_size=16, num_cpus=1, concurrency=(1, workers))
    table.write_json(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
