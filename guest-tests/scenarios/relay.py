# SPDX-License-Identifier: Apache-2.0
"""FaultProxy as a program, for a host of the lab: stands between source and receiver, and says what the test may strike at.

Usage: relay.py LISTEN TARGET FAULTS

FAULTS is a JSON list of [action, message, when, paused] as in fault_proxy.Fault. "kill source" and "kill destination" mean
that this host's or the other's power is to be cut: the relay says "struck" and lets nothing pass from then on. "delay"
means that the message is here: the relay says so, and sends it on when a line comes on standard input. In both cases the
messages that have passed follow, in their order.
"""
import json
import sys
import threading

from fault_proxy import Action, Fault, FaultProxy, When


def say(proxy, what):
    print(what, *(message for _, message in list(proxy.passed)), flush=True)


def main():
    listen, target, faults = sys.argv[1:]
    faults = [Fault(Action(action), message, When(when), paused=paused) for action, message, when, paused in json.loads(faults)]
    made = threading.Event()

    def stop():
        made.wait()
        say(proxy, "struck")
        threading.Event().wait()

    def hold():
        made.wait()
        say(proxy, "here")
        sys.stdin.readline()

    held = {fault.message: hold for fault in faults if fault.action is Action.DELAY}
    cuts = [fault for fault in faults if fault.action is not Action.DELAY]
    proxy = FaultProxy(listen, target, cuts, {Action.KILL_SOURCE: stop, Action.KILL_DESTINATION: stop}, held)
    made.set()
    print("listening", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
