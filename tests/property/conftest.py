# SPDX-License-Identifier: Apache-2.0
"""
How long hypothesis searches: `HYPOTHESIS_PROFILE=ci` for ten times as long, `soak` for a night,
`bugs` to fail without looking for the shortest example.
"""

import os

from hypothesis import Phase, settings

settings.register_profile("default", max_examples=200, derandomize=True, deadline=None)
settings.register_profile("ci", max_examples=2000, deadline=None)
settings.register_profile("bugs", settings.get_profile("default"), phases=[Phase.generate])
settings.register_profile("soak", max_examples=50_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
