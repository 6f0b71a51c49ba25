# SPDX-License-Identifier: Apache-2.0
"""Outcomes of scenarios as a JUnit file."""
import xml.etree.ElementTree as ET


def printable(text):
    """Without what XML cannot hold."""
    return "".join(c for c in text if c in "\t\n" or " " <= c < "\ufffe")


def write(file, outcomes):
    suite = ET.Element("testsuite", name="godwit scenarios", tests=str(len(outcomes)), errors="0",
                       failures=str(sum(o.outcome == "failed" for o in outcomes)),
                       skipped=str(sum(o.outcome == "skipped" for o in outcomes)), time=f"{sum(o.seconds for o in outcomes):.3f}")
    for outcome in sorted(outcomes, key=lambda o: o.name):
        path, _, name = outcome.name.partition("::")
        case = ET.SubElement(suite, "testcase", classname=path, name=name, time=f"{outcome.seconds:.3f}")
        case.set("host", outcome.place)
        if outcome.unsteady:
            ET.SubElement(case, "system-out").text = printable(outcome.text)
        if outcome.outcome != "passed":
            tag = "failure" if outcome.outcome == "failed" else "skipped"
            first = next(iter(outcome.text.splitlines()), "")
            ET.SubElement(case, tag, message=printable(first)).text = printable(outcome.text)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
