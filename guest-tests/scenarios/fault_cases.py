# SPDX-License-Identifier: Apache-2.0
"""Every fault that is tried, and what may come of it. docs/fault-matrix.md is made from this and from what came."""
import dataclasses

from fault_proxy import Action, Fault, When

# In the order of a migration. The second member: only after FINAL_ROUND.
TO_COMMIT = [("HELLO", False), ("HELLO_REPLY", False), ("BOOT", False), ("RAM", False), ("RAM_ZERO", False), ("ROUND_END", False),
             ("ROUND_ACK", False), ("FINAL_ROUND", False), ("RAM", True), ("ROUND_END", True), ("STATE", False),
             ("READY", False)]

MOVED = "moved"  # the destination runs it
STAYED = "stayed"  # the source runs it
GONE = "died with its host"  # killed with the process that ran it; nobody else runs it
DOUBT = "in doubt"  # paused at the source until an operator decides


@dataclasses.dataclass(frozen=True)
class Case:
    scenario: str  # "move", "refuse", "cancel", ...
    faults: tuple
    outcomes: tuple  # any of these

    @property
    def name(self):
        return "-".join([self.scenario, *(str(f) for f in self.faults)]).replace(" ", "_").replace(":", "")


def each(message, paused=False):
    """The faults at one message: those with a "before" and an "after", then the others."""
    for action in (Action.KILL_SOURCE, Action.KILL_DESTINATION, Action.CUT):
        for when in When:
            yield Fault(action, message, when, paused=paused)
    for action in (Action.BLACK_HOLE, Action.DELAY, Action.CORRUPT):
        yield Fault(action, message, paused=paused)


def before_commit():
    for message, paused in TO_COMMIT:
        for fault in each(message, paused):
            if fault.action is Action.KILL_SOURCE:
                outcomes = (GONE,)
            elif fault.action is Action.DELAY:
                outcomes = (MOVED,)
            elif fault.action is Action.KILL_DESTINATION and fault.when is When.AFTER and message == "READY":
                outcomes = (STAYED, DOUBT)  # whether COMMIT could be sent to the one that was killed
            elif fault.action is Action.CORRUPT and message == "RAM":
                # A page whose checksum does not hold may have been written to on its way: it is repaired when it
                # comes again, and only a page that does not come again ends the migration.
                outcomes = (MOVED, STAYED)
            else:
                outcomes = (STAYED,)
            yield Case("move", (fault,), outcomes)


def at_commit():
    for fault in each("COMMIT"):
        outcomes = {
            (Action.KILL_SOURCE, When.BEFORE): (GONE,),
            (Action.KILL_SOURCE, When.AFTER): (MOVED,),
            (Action.KILL_DESTINATION, When.BEFORE): (DOUBT,),
            (Action.KILL_DESTINATION, When.AFTER): (DOUBT,),
            (Action.CUT, When.BEFORE): (STAYED,),
            (Action.CUT, When.AFTER): (MOVED,),
            (Action.BLACK_HOLE, When.BEFORE): (STAYED,),
            (Action.DELAY, When.BEFORE): (MOVED,),
            (Action.CORRUPT, When.BEFORE): (STAYED,),
        }[fault.action, fault.when]
        yield Case("move", (fault,), outcomes)
    for fault in each("RUNNING"):
        outcomes = {
            Action.KILL_SOURCE: (MOVED,),
            Action.KILL_DESTINATION: (DOUBT,) if fault.when is When.BEFORE else (GONE,),
        }.get(fault.action, (MOVED,))
        yield Case("move", (fault,), outcomes)


def asked():
    """What the source asks after a connection that broke around COMMIT, and what it is told."""
    commit_lost = Fault(Action.CUT, "COMMIT")
    running_lost = Fault(Action.CUT, "RUNNING")
    for message in ("QUERY", "RELINQUISH"):
        for fault in each(message):
            outcomes = (STAYED,)
            if fault.action is Action.KILL_SOURCE:
                outcomes = (GONE,)
            elif fault.action is Action.KILL_DESTINATION:
                outcomes = (STAYED,) if fault.when is When.AFTER and message == "RELINQUISH" else (DOUBT,)
            yield Case("ask", (commit_lost, fault), outcomes)
    for message in ("QUERY", "RUNNING"):
        for fault in each(message):
            outcomes = (MOVED,)
            if fault.action is Action.KILL_DESTINATION:
                outcomes = (GONE,) if fault.when is When.AFTER and message == "RUNNING" else (DOUBT,)
            yield Case("ask", (running_lost, fault), outcomes)


def forgotten():
    """The destination died at COMMIT and another receiver has its address: it does not know the migration."""
    for fault in each("UNKNOWN"):
        yield Case("restart", (Fault(Action.KILL_DESTINATION, "COMMIT"), fault),
                   (GONE,) if fault.action is Action.KILL_SOURCE else (DOUBT,))


def with_options():
    """Messages that only come when they are asked for: of a second connection, of RAM that is compared or compressed."""
    for scenario, message in (("connections", "ATTACH"), ("verify", "VERIFY"), ("compress", "RAM_PACKED")):
        for fault in each(message):
            outcomes = (STAYED,)
            if fault.action is Action.KILL_SOURCE:
                outcomes = (GONE,)
            elif fault.action is Action.DELAY:
                outcomes = (MOVED,)
            elif fault.action is Action.CORRUPT and scenario == "compress":
                outcomes = (MOVED, STAYED)  # as with RAM
            yield Case(scenario, (fault,), outcomes)


def refused():
    """The destination is another machine."""
    for message in ("HELLO", "REFUSE"):
        for fault in each(message):
            yield Case("refuse", (fault,), (GONE,) if fault.action is Action.KILL_SOURCE else (STAYED,))


def given_up():
    """An ERROR of the source, whose operator cancels; and one of the destination, which got a damaged frame."""
    for fault in each("ERROR"):
        outcomes = (GONE,) if fault.action is Action.KILL_SOURCE else (STAYED,)
        yield Case("cancel", (fault,), outcomes)
        yield Case("move", (Fault(Action.CORRUPT, "RAM_ZERO"), fault), outcomes)


def cases():
    return [*before_commit(), *at_commit(), *asked(), *forgotten(), *with_options(), *refused(), *given_up()]


def fair_part(turn):
    """One case for each message: of the i-th message the i-th kind of fault, so that every kind comes about. Another `turn`
    begins at another kind."""
    by_message = {}
    for case in cases():
        by_message.setdefault(case.faults[-1].message, []).append(case)
    kinds = [(fault.action, fault.when) for fault in each("")]
    chosen = []
    for number, of_message in enumerate(by_message.values()):
        kind = kinds[(number + turn) % len(kinds)]
        chosen.append(next(c for c in of_message if (c.faults[-1].action, c.faults[-1].when) == kind))
    return chosen
