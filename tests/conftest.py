"""For all tests."""

from __future__ import annotations

import freezegun
from hypothesis import HealthCheck, settings

# That this machine is busy with something else is no fault of what is tested.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Each time that time is frozen, every module that is loaded is looked through for clocks.
freezegun.configure(extend_ignore_list=["anthropic", "boto", "google", "moto", "numpy", "openai", "zai"])
