"""Pictures out: a run as text, as static HTML, as a live panel. All are made from its record."""

from __future__ import annotations

from nb_optimizer.views.frontend import cell_id
from nb_optimizer.views.live import follow, view_for
from nb_optimizer.views.result import Comparison, Run, RunTable

__all__ = ["Comparison", "Run", "RunTable", "cell_id", "follow", "view_for"]
