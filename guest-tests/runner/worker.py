# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: collects all scenarios once, says what there is, and runs those that it is told to, batch by batch.

In: lines of JSON, each a list of tests to run one after the other. Out: lines that begin with MARK and go on as JSON:
{"items": [...]} once; {"begin": id}; {"report": id, "when", "outcome", "seconds", "text", "host_failed", "damage"}; {"idle": true} after a batch.
"""
import json
import os
import shutil
import sys

import pace
import pytest

MARK = "\x1e"


class Worker:
    def __init__(self):
        # Before pytest captures what tests print.
        self._in = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")

    def tell(self, **what):
        self._out.write(MARK + json.dumps(what) + "\n")
        self._out.flush()

    @staticmethod
    def _describe(item):
        together = item.get_closest_marker("together")
        return {"id": item.nodeid, "kvm": item.get_closest_marker("needs_kvm") is not None,
                "fleet": item.get_closest_marker("fleet") is not None,
                "thorough": item.get_closest_marker("thorough") is not None,
                "together": together.args[0] if together else None}

    def pytest_runtestloop(self, session):
        items = {item.nodeid: item for item in session.items}
        self.tell(items=[self._describe(item) for item in session.items], pace=pace.PACE)
        for line in self._in:
            batch = [items[name] for name in json.loads(line)]
            for item, following in zip(batch, [*batch[1:], None]):
                self.tell(begin=item.nodeid)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self.tell(idle=True)
        return True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, call):
        """Marks what failed since an emulated host that the test had booted did, and what is a guest's damage."""
        outcome = yield
        kind = call.excinfo.type.__name__ if call.excinfo else None
        outcome.get_result().host_failed = kind == "HostFailed"
        outcome.get_result().damage = kind == "Damage"

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item):
        """A host keeps what is written in its memory, and nobody looks at it there afterwards."""
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        if folder and os.environ.get("GODWIT_LAB_HOST"):
            shutil.rmtree(folder, ignore_errors=True)

    def pytest_runtest_logreport(self, report):
        text = ""
        if report.skipped:
            text = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        elif report.failed:
            text = "\n".join([report.longreprtext, *(f"--- {name}\n{said}" for name, said in report.sections)])
        self.tell(report=report.nodeid, when=report.when, outcome=report.outcome, seconds=report.duration, text=text[-20000:],
                  host_failed=report.host_failed, damage=report.damage)

    def pytest_collectreport(self, report):
        if report.failed:
            self.tell(broken=str(report.nodeid), text=report.longreprtext[-20000:])


def pytest_configure(config):
    config.pluginmanager.register(_worker, "godwit-worker")


sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
_worker = Worker()
