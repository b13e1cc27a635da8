"""A process that trains one stage or cell. It imports torch only after it has selected its device."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcdan.benchmark.revision import PlanContext


BUSY = 75
"""Exit code of a process whose stage or cell another machine trains (EX_TEMPFAIL)."""


def work(plan_text: str, context: PlanContext, folder: str, out: Path, command: str, device: str) -> None:
    """Train one stage or cell and end the process. The message of a failure is written to ``failed.json``.

    Args:
        plan_text: the plan as JSON.
        context: data and code of the training.
        folder: name of the stage or cell.
        out: folder of the benchmark.
        command: the command of the user, for ``run.json``.
        device: "cpu" (one thread) or the number of a CUDA device.

    Raises:
        SystemExit: with exit code 1 after a failure, 130 when it was stopped and has saved, and ``BUSY`` when another
            process, perhaps of another machine, trains the same stage or cell.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if device == "cpu":
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    import torch

    if device == "cpu":
        torch.set_num_threads(1)  # where torch was imported before, it does not look at the variables again
    from dcdan.benchmark.cell import FAILED, run_cell, run_stage
    from dcdan.benchmark.plan import Plan, cells_of
    from dcdan.core.atomic_io import write_text
    from dcdan.core.errors import DcdanError
    from dcdan.core.locks import FolderBusyError, folder_lock
    from dcdan.core.signals import Interrupted
    from dcdan.jobs.workers import end_with_parent

    threading.Thread(target=end_with_parent, daemon=True).start()
    plan = Plan.model_validate_json(plan_text)
    failed = out / folder / FAILED
    try:
        for cell in cells_of(plan, context):
            if folder in (cell.stage.folder, cell.folder):
                with folder_lock(out / folder):
                    if cell.stage.folder == folder:
                        run_stage(cell.stage, out, command)
                    else:
                        run_cell(cell, plan, out, command)
                break
    except Interrupted as stopped:
        sys.exit(stopped.exit_code)
    except FolderBusyError:
        sys.exit(BUSY)
    except OSError as error:
        # Most often a full disk, of which there may be no room left to write.
        with suppress(OSError, DcdanError):
            write_text(failed, json.dumps({"error": f"it cannot be written ({error.strerror or error})"}) + "\n")
        sys.exit(1)
    except Exception as error:
        sentence = str(error) if isinstance(error, DcdanError) else f"{type(error).__name__}: {error}"
        with suppress(OSError, DcdanError):
            failed.parent.mkdir(parents=True, exist_ok=True)
            write_text(failed, json.dumps({"error": sentence}) + "\n")
        sys.exit(1)
    failed.unlink(missing_ok=True)
