# SPDX-License-Identifier: Apache-2.0
"""What the documents say about tests is true: every test that they name exists."""
import pathlib
import re

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
SCENARIOS = TREE / "guest-tests/scenarios"

pytestmark = pytest.mark.no_kvm


def scenario_exists(file, name):
    path = SCENARIOS / f"{file}.py"
    return path.exists() and re.search(rf"^def {name}\(", path.read_text(), re.M)


def unit_cases():
    found = set()
    for path in TREE.glob("*/**/*_test.cc"):
        if "build" not in path.relative_to(TREE).parts[0]:
            text = re.sub(r'"\s*\n\s*"', "", path.read_text())
            found.update(re.findall(r'(?:TEST_CASE\(|SECTION\(|TEST_CASE_METHOD\(\w+,\s*)"([^"]+)"', text))
    return found


@pytest.mark.parametrize("document", ["limits.md", "scenarios.md", "threat-model.md", "user-reports.md"])
def test_every_test_that_is_named_exists(document):
    text = (TREE / "docs" / document).read_text()
    scenarios = set(re.findall(r"`(test_\w+)::(test_\w+)`", text))
    assert scenarios, "no scenario is named at all"
    missing = [f"{file}::{name}" for file, name in sorted(scenarios) if not scenario_exists(file, name)]
    cases = unit_cases()
    for row in text.splitlines():
        if row.startswith("|"):
            missing += [f'"{case}"' for case in re.findall(r'"([^"]+)"', row) if case not in cases]
    assert not missing, f"docs/{document} names tests that there are not: {missing}"
