"""The interface facts, compiled: validators, channels, routing, appointment effects and applicable dates."""

from pipeline.catalogue.appointments import Action, Condition, DatePath, Effect
from pipeline.catalogue.casing import Canonical
from pipeline.catalogue.catalogue import Catalogue, Verdict, load_catalogue
from pipeline.catalogue.channels import Channel
from pipeline.catalogue.explanation import Problem
from pipeline.catalogue.facts import FactsInvalid
from pipeline.catalogue.paths import Path, parse_path, values
from pipeline.catalogue.validator import PairValidator

__all__ = [
    "Action",
    "Canonical",
    "Catalogue",
    "Channel",
    "Condition",
    "DatePath",
    "Effect",
    "FactsInvalid",
    "PairValidator",
    "Path",
    "Problem",
    "Verdict",
    "load_catalogue",
    "parse_path",
    "values",
]
