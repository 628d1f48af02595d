"""`fmtharness generate --to`: the data alone, in a folder that may hold it already.

    write_data(config, Path("data"))  ->  data/train.jsonl, dev.jsonl, eval.jsonl, stats.json, ...

The same command again writes the same bytes. Files of these names that differ are kept, with a
UserError, since they are other data or were edited.
"""

from __future__ import annotations

import filecmp
from pathlib import Path

from fmtharness.harness.config import Config
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import atomic_file, held_folder, sweep
from fmtharness.harness.run import data


def write_data(config: Config, folder: Path) -> None:
    """Write what is missing in the folder.

    Raises UserError, and writes nothing, if a file there is not what would be written.
    """
    if not any((folder / name).exists() for name in data.DATA_FILES):
        data.write_data(config, folder)
        return
    sweep(folder, "generate")
    with held_folder(folder, "generate") as temporary:
        made = data.write_data(config, temporary)
        for path in made:
            there = folder / path.name
            if there.exists() and not (there.is_file() and filecmp.cmp(path, there, shallow=False)):
                raise UserError(
                    f"{there}: this command would write something else there; move the file away, "
                    f"or choose another folder with --to"
                )
        for path in made:
            if not (folder / path.name).exists():
                with atomic_file(folder / path.name) as target:
                    path.replace(target)
