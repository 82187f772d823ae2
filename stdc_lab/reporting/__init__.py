"""Knowledge → pictures and pages, free of torch."""

from stdc_lab.reporting.claims import render_claims
from stdc_lab.reporting.figures import curve_figure, macs_figure, parameters_figure, pareto_figure
from stdc_lab.reporting.html import render_report

__all__ = ["curve_figure", "macs_figure", "parameters_figure", "pareto_figure", "render_claims", "render_report"]
