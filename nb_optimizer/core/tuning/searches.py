"""All searches by name: one file each, behind the contract of ``contract.py``."""

from __future__ import annotations

from collections.abc import Callable

from nb_optimizer.core.tuning.asha import AshaSearch
from nb_optimizer.core.tuning.bayesian import BayesianSearch
from nb_optimizer.core.tuning.contract import Search
from nb_optimizer.core.tuning.grid import GridSearch
from nb_optimizer.core.tuning.hyperband import HyperbandSearch
from nb_optimizer.core.tuning.uniform import RandomSearch

SEARCHES: dict[str, Callable[[int], Search]] = {
    "asha": AshaSearch,
    "random": RandomSearch,
    "grid": GridSearch,
    "bayesian": BayesianSearch,
    "hyperband": HyperbandSearch,
}
