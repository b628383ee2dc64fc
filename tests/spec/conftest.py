"""A failing case shows which cells differ, not that two lists do."""

import pytest

pytest.register_assert_rewrite("tests.spec.loader")
