"""The journal of an unfinished run: its settings, and when it started and stopped."""

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.machine import environment
from lenet_multi.runs.durable import check_record, write_record, writing
from lenet_multi.runs.earlier import Earlier, is_sound, refuse_other_split
from lenet_multi.runs.record import JOURNAL
from lenet_multi.runs.schema import fits, wrong_fields

SCHEMA_VERSION = 4
OF_OPTIONS = 5  # with `earlier` or `start_from`: an older program would pass over them


@dataclass
class Journal:
    """The settings of a run and its starts so far, kept in its `folder`.

    A start is a dictionary: backend, devices, form and answer form (once known), versions, `began`,
    `ended` (local time, ISO 8601), the epoch (from 0) and the step at which it began, and the
    reason for its end. A start without an end was killed. `earlier` are the finished runs that it
    goes on from (see `earlier`), and `start_from` is the model that its weights came from.
    """

    folder: Path
    config: TrainConfig
    starts: list[dict[str, Any]] = field(default_factory=list)
    earlier: list[Earlier] = field(default_factory=list)
    start_from: dict[str, str] = field(default_factory=dict)  # its path and SHA-256

    @classmethod
    def read(cls, folder: Path) -> "Journal":
        """Return the journal of the run in `folder`; raise `UserError` if unusable."""
        path = folder / JOURNAL
        try:
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise UserError(f"{folder} holds no unfinished run; give the folder of one") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is damaged: {error}; train again with --overwrite") from error
        versions = (SCHEMA_VERSION, OF_OPTIONS)
        if not isinstance(content, dict) or content.get("schema_version") not in versions:
            raise UserError(f"{path} is of another version of lenet-multi; train again")
        content = check_record(path, content)
        if wrong := _wrong(content):
            raise UserError(
                f"{path} is damaged at {', '.join(wrong)}; train again with --overwrite"
            )
        refuse_other_split(content["config"], folder)
        more = {name: content[name] for name in ("earlier", "start_from") if name in content}
        return cls(folder, TrainConfig(**content["config"]), content["starts"], **more)

    @contextmanager
    def started(self, *, backend: str, at: tuple[int, int], devices: int = 1) -> Iterator[None]:
        """Record that the block trains from the epoch and step `at`, and the reason for its end."""
        start: dict[str, Any] = {
            "backend": backend,
            "devices": devices,
            "form": None,
            "answer_form": None,
            "versions": environment.versions(backend),
            "epoch": at[0],
            "step": at[1],
            "began": _now(),
            "ended": None,
            "reason": None,
        }
        self.starts.append(start)
        self._write()
        reason = "finished"
        try:
            yield
        except BaseException as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            start |= {"ended": _now(), "reason": reason}
            self._write()

    def computed_in(self, form: str, answer_form: str) -> None:
        """Record the forms in which the current start trains and predicts."""
        self.starts[-1].update(form=form, answer_form=answer_form)
        self._write()

    def forms_on(self, backend: str) -> tuple[str | None, str | None]:
        """Return the forms in which the run trained and predicted on `backend`, if it did.

        A resumed run keeps them: measured again on another day, others could be fastest.
        """
        earlier = [start for one in self.earlier for start in one["starts"]]
        for start in reversed(earlier + self.starts):
            if start["backend"] == backend and start.get("answer_form"):
                return start["form"], start["answer_form"]
        return None, None

    def _write(self) -> None:
        more = {"earlier": self.earlier, "start_from": self.start_from}
        more = {name: value for name, value in more.items() if value}
        content = {
            "schema_version": OF_OPTIONS if more else SCHEMA_VERSION,
            "config": dataclasses.asdict(self.config),
            "starts": self.starts,
            **more,
        }
        with writing(self.folder):
            write_record(self.folder / JOURNAL, content)


def _wrong(content: dict[str, Any]) -> list[str]:
    """Return the names of settings, or "config" or "starts", that have a wrong type."""
    config, starts = content.get("config"), content.get("starts")
    if not isinstance(config, dict):
        return ["config"]
    known = dataclasses.asdict(TrainConfig()) | config  # newer settings get their defaults
    if wrong := wrong_fields(known, get_type_hints(TrainConfig)):
        return wrong
    if not (starts and fits(starts, list[dict[str, Any]])):
        return ["starts"]
    if not is_sound(content.get("earlier", [])):
        return ["earlier"]
    if not fits(content.get("start_from", {}), dict[str, str]):
        return ["start_from"]
    hints = {"backend": str, "form": str | None, "answer_form": str | None}
    sound = all(fits(start.get(name), hint) for start in starts for name, hint in hints.items())
    return [] if sound else ["starts"]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
