"""What runs, searches and compressions, folded from their journals, tell of themselves."""

from __future__ import annotations

from typing import Any


class Recorded:
    """Who a result is and how it ended, from its ``record``."""

    record: Any

    @property
    def id(self) -> str:
        """Its id, as ``%runs show`` takes it."""
        return str(self.record.begin.run)

    @property
    def name(self) -> str:
        """The name given with ``--name``, or an empty string."""
        return str(self.record.begin.name)

    @property
    def status(self) -> str:
        """How it ended: completed, early_stopped, stopped, failed, interrupted; or running."""
        return str(self.record.status)

    @property
    def reason(self) -> str:
        """Why it ended, in words; empty after a normal end."""
        return str(self.record.reason)
