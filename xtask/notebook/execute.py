"""Executes a notebook from beginning to end and prints what its cells print. Exits with 1 if a cell fails.

usage: execute.py NOTEBOOK

The notebook is not changed.
"""

import pathlib
import sys
import time

import nbclient
import nbformat

# The longest that a cell may take.
CELL_SECONDS_MAX = 300


def shown(output):
    """The text of an output of a cell."""
    if output.output_type == "stream":
        return output.text
    return output.get("data", {}).get("text/plain", "") + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = pathlib.Path(sys.argv[1])
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=CELL_SECONDS_MAX, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    started, executed = time.monotonic(), 0
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        sys.exit(f"{path}: {error}")
    finally:
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if output.output_type != "error":
                    print(shown(output), end="", flush=True)
            executed += cell.get("execution_count") is not None
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    if executed != cells:
        sys.exit(f"{path}: executed {executed} of {cells} cells")
    print(f"{path}: {cells} cells in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
