# SPDX-License-Identifier: Apache-2.0
"""What failed while the machine was busy is run again, alone: a scenario has rates and limits in it, and a machine that does
many things at once may miss them. What then passes twice in a row is unsteady: it counts as passed, and is named at the end
with what it had failed of. Nothing excuses a guest that ran twice or lost something (vm.Damage)."""
import dataclasses

import schedule

MOST = 5  # that failed: where there are more the machine is not the reason
TIMES = 2


def _alone(test, place):
    one = schedule.Run(lambda outcome: None)
    one.add([schedule.Batch([test])])
    schedule.serve(place, one)
    return one.outcomes


def judge(outcomes, place_of):
    """The outcomes as they are after a second look. `place_of(test)` is where one runs."""
    failed = [outcome for outcome in outcomes if outcome.outcome == "failed" and not outcome.damage]
    if len(failed) > MOST:
        return outcomes
    return [_second(outcome, place_of(outcome.name)) if outcome in failed else outcome for outcome in outcomes]


def _second(first, place):
    for _ in range(TIMES):
        again = _alone(first.name, place)
        if not again or again[0].outcome != "passed":
            return first
    return dataclasses.replace(first, outcome="passed", unsteady=True)
