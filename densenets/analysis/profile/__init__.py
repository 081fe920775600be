"""What a model costs: `densenets profile`, and the figures that a comparison shows beside its scores."""

from densenets.analysis.profile.command import profile
from densenets.analysis.profile.costs import costs
from densenets.analysis.profile.counting import count
from densenets.analysis.profile.latency import latencies
from densenets.analysis.profile.machine import machine

__all__ = ["costs", "count", "latencies", "machine", "profile"]
